/*
 * Replacing a table while it is read: the reader keeps the old one, the next one to open sees the new one,
 * and the memory of the old one returns when its last reader has gone.
 */
#include "numbers.h"

static uint64_t retired(csm_region_t *region) {
    csm_region_stats_t stats = {.struct_size = sizeof stats};
    OK(csm_region_stats(region, &stats, &error));
    return stats.retired;
}

int main(void) {
    csm_ctx_t *ctx;
    OK(csm_ctx_new(NULL, &ctx, &error));
    csm_region_t *region = example_region(ctx, "replace", "size=16M");

    csm_table_t *old, *new;
    bool current;
    numbers_publish(region, "numbers", 1, 10, NULL);
    OK(csm_table_open(region, "numbers", NULL, &old, &error));
    OK(csm_table_is_current(old, &current, &error));
    EXPECT(current);

    csm_publish_options_t replace = {.struct_size = sizeof replace, .replace = 1};
    numbers_publish(region, "numbers", 101, 10, &replace);
    OK(csm_table_open(region, "numbers", NULL, &new, &error));
    printf("the old sum is %lld, the new one %lld\n", (long long)numbers_sum(old, NULL),
           (long long)numbers_sum(new, NULL));
    EXPECT(numbers_sum(old, NULL) == 55 && numbers_sum(new, NULL) == 1055);
    OK(csm_table_is_current(old, &current, &error));
    EXPECT(!current);
    OK(csm_table_check(old, &error));

    EXPECT(retired(region) == 1);
    OK(csm_table_close(old, &error));
    EXPECT(retired(region) == 0);

    OK(csm_table_close(new, &error));
    OK(csm_table_remove(region, "numbers", &error));
    EXPECT(csm_table_open(region, "numbers", NULL, &new, &error) == CSM_E_NAME_NOT_FOUND);
    OK(csm_region_close(region, &error));
    csm_ctx_free(ctx);
    return 0;
}
