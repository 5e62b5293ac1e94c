/* A reader without the right to write: it opens and reads tables, and everything else is CSM_E_READ_ONLY. */
#include "refuse.h"

int main(void) {
    csm_ctx_t *ctx;
    OK(csm_ctx_new(NULL, &ctx, &error));
    csm_region_t *region = example_region(ctx, "reader", "size=16M&max=32M");
    csm_table_t *table;
    numbers_publish(region, "t", 1, 10, NULL);
    OK(csm_region_close(region, &error));
    char uri[128];
    snprintf(uri, sizeof uri, "%s?access=ro", example_uri);
    OK(csm_region_open(ctx, uri, &region, &error));

    csm_region_info_t info = {.struct_size = sizeof info};
    OK(csm_region_info(region, &info, &error));
    EXPECT(info.writable == 0);
    OK(csm_table_wait(region, "t", 0, &error));
    OK(csm_table_open(region, "t", NULL, &table, &error));
    OK(csm_table_validate(table, &error));
    EXPECT(numbers_sum(table, NULL) == 55);

    void *memory;
    struct batch batch;
    static const int64_t data[4];
    REFUSED(CSM_E_READ_ONLY, csm_heap_alloc(region, 64, 64, &memory, &error));
    batch_init(&batch, "l", 4, data);
    REFUSED(CSM_E_READ_ONLY, csm_table_publish(region, "u", &batch.schema, &batch.array, NULL, NULL, &error));
    EXPECT(released_schemas == 1 && released_arrays == 1);
    REFUSED(CSM_E_READ_ONLY, csm_table_remove(region, "t", &error));
    REFUSED(CSM_E_READ_ONLY, csm_region_grow(region, 32 << 20, &error));

    OK(csm_table_close(table, &error));
    OK(csm_region_close(region, &error));
    EXPECT(csm_ctx_free(ctx) == CSM_OK);
    return 0;
}
