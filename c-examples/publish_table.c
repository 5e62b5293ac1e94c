/*
 * Publishing a table of two columns that is built in the region's memory, by the Arrow C Data Interface.
 * No byte of it is copied: whoever opens the table reads what was written here, where it was written.
 *
 *   publish_table URI NAME [ROWS]
 */
#include <string.h>

#include "example.h"

/* An allocation in a region, as the private data of an array: freed when the array is released. */
struct memory {
    csm_region_t *region;
    void *at;
    uint64_t size;
};

/* One column: its buffers, and what they were allocated as. */
struct column {
    struct memory memory[3];
    const void *buffers[3];
};

static void *allocate(struct column *column, int buffer, csm_region_t *region, uint64_t size) {
    void *at;
    OK(csm_heap_alloc(region, size, 0, &at, &error));
    column->memory[buffer] = (struct memory){region, at, size};
    column->buffers[buffer] = at;
    return at;
}

static void release_column(struct ArrowArray *array) {
    struct column *column = array->private_data;
    for (int64_t i = 0; i < array->n_buffers; i++) {
        struct memory *memory = &column->memory[i];
        if (memory->at != NULL) OK(csm_heap_free(memory->region, memory->at, memory->size, &error));
    }
    free(column);
    array->release = NULL;
}

/* "id": 64-bit integers, none of them null. */
static struct ArrowArray make_ids(csm_region_t *region, int64_t rows) {
    struct column *column = calloc(1, sizeof *column);
    int64_t *ids = allocate(column, 1, region, (uint64_t)rows * sizeof *ids);
    for (int64_t i = 0; i < rows; i++) ids[i] = i;
    return (struct ArrowArray){.length = rows, .n_buffers = 2, .buffers = column->buffers,
                               .release = release_column, .private_data = column};
}

/* "name": text; every third one is null. */
static struct ArrowArray make_names(csm_region_t *region, int64_t rows) {
    struct column *column = calloc(1, sizeof *column);
    uint64_t bitmap_bytes = ((uint64_t)rows + 7) / 8;
    uint8_t *valid = allocate(column, 0, region, bitmap_bytes);
    int32_t *offsets = allocate(column, 1, region, ((uint64_t)rows + 1) * sizeof *offsets);
    char *text = allocate(column, 2, region, (uint64_t)rows * 24);
    int64_t nulls = 0;
    memset(valid, 0, bitmap_bytes);
    offsets[0] = 0;
    for (int64_t i = 0; i < rows; i++) {
        int length = 0;
        if (i % 3 == 2) {
            nulls++;
        } else {
            valid[i / 8] |= (uint8_t)(1u << i % 8);
            length = snprintf(text + offsets[i], 24, "row %lld", (long long)i);
        }
        offsets[i + 1] = offsets[i] + length;
    }
    return (struct ArrowArray){.length = rows, .null_count = nulls, .n_buffers = 3, .buffers = column->buffers,
                               .release = release_column, .private_data = column};
}

static void release_nothing(struct ArrowSchema *schema) { schema->release = NULL; }

/* A table is a struct whose fields are the columns. Its children are released with it. */
static void release_table(struct ArrowArray *array) {
    for (int64_t i = 0; i < array->n_children; i++) {
        struct ArrowArray *child = array->children[i];
        if (child->release != NULL) child->release(child);
    }
    array->release = NULL;
}

int main(int argc, char **argv) {
    if (argc != 1 && argc != 3 && argc != 4) {
        fprintf(stderr, "usage: publish_table URI NAME [ROWS]\n");
        return 2;
    }
    csm_ctx_t *ctx;
    csm_region_t *region;
    OK(csm_ctx_new(NULL, &ctx, &error));
    if (argc > 1)
        OK(csm_region_open(ctx, argv[1], &region, &error));
    else
        region = example_region(ctx, "publish", "size=16M");
    const char *name = argc > 1 ? argv[2] : "example";
    int64_t rows = argc > 3 ? atoll(argv[3]) : 1000;

    struct ArrowSchema fields[] = {
        {.format = "l", .name = "id", .release = release_nothing},
        {.format = "u", .name = "name", .flags = ARROW_FLAG_NULLABLE, .release = release_nothing},
    };
    struct ArrowSchema *field_pointers[] = {&fields[0], &fields[1]};
    struct ArrowSchema schema = {
        .format = "+s", .name = "", .n_children = 2, .children = field_pointers, .release = release_nothing};

    struct ArrowArray columns[] = {make_ids(region, rows), make_names(region, rows)};
    struct ArrowArray *column_pointers[] = {&columns[0], &columns[1]};
    const void *no_buffer[] = {NULL};
    struct ArrowArray batch = {.length = rows, .n_buffers = 1, .buffers = no_buffer,
                               .n_children = 2, .children = column_pointers, .release = release_table};
    const void *ids = columns[0].buffers[1], *text = columns[1].buffers[2];

    csm_publish_options_t options = {.struct_size = sizeof options, .replace = 1};
    csm_published_t published = {.struct_size = sizeof published};
    OK(csm_table_publish(region, name, &schema, &batch, &options, &published, &error));
    printf("%s: %llu rows, %llu bytes where they were, %llu bytes copied\n", name,
           (unsigned long long)published.rows, (unsigned long long)published.bytes_in_place,
           (unsigned long long)published.bytes_copied);

    /* Both structs are consumed: they were released, and the memory is the region's now. */
    EXPECT(schema.release == NULL && batch.release == NULL && columns[0].release == NULL);
    EXPECT(published.rows == (uint64_t)rows && published.bytes_copied == 0);

    csm_table_t *table;
    OK(csm_table_open(region, name, NULL, &table, &error));
    OK(csm_table_validate(table, &error));
    struct ArrowArray read;
    OK(csm_table_batch(table, 0, &read, &error));
    EXPECT(read.children[0]->buffers[1] == ids && read.children[1]->buffers[2] == text);
    EXPECT(read.children[1]->null_count == rows / 3);
    EXPECT(rows < 2 || memcmp((const char *)text + ((const int32_t *)read.children[1]->buffers[1])[1], "row 1", 5) == 0);

    /* An array keeps its table, whatever becomes of the handles. */
    OK(csm_table_close(table, &error));
    OK(csm_region_close(region, &error));
    EXPECT(rows < 2 || ((const int64_t *)ids)[1] == 1);
    read.release(&read);
    csm_ctx_free(ctx);
    return 0;
}
