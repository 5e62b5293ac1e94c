/*
 * Where the library's log goes, and what it says when it clears up after a process that died.
 */
#include <signal.h>
#include <sys/wait.h>

#include "numbers.h"

static void print_line(void *user, uint32_t level, const char *message) {
    int *lines = user;
    static const char *const levels[] = {"", "error", "warning", "info", "debug", "trace"};
    fprintf(stderr, "csm %s: %s\n", levels[level], message);
    __atomic_add_fetch(lines, 1, __ATOMIC_RELAXED);
}

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

    int lines = 0;
    csm_ctx_options_t options = {
        .struct_size = sizeof options, .log = print_line, .log_level = CSM_LOG_INFO, .log_user = &lines};
    OK(csm_ctx_new(&options, &ctx, &error));
    region = example_region(ctx, "log", "size=16M");

    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        execl("/proc/self/exe", argv[0], "--die", example_uri, (char *)NULL);
        _exit(1);
    }
    int status;
    EXPECT(waitpid(child, &status, 0) == child && WIFSIGNALED(status));

    /* What the dead one had allocated and not published comes back. */
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
