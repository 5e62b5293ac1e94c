/* Arrow structs that are not what they should be: refused, consumed, and nothing is published. */
#include <errno.h>

#include "refuse.h"

static csm_region_t *region;
static int consumed;

static void refuse_batch(struct batch *batch) {
    consumed++;
    REFUSED(CSM_E_BAD_ARROW, csm_table_publish(region, "t", &batch->schema, &batch->array, NULL, NULL, &error));
    EXPECT(released_schemas == consumed && released_arrays == consumed);
}

/* A stream that fails, first at its schema, then at its second batch. */
static int64_t numbers[8] = {1, 2, 3, 4, 5, 6, 7, 8};
static struct batch streamed;
static int calls, released_streams;

static int no_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out) {
    (void)stream, (void)out;
    return EIO;
}

static int get_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out) {
    (void)stream;
    batch_init(&streamed, "l", 8, numbers);
    *out = streamed.schema;
    return 0;
}

static int get_next(struct ArrowArrayStream *stream, struct ArrowArray *out) {
    (void)stream;
    if (calls++ > 0) return EINVAL;
    *out = streamed.array;
    return 0;
}

static const char *get_last_error(struct ArrowArrayStream *stream) {
    (void)stream;
    return "the disk is on fire";
}

static void release_stream(struct ArrowArrayStream *stream) { released_streams++, stream->release = NULL; }

