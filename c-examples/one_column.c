/*
 * Reading one of many columns: what is not selected is not even looked at, which counts where a node must drop
 * its cached copies before it reads.
 *
 *   one_column               makes a table of eight columns and reads the sixth
 */
#include "numbers.h"

#define COLUMNS 8
#define ROWS 100000

int main(void) {
    csm_ctx_t *ctx;
    OK(csm_ctx_new(NULL, &ctx, &error));
    csm_region_t *region = example_region(ctx, "column", "size=32M");

    struct ArrowSchema schemas[COLUMNS], *schema_children[COLUMNS];
    struct ArrowArray arrays[COLUMNS], *array_children[COLUMNS];
    const void *buffers[COLUMNS][2];
    for (int c = 0; c < COLUMNS; c++) {
        void *memory;
        OK(csm_heap_alloc(region, ROWS * sizeof(int64_t), 0, &memory, &error));
        int64_t *numbers = memory;
        for (int64_t i = 0; i < ROWS; i++) numbers[i] = c;
        buffers[c][0] = NULL, buffers[c][1] = numbers;
        schemas[c] = (struct ArrowSchema){.format = "l", .name = "number", .release = numbers_no_release_schema};
        arrays[c] = (struct ArrowArray){.length = ROWS, .n_buffers = 2, .buffers = buffers[c], .release = numbers_no_release};
        schema_children[c] = &schemas[c], array_children[c] = &arrays[c];
    }
    struct ArrowSchema schema = {.format = "+s", .name = "", .n_children = COLUMNS, .children = schema_children,
                                 .release = numbers_no_release_schema};
    const void *no_validity[] = {NULL};
    struct ArrowArray batch = {.length = ROWS, .n_buffers = 1, .buffers = no_validity, .n_children = COLUMNS,
                               .children = array_children, .release = numbers_no_release};
    OK(csm_table_publish(region, "wide", &schema, &batch, NULL, NULL, &error));
    for (int c = 0; c < COLUMNS; c++) OK(csm_heap_free(region, (void *)(uintptr_t)buffers[c][1], 0, &error));

    csm_table_t *table, *sixth;
    const uint64_t columns[] = {5};
    OK(csm_table_open(region, "wide", NULL, &table, &error));
    OK(csm_table_select(table, columns, 1, &sixth, &error));
    OK(csm_table_close(table, &error)); /* the selection keeps the table */
    int64_t sum = numbers_sum(sixth, NULL);
    printf("the sum is %lld\n", (long long)sum);
    EXPECT(sum == INT64_C(5) * ROWS);

    csm_table_info_t info = {.struct_size = sizeof info};
    OK(csm_table_info(sixth, &info, &error));
    EXPECT(info.columns == 1 && info.data_bytes == ROWS * sizeof(int64_t));
    const uint64_t missing[] = {COLUMNS};
    EXPECT(csm_table_select(sixth, missing, 1, &table, NULL) == CSM_E_INVALID_ARGUMENT);
    OK(csm_table_close(sixth, &error));
    OK(csm_region_close(region, &error));
    csm_ctx_free(ctx);
    return 0;
}
