/*
 * Reading a table in place: the sum of the first column of 64-bit integers.
 *
 *   read_table URI NAME
 */
#include "numbers.h"

int main(int argc, char **argv) {
    if (argc != 1 && argc != 3) {
        fprintf(stderr, "usage: read_table URI NAME\n");
        return 2;
    }
    csm_ctx_t *ctx;
    csm_region_t *region;
    OK(csm_ctx_new(NULL, &ctx, &error));
    if (argc == 3) {
        OK(csm_region_open(ctx, argv[1], &region, &error));
    } else {
        region = example_region(ctx, "read", "size=16M");
        numbers_publish(region, "numbers", 1, 100, NULL);
    }

    /* Values of a publisher who is not trusted are checked once, here. */
    csm_open_options_t options = {.struct_size = sizeof options, .validate = 1};
    csm_table_t *table;
    OK(csm_table_open(region, argc == 3 ? argv[2] : "numbers", &options, &table, &error));

    struct ArrowSchema schema;
    OK(csm_table_schema(table, &schema, &error));
    if (schema.n_children == 0 || strcmp(schema.children[0]->format, "l") != 0) {
        fprintf(stderr, "the first column is not of 64-bit integers\n");
        return 1;
    }
    schema.release(&schema);

    int64_t sum = numbers_sum(table, NULL);
    printf("the sum is %lld\n", (long long)sum);
    EXPECT(argc == 3 || sum == 5050);

    /* A stream can be had as often as wanted. */
    EXPECT(numbers_sum(table, NULL) == sum);
    /* After the last look at the data: was it the table all the time? */
    OK(csm_table_check(table, &error));
    OK(csm_table_close(table, &error));
    OK(csm_region_close(region, &error));
    csm_ctx_free(ctx);
    return 0;
}
