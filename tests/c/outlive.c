/* Arrays, schemas and streams outlive every handle; children can be moved out; the lease ends with the last. */
#include "refuse.h"

static uint64_t leases(csm_ctx_t *ctx) {
    csm_region_t *region;
    csm_region_stats_t stats = {.struct_size = sizeof stats};
    OK(csm_region_open(ctx, example_uri, &region, &error));
    OK(csm_region_stats(region, &stats, &error));
    OK(csm_region_close(region, &error));
    return stats.leases;
}

int main(void) {
    csm_ctx_t *ctx, *other;
    csm_table_t *table;
    csm_catalog_t *catalog;
    OK(csm_ctx_new(NULL, &ctx, &error));
    OK(csm_ctx_new(NULL, &other, &error));
    csm_region_t *region = example_region(ctx, "outlive", "size=16M");
    numbers_publish(region, "t", 1, 1000, NULL);

    struct ArrowSchema schema;
    struct ArrowArray array, empty;
    struct ArrowArrayStream stream;
    OK(csm_table_open(region, "t", NULL, &table, &error));
    OK(csm_table_schema(table, &schema, &error));
    OK(csm_table_batch(table, 0, &array, &error));
    OK(csm_table_stream(table, &stream, &error));
    OK(csm_catalog_read(region, &catalog, &error));
    OK(csm_table_close(table, &error));
    OK(csm_region_close(region, &error));
    EXPECT(csm_ctx_free(ctx) == CSM_OK);

    /* A list needs no region any more. */
    csm_table_info_t info = {.struct_size = sizeof info};
    OK(csm_catalog_entry(catalog, 0, &info, &error));
    EXPECT(strcmp(info.name, "t") == 0);
    EXPECT(csm_catalog_free(catalog) == CSM_OK);

    /* The child moved out of its parent, which is released first. */
    struct ArrowArray column = *array.children[0];
    array.children[0]->release = NULL;
    array.release(&array);
    EXPECT(array.release == NULL);
    const int64_t *numbers = column.buffers[1];
    EXPECT(column.length == 1000 && numbers[0] == 1 && numbers[999] == 1000);
    EXPECT(strcmp(schema.children[0]->name, "number") == 0 && strcmp(schema.format, "+s") == 0);

    /* In use as long as anything of it lives. */
    REFUSED(CSM_E_IN_USE, csm_region_destroy(other, example_uri, &error));
    EXPECT(leases(other) == 1);
    EXPECT(stream.get_next(&stream, &array) == 0 && array.release != NULL);
    EXPECT(array.children[0]->buffers[1] == numbers);
    EXPECT(stream.get_next(&stream, &empty) == 0 && empty.release == NULL);
    EXPECT(stream.get_next(&stream, &empty) == 0 && empty.release == NULL);
    stream.release(&stream);
    EXPECT(stream.release == NULL);
    column.release(&column);
    REFUSED(CSM_E_IN_USE, csm_region_destroy(other, example_uri, &error));
    EXPECT(((const int64_t *)array.children[0]->buffers[1])[999] == 1000);
    array.release(&array);

    EXPECT(leases(other) == 0);
    OK(csm_region_destroy(other, example_uri, &error));
    EXPECT(strcmp(schema.children[0]->format, "l") == 0);
    schema.release(&schema);
    EXPECT(csm_ctx_free(other) == CSM_OK);
    return 0;
}
