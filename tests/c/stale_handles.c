/* A handle that was closed, is of another kind, or never was one: CSM_E_CLOSED from every function. */
#include "refuse.h"

static csm_ctx_t *ctx;
static csm_region_t *region;
static const int64_t *data;

/* Every function that takes a handle, with this one. `want` is what they answer. */
static void try_all(void *handle, csm_status_t want) {
    csm_region_t *opened = NULL;
    csm_table_t *table = NULL;
    csm_catalog_t *catalog = NULL;
    csm_members_t *members = NULL;
    csm_leases_t *leases = NULL;
    csm_region_info_t info = {.struct_size = sizeof info};
    csm_region_stats_t stats = {.struct_size = sizeof stats};
    csm_table_info_t table_info = {.struct_size = sizeof table_info};
    csm_member_info_t member = {.struct_size = sizeof member};
    csm_lease_info_t lease = {.struct_size = sizeof lease};
    struct ArrowSchema schema = {0};
    struct ArrowArray array = {0};
    struct ArrowArrayStream stream = {0};
    struct batch batch;
    void *memory = NULL, *pointer = (void *)(uintptr_t)data;
    bool current;
    uint64_t problems;

    REFUSED(want, csm_region_create(handle, "shm:csm-never?size=16M", &opened, &error));
    REFUSED(want, csm_region_open(handle, example_uri, &opened, &error));
    REFUSED(want, csm_region_destroy(handle, example_uri, &error));
    EXPECT(csm_ctx_free(handle) == want);

    REFUSED(want, csm_region_grow(handle, 32 << 20, &error));
    REFUSED(want, csm_region_info(handle, &info, &error));
    REFUSED(want, csm_region_stats(handle, &stats, &error));
    REFUSED(want, csm_region_verify(handle, NULL, NULL, &problems, &error));
    REFUSED(want, csm_region_close(handle, &error));
    REFUSED(want, csm_heap_alloc(handle, 64, 64, &memory, &error));
    REFUSED(want, csm_heap_alloc(handle, 0, 64, &memory, &error));
    REFUSED(want, csm_heap_realloc(handle, pointer, 80, 160, 64, &memory, &error));
    REFUSED(want, csm_heap_realloc(handle, csm_heap_empty(), 0, 64, 64, &memory, &error));
    REFUSED(want, csm_heap_free(handle, pointer, 80, &error));
    REFUSED(want, csm_heap_free(handle, csm_heap_empty(), 0, &error));
    EXPECT(!csm_heap_contains(handle, data));

    batch_init(&batch, "l", 10, data);
    int schemas = released_schemas, arrays = released_arrays;
    REFUSED(want, csm_table_publish(handle, "u", &batch.schema, &batch.array, NULL, NULL, &error));
    EXPECT(released_schemas == schemas + 1 && released_arrays == arrays + 1);
    REFUSED(want, csm_table_open(handle, "t", NULL, &table, &error));
    REFUSED(want, csm_table_wait(handle, "t", UINT64_MAX, &error));
    REFUSED(want, csm_table_remove(handle, "t", &error));
    REFUSED(want, csm_table_info(handle, &table_info, &error));
    REFUSED(want, csm_table_schema(handle, &schema, &error));
    REFUSED(want, csm_table_batch(handle, 0, &array, &error));
    REFUSED(want, csm_table_stream(handle, &stream, &error));
    REFUSED(want, csm_table_check(handle, &error));
    REFUSED(want, csm_table_is_current(handle, &current, &error));
    REFUSED(want, csm_table_validate(handle, &error));
    REFUSED(want, csm_table_close(handle, &error));

    REFUSED(want, csm_catalog_read(handle, &catalog, &error));
    REFUSED(want, csm_catalog_entry(handle, 0, &table_info, &error));
    EXPECT(csm_catalog_len(handle) == 0 && csm_catalog_free(handle) == want);
    REFUSED(want, csm_members_read(handle, &members, &error));
    REFUSED(want, csm_members_entry(handle, 0, &member, &error));
    EXPECT(csm_members_len(handle) == 0 && csm_members_free(handle) == want);
    REFUSED(want, csm_leases_read(handle, &leases, &error));
    REFUSED(want, csm_leases_entry(handle, 0, &lease, &error));
    EXPECT(csm_leases_len(handle) == 0 && csm_leases_free(handle) == want);

    /* Results are written on success alone. */
    EXPECT(!opened && !table && !catalog && !members && !leases && !memory);
    EXPECT(!schema.release && !array.release && !stream.release && info.base == NULL && table_info.rows == 0);
}

int main(void) {
    OK(csm_ctx_new(NULL, &ctx, &error));
    region = example_region(ctx, "stale", "size=16M");
    data = numbers_publish(region, "t", 1, 10, NULL);

    /* Never was a handle: a pointer of this program, of the region, small numbers, and the upper bits alone. */
    int local;
    void *forged[] = {&local, (void *)(uintptr_t)data, (void *)1, (void *)-1,
                      (void *)(UINT64_C(0xC5) << 56), (void *)(UINT64_C(0xC52) << 52 | 0xfffff)};
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) try_all(forged[i], CSM_E_CLOSED);

    /* Closed: the handles of all kinds. */
    csm_ctx_t *closed_ctx;
    csm_region_t *closed_region;
    csm_table_t *table, *closed_table;
    csm_catalog_t *catalog;
    csm_members_t *members;
    csm_leases_t *leases;
    OK(csm_ctx_new(NULL, &closed_ctx, &error));
    EXPECT(csm_ctx_free(closed_ctx) == CSM_OK);
    OK(csm_region_open(ctx, example_uri, &closed_region, &error));
    OK(csm_region_close(closed_region, &error));
    OK(csm_table_open(region, "t", NULL, &closed_table, &error));
    OK(csm_table_close(closed_table, &error));
    OK(csm_catalog_read(region, &catalog, &error));
    EXPECT(csm_catalog_free(catalog) == CSM_OK);
    OK(csm_members_read(region, &members, &error));
    EXPECT(csm_members_free(members) == CSM_OK);
    OK(csm_leases_read(region, &leases, &error));
    EXPECT(csm_leases_free(leases) == CSM_OK);
    void *closed[] = {closed_ctx, closed_region, closed_table, catalog, members, leases};
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++) try_all(closed[i], CSM_E_CLOSED);

    /* A slot that is used again does not revive the handle before. */
    OK(csm_table_open(region, "t", NULL, &table, &error));
    EXPECT(table != closed_table);
    try_all(closed_table, CSM_E_CLOSED);

    /* Of another kind. */
    csm_region_info_t info = {.struct_size = sizeof info};
    REFUSED(CSM_E_CLOSED, csm_region_info((const csm_region_t *)table, &info, &error));
    REFUSED(CSM_E_CLOSED, csm_region_close((csm_region_t *)ctx, &error));
    REFUSED(CSM_E_CLOSED, csm_table_close((csm_table_t *)region, &error));
    EXPECT(csm_ctx_free((csm_ctx_t *)region) == CSM_E_CLOSED);

    /* Nothing of all this harmed anything. */
    EXPECT(numbers_sum(table, NULL) == 55);
    OK(csm_table_close(table, &error));
    OK(csm_region_close(region, &error));
    EXPECT(csm_ctx_free(ctx) == CSM_OK);
    return 0;
}
