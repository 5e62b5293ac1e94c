/*
 * A table published in one process and read in another: the same bytes at the same address.
 *
 *   two_processes            starts itself again as the reader
 */
#include <inttypes.h>
#include <sys/wait.h>

#include "numbers.h"

/* What the second process does: prints where it found the numbers, and their sum. */
static int reader(const char *uri) {
    csm_ctx_t *ctx;
    csm_region_t *region;
    csm_table_t *table;
    OK(csm_ctx_new(NULL, &ctx, &error));
    OK(csm_region_open(ctx, uri, &region, &error));
    OK(csm_table_open(region, "numbers", NULL, &table, &error));
    const int64_t *where = NULL;
    int64_t sum = numbers_sum(table, &where);
    printf("%p %" PRId64 "\n", (const void *)where, sum);
    OK(csm_table_close(table, &error));
    OK(csm_region_close(region, &error));
    csm_ctx_free(ctx);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--read") == 0) return reader(argv[2]);

    csm_ctx_t *ctx;
    OK(csm_ctx_new(NULL, &ctx, &error));
    csm_region_t *region = example_region(ctx, "two", "size=16M");
    const int64_t *where = numbers_publish(region, "numbers", 1, 100000, NULL);

    int pipe_ends[2];
    EXPECT(pipe(pipe_ends) == 0);
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        dup2(pipe_ends[1], STDOUT_FILENO);
        execl("/proc/self/exe", argv[0], "--read", example_uri, (char *)NULL);
        _exit(1);
    }
    close(pipe_ends[1]);

    void *there;
    int64_t sum;
    FILE *answer = fdopen(pipe_ends[0], "r");
    EXPECT(fscanf(answer, "%p %" SCNd64, &there, &sum) == 2);
    fclose(answer);
    int status;
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
    printf("published at %p, read at %p, the sum is %" PRId64 "\n", (const void *)where, there, sum);
    EXPECT(there == (const void *)where && sum == INT64_C(100000) * 100001 / 2);

    /* The reader has left: nothing is held any more. */
    csm_region_stats_t stats = {.struct_size = sizeof stats};
    OK(csm_region_stats(region, &stats, &error));
    EXPECT(stats.members == 1 && stats.leases == 0);
    OK(csm_region_close(region, &error));
    csm_ctx_free(ctx);
    return 0;
}