int main(void) {
    csm_ctx_t *ctx;
    csm_table_t *table;
    OK(csm_ctx_new(NULL, &ctx, &error));
    region = example_region(ctx, "arrow", "size=16M");
    csm_region_stats_t before = {.struct_size = sizeof before}, after = before;
    OK(csm_region_stats(region, &before, &error));

    /* Released before: still refused, and not released again. */
    struct batch batch;
    batch_init(&batch, "l", 8, numbers);
    batch.schema.release = NULL;
    REFUSED(CSM_E_BAD_ARROW, csm_table_publish(region, "t", &batch.schema, &batch.array, NULL, NULL, &error));
    EXPECT(released_schemas == 0 && released_arrays == 1);
    batch_init(&batch, "l", 8, numbers);
    batch.array.release = NULL;
    REFUSED(CSM_E_BAD_ARROW, csm_table_publish(region, "t", &batch.schema, &batch.array, NULL, NULL, &error));
    EXPECT(released_schemas == 1 && released_arrays == 1);
    consumed = 1;

    /* The schema. */
    const char *const formats[] = {"", "?", "ll", "w:", "w:-1", "d:99999,1", "+l", "tss"};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        batch_init(&batch, formats[i], 8, numbers);
        refuse_batch(&batch);
    }
    batch_init(&batch, NULL, 8, numbers);
    refuse_batch(&batch);
    batch_init(&batch, "l", 8, numbers); /* a column where a table must be */
    batch.schema.format = "l";
    refuse_batch(&batch);
    batch_init(&batch, "l", 8, numbers);
    batch.fields[0] = NULL;
    refuse_batch(&batch);
    batch_init(&batch, "l", 8, numbers);
    batch.schema.n_children = -1;
    refuse_batch(&batch);
    batch_init(&batch, "l", 8, numbers);
    batch.schema.children = NULL;
    refuse_batch(&batch);
    batch_init(&batch, "l", 8, numbers); /* without end */
    batch.field.format = "+l", batch.field.n_children = 1, batch.field.children = batch.fields;
    REFUSED(CSM_E_UNSUPPORTED, csm_table_publish(region, "t", &batch.schema, &batch.array, NULL, NULL, &error));
    consumed++;

    /* The array. */
    batch_init(&batch, "l", 8, NULL);
    refuse_batch(&batch);
    batch_init(&batch, "l", -1, numbers);
    refuse_batch(&batch);
    batch_init(&batch, "l", INT64_MAX, numbers);
    refuse_batch(&batch);
    batch_init(&batch, "l", 8, numbers);
    batch.column.length = 7; /* shorter than the table */
    refuse_batch(&batch);
    batch_init(&batch, "l", 8, numbers);
    batch.column.offset = -1;
    refuse_batch(&batch);
    batch_init(&batch, "l", 8, numbers);
    batch.column.offset = INT64_MAX;
    refuse_batch(&batch);
    batch_init(&batch, "l", 8, numbers);
    batch.column.n_buffers = 1;
    refuse_batch(&batch);
    batch_init(&batch, "l", 8, numbers);
    batch.column.null_count = 3; /* and no validity */
    refuse_batch(&batch);
    batch_init(&batch, "l", 8, numbers);
    batch.columns[0] = NULL;
    refuse_batch(&batch);
    batch_init(&batch, "l", 8, numbers);
    batch.array.n_children = 0;
    refuse_batch(&batch);
    int32_t offsets[] = {0, -5};
    batch_init(&batch, "u", 1, offsets);
    batch.column.n_buffers = 3, batch.buffers[2] = "text";
    refuse_batch(&batch);

    /* The stream. */
    struct ArrowArrayStream stream = {no_schema, get_next, get_last_error, release_stream, NULL};
    consumed = released_streams;
    REFUSED(CSM_E_BAD_ARROW, csm_table_publish_stream(region, "t", &stream, NULL, NULL, &error));
    EXPECT(released_streams == 1 && stream.release == NULL);
    REFUSED(CSM_E_BAD_ARROW, csm_table_publish_stream(region, "t", &stream, NULL, NULL, &error));
    EXPECT(released_streams == 1);
    stream = (struct ArrowArrayStream){get_schema, get_next, get_last_error, release_stream, NULL};
    int arrays = released_arrays, schemas = released_schemas;
    csm_status_t status = csm_table_publish_stream(region, "t", &stream, NULL, NULL, &error);
    EXPECT(status == CSM_E_BAD_ARROW && strstr(error.message, "the disk is on fire") != NULL);
    EXPECT(released_streams == 2 && released_arrays == arrays + 1 && released_schemas == schemas + 1);

    /* None of it is there, and no space was lost. */
    REFUSED(CSM_E_NAME_NOT_FOUND, csm_table_open(region, "t", NULL, &table, &error));
    OK(csm_region_stats(region, &after, &error));
    EXPECT(after.live_bytes == before.live_bytes);

    /* What lies outside of the region is copied, to the byte. */
    csm_published_t published = {.struct_size = sizeof published};
    batch_init(&batch, "l", 8, numbers);
    OK(csm_table_publish(region, "t", &batch.schema, &batch.array, NULL, &published, &error));
    EXPECT(published.bytes_copied == sizeof numbers && published.bytes_in_place == 0 && published.rows == 8);
    OK(csm_table_open(region, "t", NULL, &table, &error));
    EXPECT(numbers_sum(table, NULL) == 36);
    struct ArrowArray array;
    REFUSED(CSM_E_INVALID_ARGUMENT, csm_table_batch(table, 1, &array, &error));
    REFUSED(CSM_E_INVALID_ARGUMENT, csm_table_batch(table, UINT64_MAX, &array, &error));
    OK(csm_table_close(table, &error));

    /* Values are only looked at when asked: an index that leads nowhere. */
    int32_t bad_offsets[] = {0, 1000, 2};
    batch_init(&batch, "u", 2, bad_offsets);
    batch.column.n_buffers = 3, batch.buffers[2] = "ab";
    OK(csm_table_publish(region, "values", &batch.schema, &batch.array, NULL, NULL, &error));
    csm_open_options_t validate = {.struct_size = sizeof validate, .validate = 1};
    REFUSED(CSM_E_BAD_ARROW, csm_table_open(region, "values", &validate, &table, &error));
    OK(csm_table_open(region, "values", NULL, &table, &error));
    REFUSED(CSM_E_BAD_ARROW, csm_table_validate(table, &error));
    OK(csm_table_close(table, &error));

    OK(csm_region_close(region, &error));
    EXPECT(csm_ctx_free(ctx) == CSM_OK);
    return 0;
}
