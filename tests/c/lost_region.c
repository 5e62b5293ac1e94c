/*
 * The region's file is truncated while it is mapped: with survive_region_loss the calls answer
 * CSM_E_REGION_LOST, and the process lives; without it, it ends as for any mapped file.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "refuse.h"

static void truncate_region(void) {
    char path[128];
    snprintf(path, sizeof path, "/dev/shm/csm.%s", example_uri + strlen("shm:"));
    EXPECT(truncate(path, 0) == 0);
}

static void lose(uint32_t survive) {
    csm_ctx_t *ctx;
    csm_table_t *table;
    csm_ctx_options_t options = {.struct_size = sizeof options, .survive_region_loss = survive};
    OK(csm_ctx_new(&options, &ctx, &error));
    example_scheme = "shm"; /* a simulated link is lost in other ways */
    csm_region_t *region = example_region(ctx, survive ? "lost" : "kill", "size=16M");
    int64_t *numbers = (int64_t *)(uintptr_t)numbers_publish(region, "t", 1, 10, NULL);
    OK(csm_table_open(region, "t", NULL, &table, &error));

    truncate_region();
    volatile int64_t *where = numbers;
    int64_t seen = *where; /* SIGBUS */
    EXPECT(survive);
    EXPECT(seen == 0);

    void *memory;
    csm_table_t *other;
    csm_region_info_t info = {.struct_size = sizeof info};
    REFUSED(CSM_E_REGION_LOST, csm_table_check(table, &error));
    REFUSED(CSM_E_REGION_LOST, csm_heap_alloc(region, 64, 64, &memory, &error));
    REFUSED(CSM_E_REGION_LOST, csm_table_open(region, "t", NULL, &other, &error));
    REFUSED(CSM_E_REGION_LOST, csm_region_info(region, &info, &error));
    OK(csm_table_close(table, &error));
    OK(csm_region_close(region, &error));
    EXPECT(csm_ctx_free(ctx) == CSM_OK);
}

int main(void) {
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        signal(SIGBUS, SIG_DFL); /* a sanitizer would make a report of it */
        lose(0);
        _exit(0);
    }
    int status;
    EXPECT(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);

    csm_ctx_t *ctx;
    char uri[64];
    OK(csm_ctx_new(NULL, &ctx, &error));
    snprintf(uri, sizeof uri, "shm:csm-kill-%ld", (long)pid);
    OK(csm_region_destroy(ctx, uri, &error));
    EXPECT(csm_ctx_free(ctx) == CSM_OK);

    lose(1);
    return 0;
}
