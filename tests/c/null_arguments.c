/* NULL for every pointer of every function: an error that names the argument, or what the header says. */
#include "refuse.h"

#define NULL_ARGUMENT(call) REFUSED(CSM_E_INVALID_ARGUMENT, call)

int main(void) {
    csm_ctx_t *ctx;
    csm_table_t *table;
    csm_catalog_t *catalog;
    csm_members_t *members;
    csm_leases_t *leases;
    OK(csm_ctx_new(NULL, &ctx, NULL));
    csm_region_t *region = example_region(ctx, "null", "size=16M"), *other;
    const int64_t *data = numbers_publish(region, "t", 1, 10, NULL);
    OK(csm_table_open(region, "t", NULL, &table, NULL));
    OK(csm_catalog_read(region, &catalog, NULL));
    OK(csm_members_read(region, &members, NULL));
    OK(csm_leases_read(region, &leases, NULL));

    csm_region_info_t info = {.struct_size = sizeof info};
    csm_region_stats_t stats = {.struct_size = sizeof stats};
    csm_table_info_t table_info = {.struct_size = sizeof table_info};
    csm_member_info_t member = {.struct_size = sizeof member};
    csm_lease_info_t lease = {.struct_size = sizeof lease};
    struct ArrowSchema schema;
    struct ArrowArray array;
    struct ArrowArrayStream stream;
    void *memory;
    bool current;
    uint64_t problems;

    csm_version(NULL, NULL, NULL);
    uint32_t major = 99;
    csm_version(&major, NULL, NULL);
    EXPECT(major != 99);

    NULL_ARGUMENT(csm_ctx_new(NULL, NULL, &error));
    EXPECT(csm_ctx_free(NULL) == CSM_E_INVALID_ARGUMENT);

    NULL_ARGUMENT(csm_region_create(NULL, "shm:x?size=16M", &other, &error));
    NULL_ARGUMENT(csm_region_create(ctx, NULL, &other, &error));
    NULL_ARGUMENT(csm_region_create(ctx, "shm:x?size=16M", NULL, &error));
    NULL_ARGUMENT(csm_region_open(NULL, example_uri, &other, &error));
    NULL_ARGUMENT(csm_region_open(ctx, NULL, &other, &error));
    NULL_ARGUMENT(csm_region_open(ctx, example_uri, NULL, &error));
    NULL_ARGUMENT(csm_region_destroy(NULL, example_uri, &error));
    NULL_ARGUMENT(csm_region_destroy(ctx, NULL, &error));
    NULL_ARGUMENT(csm_region_close(NULL, &error));
    NULL_ARGUMENT(csm_region_grow(NULL, 32 << 20, &error));
    NULL_ARGUMENT(csm_region_info(NULL, &info, &error));
    NULL_ARGUMENT(csm_region_info(region, NULL, &error));
    NULL_ARGUMENT(csm_region_stats(NULL, &stats, &error));
    NULL_ARGUMENT(csm_region_stats(region, NULL, &error));
    NULL_ARGUMENT(csm_region_verify(NULL, NULL, NULL, &problems, &error));
    NULL_ARGUMENT(csm_region_verify(region, NULL, NULL, NULL, &error));
    OK(csm_region_verify(region, NULL, NULL, &problems, &error));
    EXPECT(problems == 0);

    NULL_ARGUMENT(csm_heap_alloc(NULL, 1, 0, &memory, &error));
    NULL_ARGUMENT(csm_heap_alloc(region, 1, 0, NULL, &error));
    OK(csm_heap_alloc(region, 1, 0, &memory, NULL));
    NULL_ARGUMENT(csm_heap_realloc(NULL, memory, 1, 2, 0, &memory, &error));
    NULL_ARGUMENT(csm_heap_realloc(region, NULL, 1, 2, 0, &memory, &error));
    NULL_ARGUMENT(csm_heap_realloc(region, memory, 1, 2, 0, NULL, &error));
    NULL_ARGUMENT(csm_heap_free(NULL, memory, 1, &error));
    NULL_ARGUMENT(csm_heap_free(region, NULL, 1, &error));
    OK(csm_heap_free(region, memory, 1, NULL));
    EXPECT(!csm_heap_contains(NULL, data) && !csm_heap_contains(region, NULL) && csm_heap_contains(region, data));

    struct batch batch;
    for (int which = 0; which < 4; which++) {
        batch_init(&batch, "l", 10, data);
        int schemas = released_schemas, arrays = released_arrays;
        NULL_ARGUMENT(csm_table_publish(which == 0 ? NULL : region, which == 1 ? NULL : "u",
                                        which == 2 ? NULL : &batch.schema, which == 3 ? NULL : &batch.array, NULL, NULL,
                                        &error));
        /* What was passed is consumed nevertheless. */
        EXPECT(released_schemas == schemas + (which != 2) && released_arrays == arrays + (which != 3));
    }
    NULL_ARGUMENT(csm_table_publish_stream(region, "u", NULL, NULL, NULL, &error));
    OK(csm_table_stream(table, &stream, &error));
    NULL_ARGUMENT(csm_table_publish_stream(NULL, "u", &stream, NULL, NULL, &error));
    EXPECT(stream.release == NULL);
    OK(csm_table_stream(table, &stream, &error));
    NULL_ARGUMENT(csm_table_publish_stream(region, NULL, &stream, NULL, NULL, &error));
    EXPECT(stream.release == NULL);

    NULL_ARGUMENT(csm_table_open(NULL, "t", NULL, &table, &error));
    NULL_ARGUMENT(csm_table_open(region, NULL, NULL, &table, &error));
    NULL_ARGUMENT(csm_table_open(region, "t", NULL, NULL, &error));
    NULL_ARGUMENT(csm_table_close(NULL, &error));
    NULL_ARGUMENT(csm_table_info(NULL, &table_info, &error));
    NULL_ARGUMENT(csm_table_info(table, NULL, &error));
    NULL_ARGUMENT(csm_table_schema(NULL, &schema, &error));
    NULL_ARGUMENT(csm_table_schema(table, NULL, &error));
    NULL_ARGUMENT(csm_table_batch(NULL, 0, &array, &error));
    NULL_ARGUMENT(csm_table_batch(table, 0, NULL, &error));
    NULL_ARGUMENT(csm_table_stream(NULL, &stream, &error));
    NULL_ARGUMENT(csm_table_stream(table, NULL, &error));
    NULL_ARGUMENT(csm_table_check(NULL, &error));
    NULL_ARGUMENT(csm_table_is_current(NULL, &current, &error));
    NULL_ARGUMENT(csm_table_is_current(table, NULL, &error));
    NULL_ARGUMENT(csm_table_validate(NULL, &error));
    NULL_ARGUMENT(csm_table_wait(NULL, "t", 0, &error));
    NULL_ARGUMENT(csm_table_wait(region, NULL, 0, &error));
    NULL_ARGUMENT(csm_table_remove(NULL, "t", &error));
    NULL_ARGUMENT(csm_table_remove(region, NULL, &error));

    NULL_ARGUMENT(csm_catalog_read(NULL, &catalog, &error));
    NULL_ARGUMENT(csm_catalog_read(region, NULL, &error));
    NULL_ARGUMENT(csm_catalog_entry(NULL, 0, &table_info, &error));
    NULL_ARGUMENT(csm_catalog_entry(catalog, 0, NULL, &error));
    EXPECT(csm_catalog_len(NULL) == 0 && csm_catalog_free(NULL) == CSM_E_INVALID_ARGUMENT);
    NULL_ARGUMENT(csm_members_read(NULL, &members, &error));
    NULL_ARGUMENT(csm_members_read(region, NULL, &error));
    NULL_ARGUMENT(csm_members_entry(NULL, 0, &member, &error));
    NULL_ARGUMENT(csm_members_entry(members, 0, NULL, &error));
    EXPECT(csm_members_len(NULL) == 0 && csm_members_free(NULL) == CSM_E_INVALID_ARGUMENT);
    NULL_ARGUMENT(csm_leases_read(NULL, &leases, &error));
    NULL_ARGUMENT(csm_leases_read(region, NULL, &error));
    NULL_ARGUMENT(csm_leases_entry(NULL, 0, &lease, &error));
    NULL_ARGUMENT(csm_leases_entry(leases, 0, NULL, &error));
    EXPECT(csm_leases_len(NULL) == 0 && csm_leases_free(NULL) == CSM_E_INVALID_ARGUMENT);

    /* Nothing of all this harmed anything. */
    EXPECT(csm_catalog_len(catalog) == 1 && csm_members_len(members) == 1 && csm_leases_len(leases) == 1);
    EXPECT(numbers_sum(table, NULL) == 55);
    csm_leases_free(leases);
    csm_members_free(members);
    csm_catalog_free(catalog);
    OK(csm_table_close(table, &error));
    OK(csm_region_close(region, &error));
    EXPECT(csm_ctx_free(ctx) == CSM_OK);
    return 0;
}
