/* For tests of what libcsm must refuse. */
#ifndef REFUSE_H
#define REFUSE_H

#include "../../c-examples/numbers.h"

/* A call that must fail with `status`, say so in `error`, and begin its message with the function's name. */
#define REFUSED(want, call) refused(want, call, #call, __LINE__)

static inline void refused(csm_status_t want, csm_status_t got, const char *call, int line) {
    size_t name = strcspn(call, "(");
    if (got == want && error.status == want && strncmp(error.message, call, name) == 0 && error.message[name] == ':' &&
        strlen(error.message) > name + 10) {
        error = (csm_error_t)CSM_ERROR_INIT;
        return;
    }
    fprintf(stderr, "line %d: %s\nwanted %s, got %s, and in the struct %s: \"%s\"\n", line, call,
            csm_status_name(want), csm_status_name(got), csm_status_name(error.status), error.message);
    exit(1);
}

/* Structs that count how often they are released. */
static int released_schemas, released_arrays;
static inline void count_schema(struct ArrowSchema *schema) { released_schemas++, schema->release = NULL; }
static inline void count_array(struct ArrowArray *array) { released_arrays++, array->release = NULL; }

/* A batch of one column of `format`, to be filled in further by the test. */
struct batch {
    struct ArrowSchema schema, field, *fields[1];
    struct ArrowArray array, column, *columns[1];
    const void *no_buffer[1], *buffers[3];
};

static inline void batch_init(struct batch *b, const char *format, int64_t length, const void *data) {
    memset(b, 0, sizeof *b);
    b->field = (struct ArrowSchema){.format = format, .name = "c", .release = numbers_no_release_schema};
    b->fields[0] = &b->field;
    b->schema = (struct ArrowSchema){.format = "+s", .n_children = 1, .children = b->fields, .release = count_schema};
    b->buffers[1] = data;
    b->column = (struct ArrowArray){
        .length = length, .n_buffers = 2, .buffers = b->buffers, .release = numbers_no_release};
    b->columns[0] = &b->column;
    b->array = (struct ArrowArray){.length = length, .n_buffers = 1, .buffers = b->no_buffer,
                                   .n_children = 1, .children = b->columns, .release = count_array};
}

#endif
