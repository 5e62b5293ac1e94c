/* Names of tables: taken, missing, too long, empty, not UTF-8. */
#include "refuse.h"

int main(void) {
    csm_ctx_t *ctx;
    csm_table_t *table;
    struct batch batch;
    static const int64_t data[4];
    OK(csm_ctx_new(NULL, &ctx, &error));
    csm_region_t *region = example_region(ctx, "names", "size=16M&catalog=4");

    char longest[257], longer[257];
    memset(longest, 'n', 255), longest[255] = 0;
    memset(longer, 'n', 256), longer[256] = 0;
    const char *const bad[] = {"", longer, "\xff", "n\xc3"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        batch_init(&batch, "l", 4, data);
        REFUSED(CSM_E_BAD_NAME, csm_table_publish(region, bad[i], &batch.schema, &batch.array, NULL, NULL, &error));
        REFUSED(CSM_E_BAD_NAME, csm_table_open(region, bad[i], NULL, &table, &error));
        REFUSED(CSM_E_BAD_NAME, csm_table_wait(region, bad[i], 0, &error));
        REFUSED(CSM_E_BAD_NAME, csm_table_remove(region, bad[i], &error));
    }
    EXPECT(released_schemas == 4 && released_arrays == 4);

    /* Anything else is a name. */
    const char *const good[] = {longest, "a/b?c=d&e:f", "Ωλ 表", "\n"};
    csm_table_info_t info = {.struct_size = sizeof info};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        REFUSED(CSM_E_NAME_NOT_FOUND, csm_table_open(region, good[i], NULL, &table, &error));
        REFUSED(CSM_E_NAME_NOT_FOUND, csm_table_remove(region, good[i], &error));
        REFUSED(CSM_E_TIMED_OUT, csm_table_wait(region, good[i], 0, &error));
        numbers_publish(region, good[i], 1, 10, NULL);
        batch_init(&batch, "l", 4, data);
        REFUSED(CSM_E_NAME_TAKEN, csm_table_publish(region, good[i], &batch.schema, &batch.array, NULL, NULL, &error));
        OK(csm_table_wait(region, good[i], 0, &error));
        OK(csm_table_open(region, good[i], NULL, &table, &error));
        OK(csm_table_info(table, &info, &error));
        EXPECT(strcmp(info.name, good[i]) == 0 && info.rows == 10 && info.batches == 1 && info.columns == 1);
        OK(csm_table_close(table, &error));
    }

    /* All four names of the catalog are taken. */
    batch_init(&batch, "l", 4, data);
    REFUSED(CSM_E_CATALOG_FULL, csm_table_publish(region, "fifth", &batch.schema, &batch.array, NULL, NULL, &error));
    OK(csm_table_remove(region, "\n", &error));
    numbers_publish(region, "fifth", 1, 10, NULL);

    OK(csm_region_close(region, &error));
    EXPECT(csm_ctx_free(ctx) == CSM_OK);
    return 0;
}
