/* After fork: the child's handles answer CSM_E_FORKED, releasing what it inherited harms nobody, and it can
   open regions of its own. */
#include <sys/wait.h>

#include "refuse.h"

static void child(csm_ctx_t *ctx, csm_region_t *region, csm_table_t *table, csm_catalog_t *catalog, void *memory,
                  struct ArrowArray *array, struct ArrowArrayStream *stream) {
    csm_region_stats_t stats = {.struct_size = sizeof stats};
    csm_region_t *other;
    csm_table_t *opened;
    struct ArrowArray batch;
    REFUSED(CSM_E_FORKED, csm_region_open(ctx, example_uri, &other, &error));
    REFUSED(CSM_E_FORKED, csm_region_stats(region, &stats, &error));
    REFUSED(CSM_E_FORKED, csm_heap_alloc(region, 64, 64, &memory, &error));
    REFUSED(CSM_E_FORKED, csm_heap_free(region, memory, 64, &error));
    REFUSED(CSM_E_FORKED, csm_table_open(region, "t", NULL, &opened, &error));
    REFUSED(CSM_E_FORKED, csm_table_remove(region, "t", &error));
    REFUSED(CSM_E_FORKED, csm_table_batch(table, 0, &batch, &error));
    REFUSED(CSM_E_FORKED, csm_table_check(table, &error));
    REFUSED(CSM_E_FORKED, csm_table_close(table, &error));
    REFUSED(CSM_E_FORKED, csm_region_close(region, &error));
    EXPECT(csm_catalog_len(catalog) == 0 && csm_catalog_free(catalog) == CSM_E_FORKED);
    EXPECT(csm_ctx_free(ctx) == CSM_E_FORKED);
    array->release(array);
    stream->release(stream);

    csm_ctx_t *own;
    OK(csm_ctx_new(NULL, &own, &error));
    OK(csm_region_open(own, example_uri, &other, &error));
    OK(csm_table_open(other, "t", NULL, &opened, &error));
    EXPECT(numbers_sum(opened, NULL) == 55);
    OK(csm_heap_alloc(other, 4096, 64, &memory, &error));
    OK(csm_table_close(opened, &error));
    OK(csm_region_close(other, &error));
    EXPECT(csm_ctx_free(own) == CSM_OK);
    exit(0); /* with every handler that exit runs */
}

int main(void) {
    csm_ctx_t *ctx;
    csm_table_t *table;
    csm_catalog_t *catalog;
    struct ArrowArray array;
    struct ArrowArrayStream stream;
    void *memory;
    OK(csm_ctx_new(NULL, &ctx, &error));
    csm_region_t *region = example_region(ctx, "fork", "size=16M");
    numbers_publish(region, "t", 1, 10, NULL);
    OK(csm_table_open(region, "t", NULL, &table, &error));
    OK(csm_table_batch(table, 0, &array, &error));
    OK(csm_table_stream(table, &stream, &error));
    OK(csm_catalog_read(region, &catalog, &error));
    OK(csm_heap_alloc(region, 64, 64, &memory, &error));
    memcpy(memory, "mine", 5);

    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) child(ctx, region, table, catalog, memory, &array, &stream);
    int status;
    EXPECT(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);

    /* The parent has everything it had. */
    csm_region_stats_t stats = {.struct_size = sizeof stats};
    OK(csm_region_stats(region, &stats, &error));
    EXPECT(stats.leases == 1 && stats.members == 1 && stats.process_live_bytes == 128);
    EXPECT(strcmp(memory, "mine") == 0);
    OK(csm_heap_free(region, memory, 64, &error));
    EXPECT(numbers_sum(table, NULL) == 55);
    uint64_t problems;
    OK(csm_region_verify(region, NULL, NULL, &problems, &error));
    EXPECT(problems == 0);
    array.release(&array);
    stream.release(&stream);
    EXPECT(csm_catalog_free(catalog) == CSM_OK);
    OK(csm_table_close(table, &error));
    OK(csm_region_close(region, &error));
    OK(csm_region_destroy(ctx, example_uri, &error));
    EXPECT(csm_ctx_free(ctx) == CSM_OK);
    return 0;
}
