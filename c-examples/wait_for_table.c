/*
 * Waiting for a name: one thread publishes a table for another that is already waiting for it.
 *
 *   wait_for_table URI NAME SECONDS
 */
#include <pthread.h>

#include "numbers.h"

static void *publisher(void *region) {
    numbers_publish(region, "late", 1, 10, NULL);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 1 && argc != 4) {
        fprintf(stderr, "usage: wait_for_table URI NAME SECONDS\n");
        return 2;
    }
    csm_ctx_t *ctx;
    csm_region_t *region;
    OK(csm_ctx_new(NULL, &ctx, &error));
    if (argc == 4) {
        OK(csm_region_open(ctx, argv[1], &region, &error));
        OK(csm_table_wait(region, argv[2], (uint64_t)(atof(argv[3]) * 1e9), &error));
        return 0;
    }
    region = example_region(ctx, "wait", "size=16M");

    /* A deadline that passes is an error of its own. */
    EXPECT(csm_table_wait(region, "never", 1000000, &error) == CSM_E_TIMED_OUT);
    printf("%s\n", error.message);

    pthread_t thread;
    EXPECT(pthread_create(&thread, NULL, publisher, region) == 0);
    OK(csm_table_wait(region, "late", UINT64_C(60000000000), &error));
    EXPECT(pthread_join(thread, NULL) == 0);

    csm_table_t *table;
    OK(csm_table_open(region, "late", NULL, &table, &error));
    EXPECT(numbers_sum(table, NULL) == 55);
    OK(csm_table_close(table, &error));
    OK(csm_region_close(region, &error));
    csm_ctx_free(ctx);
    return 0;
}
