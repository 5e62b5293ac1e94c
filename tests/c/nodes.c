/* Two nodes from C: raw extents released and acquired, who the nodes are, and a fence that the late one learns of. */
#include <sys/wait.h>

#include "refuse.h"

/* The process on node 1: reads a raw extent, holds a table until it is told to go on, and is fenced then. */
static int borrower(const char *uri, int64_t *shared) {
    csm_ctx_t *ctx;
    csm_region_t *region;
    csm_table_t *table;
    OK(csm_ctx_new(NULL, &ctx, &error));
    OK(csm_region_open(ctx, uri, &region, &error));
    OK(csm_region_acquire(region, shared, sizeof *shared, &error));
    EXPECT(*shared == 4711);
    REFUSED(CSM_E_NOT_OWNER, csm_region_release(region, shared, sizeof *shared, &error));
    REFUSED(CSM_E_FOREIGN_POINTER, csm_region_acquire(region, &uri, sizeof uri, &error));
    REFUSED(CSM_E_NOT_OWNER, csm_region_fence_node(region, 1, &error));
    OK(csm_table_open(region, "t", NULL, &table, &error));
    OK(csm_table_check(table, &error));
    puts("holding");
    fflush(stdout);
    EXPECT(getchar() == '\n');
    REFUSED(CSM_E_FENCED, csm_table_check(table, &error));
    csm_table_t *other;
    REFUSED(CSM_E_FENCED, csm_table_open(region, "u", NULL, &other, &error));
    OK(csm_table_close(table, &error));
    OK(csm_region_close(region, &error));
    csm_ctx_free(ctx);
    return 0;
}

/* What is known of node `number`. */
static csm_node_info_t node(csm_region_t *region, uint64_t number) {
    csm_nodes_t *nodes;
    csm_node_info_t info = {.struct_size = sizeof info};
    OK(csm_nodes_read(region, &nodes, &error));
    for (uint64_t i = 0; i < csm_nodes_len(nodes); i++) {
        OK(csm_nodes_entry(nodes, i, &info, &error));
        if (info.node == number) break;
    }
    EXPECT(info.node == number);
    csm_node_info_t past = {.struct_size = sizeof past};
    REFUSED(CSM_E_INVALID_ARGUMENT, csm_nodes_entry(nodes, csm_nodes_len(nodes), &past, &error));
    OK(csm_nodes_free(nodes));
    return info;
}

int main(int argc, char **argv) {
    if (argc == 3) return borrower(argv[1], (int64_t *)(uintptr_t)strtoull(argv[2], NULL, 0));

    csm_ctx_t *ctx;
    void *memory;
    OK(csm_ctx_new(NULL, &ctx, &error));
    csm_region_t *region = example_region(ctx, "nodes", "size=16M&nodes=2");
    numbers_publish(region, "t", 1, 10, NULL);
    numbers_publish(region, "u", 1, 10, NULL);
    OK(csm_heap_alloc(region, sizeof(int64_t), 0, &memory, &error));
    *(int64_t *)memory = 4711;
    OK(csm_region_release(region, memory, sizeof(int64_t), &error));
    REFUSED(CSM_E_FOREIGN_POINTER, csm_region_release(region, &memory, sizeof memory, &error));
    EXPECT(node(region, 0).state == 0);
    REFUSED(CSM_E_INVALID_ARGUMENT, csm_region_fence_node(region, 0, &error));
    REFUSED(CSM_E_INVALID_ARGUMENT, csm_region_fence_node(region, 1, &error)); /* it was never there */

    int to_child[2], from_child[2];
    EXPECT(pipe(to_child) == 0 && pipe(from_child) == 0);
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        char uri[128], address[32];
        snprintf(uri, sizeof uri, "%s?node=1", example_uri);
        snprintf(address, sizeof address, "%p", memory);
        dup2(to_child[0], STDIN_FILENO);
        dup2(from_child[1], STDOUT_FILENO);
        close(to_child[1]);
        execl("/proc/self/exe", argv[0], uri, address, (char *)NULL);
        _exit(1);
    }
    char line[16];
    FILE *answers = fdopen(from_child[0], "r");
    close(from_child[1]);
    EXPECT(fgets(line, sizeof line, answers) != NULL && strcmp(line, "holding\n") == 0);
    EXPECT(node(region, 1).state == 0 && node(region, 1).leases == 1 && node(region, 1).members == 1);
    OK(csm_table_remove(region, "t", &error));
    EXPECT(node(region, 1).retired_kept == 1);
    OK(csm_region_fence_node(region, 1, &error));
    EXPECT(node(region, 1).state == 2 && node(region, 1).leases == 0);
    csm_region_stats_t stats = {.struct_size = sizeof stats};
    OK(csm_region_stats(region, &stats, &error));
    EXPECT(stats.retired == 0);
    EXPECT(write(to_child[1], "\n", 1) == 1);
    int status;
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
    fclose(answers);
    OK(csm_heap_free(region, memory, 0, &error));
    OK(csm_region_close(region, &error));
    csm_ctx_free(ctx);
    return 0;
}
