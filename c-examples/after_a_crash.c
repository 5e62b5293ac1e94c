/*
 * A process that dies holds nothing: what it had allocated and not published comes back, and `verify` says so.
 */
#include <signal.h>
#include <sys/wait.h>

#include "numbers.h"

static void print_report(void *user, const char *line) {
    int *reaped = user;
    printf("%s\n", line);
    *reaped += strncmp(line, "reaped: ", 8) == 0;
}

int main(int argc, char **argv) {
    csm_ctx_t *ctx;
    csm_region_t *region;
    if (argc == 3 && strcmp(argv[1], "--die") == 0) {
        void *memory;
        OK(csm_ctx_new(NULL, &ctx, &error));
        OK(csm_region_open(ctx, argv[2], &region, &error));
        OK(csm_heap_alloc(region, 1 << 20, 0, &memory, &error));
        raise(SIGKILL);
    }

    OK(csm_ctx_new(NULL, &ctx, &error));
    region = example_region(ctx, "crash", "size=16M");

    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        execl("/proc/self/exe", argv[0], "--die", example_uri, (char *)NULL);
        _exit(1);
    }
    int status;
    EXPECT(waitpid(child, &status, 0) == child && WIFSIGNALED(status));

    uint64_t problems;
    int reaped = 0;
    OK(csm_region_verify(region, print_report, &reaped, &problems, &error));
    EXPECT(problems == 0 && reaped > 0);
    csm_region_stats_t stats = {.struct_size = sizeof stats};
    OK(csm_region_stats(region, &stats, &error));
    EXPECT(stats.members == 1 && stats.live_bytes == 0);

    OK(csm_region_close(region, &error));
    csm_ctx_free(ctx);
    return 0;
}
