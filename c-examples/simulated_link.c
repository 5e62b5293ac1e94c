/*
 * What a missing step does on a link that keeps no caches coherent, found on one machine.
 *
 *   simulated_link           starts itself again as a process of another node
 *
 * The region's URI is all that differs from a real program: incoherent:NAME simulates such a link. The publisher
 * here breaks the one rule there is: it stores to a table that it has published. On one host nobody would notice.
 */
#include <sys/wait.h>

#include "numbers.h"

/* The process on node 1: opens the table and says what it found. */
static int reader(const char *uri) {
    csm_ctx_t *ctx;
    csm_region_t *region;
    csm_table_t *table;
    OK(csm_ctx_new(NULL, &ctx, &error));
    OK(csm_region_open(ctx, uri, &region, &error));
    OK(csm_table_open(region, "numbers", NULL, &table, &error));
    struct ArrowArrayStream stream;
    struct ArrowArray batch;
    OK(csm_table_stream(table, &stream, &error));
    int status = stream.get_next(&stream, &batch);
    if (status != 0) {
        printf("node 1: %s\n", stream.get_last_error(&stream));
    } else {
        printf("node 1: the table is sound\n");
        batch.release(&batch);
    }
    stream.release(&stream);
    OK(csm_table_close(table, &error));
    OK(csm_region_close(region, &error));
    csm_ctx_free(ctx);
    return status == 0 ? 0 : 3;
}

/* Whether a process on node 1 finds the table sound. */
static int sound_on_node_1(char *program) {
    fflush(stdout);
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        char uri[128];
        snprintf(uri, sizeof uri, "%s?node=1", example_uri);
        execl("/proc/self/exe", program, "--read", uri, (char *)NULL);
        _exit(1);
    }
    int status;
    EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status));
    EXPECT(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 3);
    return WEXITSTATUS(status) == 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--read") == 0) return reader(argv[2]);

    example_scheme = "incoherent";
    csm_ctx_t *ctx;
    OK(csm_ctx_new(NULL, &ctx, &error));
    csm_region_t *region = example_region(ctx, "link", "size=16M&nodes=2");
    int64_t *numbers = (int64_t *)(uintptr_t)numbers_publish(region, "numbers", 1, 100000, NULL);
    EXPECT(sound_on_node_1(argv[0]));

    numbers[77777] = 0; /* the bug: readers may see this, or what was there before */
    EXPECT(!sound_on_node_1(argv[0]));

    /* The cure: a new table in place of the old one. */
    csm_publish_options_t replace = {.struct_size = sizeof replace, .replace = 1};
    numbers_publish(region, "numbers", 1, 100000, &replace);
    EXPECT(sound_on_node_1(argv[0]));
    OK(csm_region_close(region, &error));
    csm_ctx_free(ctx);
    return 0;
}
