/*
 * A table of one column of 64-bit integers, for the examples that are about something else.
 * How such a table is built is shown, with more than one type, in publish_table.c.
 */
#ifndef NUMBERS_H
#define NUMBERS_H

#include <string.h>

#include "example.h"

static inline void numbers_no_release_schema(struct ArrowSchema *schema) { schema->release = NULL; }
static inline void numbers_no_release(struct ArrowArray *array) { array->release = NULL; }

/* Publishes `count` numbers from `first` on as the table `name`; their address. They are the region's then. */
static inline const int64_t *numbers_publish(csm_region_t *region, const char *name, int64_t first, int64_t count,
                                             const csm_publish_options_t *options) {
    void *memory;
    uint64_t size = (uint64_t)count * sizeof(int64_t);
    OK(csm_heap_alloc(region, size, 0, &memory, &error));
    int64_t *numbers = memory;
    for (int64_t i = 0; i < count; i++) numbers[i] = first + i;

    struct ArrowSchema column_schema = {.format = "l", .name = "number", .release = numbers_no_release_schema};
    struct ArrowSchema *schema_children[] = {&column_schema};
    struct ArrowSchema schema = {
        .format = "+s", .name = "", .n_children = 1, .children = schema_children, .release = numbers_no_release_schema};

    const void *column_buffers[] = {NULL, numbers}; /* no nulls, so no validity */
    struct ArrowArray column = {.length = count, .n_buffers = 2, .buffers = column_buffers, .release = numbers_no_release};
    struct ArrowArray *children[] = {&column};
    const void *buffers[] = {NULL};
    struct ArrowArray batch = {.length = count, .n_buffers = 1, .buffers = buffers,
                               .n_children = 1, .children = children, .release = numbers_no_release};

    OK(csm_table_publish(region, name, &schema, &batch, options, NULL, &error));
    OK(csm_heap_free(region, memory, size, &error));
    return numbers;
}

/* The sum of the first column of a table of integers, read in place. `where`, if not NULL, gets the first address. */
static inline int64_t numbers_sum(const csm_table_t *table, const int64_t **where) {
    struct ArrowArrayStream stream;
    OK(csm_table_stream(table, &stream, &error));
    int64_t sum = 0;
    for (int first = 1;; first = 0) {
        struct ArrowArray batch;
        EXPECT(stream.get_next(&stream, &batch) == 0);
        if (batch.release == NULL) break;
        const struct ArrowArray *column = batch.children[0];
        const int64_t *numbers = (const int64_t *)column->buffers[1] + column->offset;
        for (int64_t i = 0; i < column->length; i++) sum += numbers[i];
        if (first && where != NULL) *where = numbers;
        batch.release(&batch);
    }
    stream.release(&stream);
    return sum;
}

#endif
