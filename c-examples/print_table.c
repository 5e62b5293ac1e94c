/*
 * What is published under a name: its schema, and where each buffer lies. The addresses are the same in
 * every process.
 *
 *   print_table URI NAME
 *
 * The lines `address COLUMN CHUNK BUFFER 0x...` are the buffers of each column that lie in the region, in
 * the order of the columns.
 */
#include <inttypes.h>
#include <string.h>

#include "numbers.h"

static void print_field(const struct ArrowSchema *field, int depth) {
    printf("%*s%s: %s%s\n", 2 * depth, "", field->name != NULL ? field->name : "", field->format,
           field->flags & ARROW_FLAG_NULLABLE ? "" : " not null");
    for (int64_t i = 0; i < field->n_children; i++) print_field(field->children[i], depth + 1);
    if (field->dictionary != NULL) print_field(field->dictionary, depth + 1);
}

/* The lines printed. */
static int print_table(csm_region_t *region, const char *name) {
    csm_table_t *table;
    OK(csm_table_open(region, name, NULL, &table, &error));
    csm_table_info_t info = {.struct_size = sizeof info};
    OK(csm_table_info(table, &info, &error));
    printf("%s: %" PRIu64 " rows in %" PRIu64 " batches, %" PRIu64 " bytes\n", info.name, info.rows, info.batches,
           info.data_bytes);

    struct ArrowSchema schema;
    OK(csm_table_schema(table, &schema, &error));
    for (int64_t i = 0; i < schema.n_children; i++) print_field(schema.children[i], 1);

    struct ArrowArray *batches = calloc(info.batches + 1, sizeof *batches);
    for (uint64_t i = 0; i < info.batches; i++) OK(csm_table_batch(table, i, &batches[i], &error));
    /* The arrays keep what they need. */
    OK(csm_table_close(table, &error));

    int lines = 0;
    for (int64_t c = 0; c < schema.n_children; c++) {
        for (uint64_t i = 0; i < info.batches; i++) {
            const struct ArrowArray *column = batches[i].children[c];
            for (int64_t b = 0; b < column->n_buffers; b++) {
                if (!csm_heap_contains(region, column->buffers[b])) continue;
                printf("address %s %" PRIu64 " %" PRId64 " %p\n", schema.children[c]->name, i, b, column->buffers[b]);
                lines++;
            }
        }
    }
    for (uint64_t i = 0; i < info.batches; i++) batches[i].release(&batches[i]);
    free(batches);
    schema.release(&schema);
    return lines;
}

int main(int argc, char **argv) {
    if (argc != 1 && argc != 3) {
        fprintf(stderr, "usage: print_table URI NAME\n");
        return 2;
    }
    csm_ctx_t *ctx;
    csm_region_t *region;
    OK(csm_ctx_new(NULL, &ctx, &error));
    if (argc == 3) {
        OK(csm_region_open(ctx, argv[1], &region, &error));
        EXPECT(print_table(region, argv[2]) >= 0);
    } else {
        region = example_region(ctx, "print", "size=16M");
        numbers_publish(region, "numbers", 1, 1000, NULL);
        EXPECT(print_table(region, "numbers") == 1);
    }
    OK(csm_region_close(region, &error));
    csm_ctx_free(ctx);
    return 0;
}
