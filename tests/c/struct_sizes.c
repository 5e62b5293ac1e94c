/* Structs that may grow: older and newer callers, sizes that were not set, and the error struct. */
#include <stddef.h>

#include "refuse.h"

/* No padding: every byte of a struct is some field's. */
#define ENDS(type, last) _Static_assert(offsetof(type, last) + sizeof(((type *)0)->last) == sizeof(type), #type)
ENDS(csm_ctx_options_t, patience_ns);
ENDS(csm_publish_options_t, seal);
ENDS(csm_open_options_t, reserved);
ENDS(csm_published_t, generation);
ENDS(csm_region_info_t, invalidates);
ENDS(csm_region_stats_t, bytes_copied);
ENDS(csm_table_info_t, name);
ENDS(csm_member_info_t, beat_unix_ns);
ENDS(csm_node_info_t, silent_ns);
ENDS(csm_lease_info_t, table);
ENDS(csm_error_t, message);
_Static_assert(sizeof(csm_ctx_options_t) == 40 && sizeof(csm_publish_options_t) == 16, "options");
_Static_assert(sizeof(csm_open_options_t) == 16 && sizeof(csm_published_t) == 64, "options");
_Static_assert(offsetof(csm_error_t, message) == 16, "error");

int main(void) {
    csm_ctx_t *ctx;
    csm_table_t *table;
    OK(csm_ctx_new(NULL, &ctx, &error));
    csm_region_t *region = example_region(ctx, "sizes", "size=16M");
    numbers_publish(region, "t", 1, 10, NULL);

    /* Options that are longer than the library's: zeroes are fine, anything else is not ignored. */
    struct {
        csm_open_options_t known;
        uint64_t later;
    } longer = {.known = {.struct_size = sizeof longer}};
    OK(csm_table_open(region, "t", &longer.known, &table, &error));
    OK(csm_table_close(table, &error));
    longer.later = 1;
    REFUSED(CSM_E_INVALID_ARGUMENT, csm_table_open(region, "t", &longer.known, &table, &error));
    longer.known.validate = 1, longer.later = UINT64_C(1) << 56;
    REFUSED(CSM_E_INVALID_ARGUMENT, csm_table_open(region, "t", &longer.known, &table, &error));

    /* Shorter ones are filled up with zeroes: what lies behind them is not read. */
    csm_publish_options_t options = {.struct_size = 8, .replace = 77, .seal = 77};
    struct batch batch;
    static const int64_t data[4] = {1, 2, 3, 4};
    batch_init(&batch, "l", 4, data);
    REFUSED(CSM_E_NAME_TAKEN, csm_table_publish(region, "t", &batch.schema, &batch.array, &options, NULL, &error));
    options.struct_size = 12, options.replace = 1;
    batch_init(&batch, "l", 4, data);
    OK(csm_table_publish(region, "t", &batch.schema, &batch.array, &options, NULL, &error));

    /* Sizes that cannot be, and flags that are none. */
    const uint64_t sizes[] = {0, 7, 4097, UINT64_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        csm_open_options_t open = {.struct_size = sizes[i]};
        csm_ctx_options_t new = {.struct_size = sizes[i]};
        csm_region_stats_t stats = {.struct_size = sizes[i]};
        csm_table_info_t info = {.struct_size = sizes[i]};
        csm_published_t published = {.struct_size = sizes[i]};
        csm_ctx_t *other;
        REFUSED(CSM_E_INVALID_ARGUMENT, csm_table_open(region, "t", &open, &table, &error));
        REFUSED(CSM_E_INVALID_ARGUMENT, csm_ctx_new(&new, &other, &error));
        REFUSED(CSM_E_INVALID_ARGUMENT, csm_region_stats(region, &stats, &error));
        OK(csm_table_open(region, "t", NULL, &table, &error));
        REFUSED(CSM_E_INVALID_ARGUMENT, csm_table_info(table, &info, &error));
        OK(csm_table_close(table, &error));
        batch_init(&batch, "l", 4, data);
        REFUSED(CSM_E_INVALID_ARGUMENT,
                csm_table_publish(region, "new", &batch.schema, &batch.array, NULL, &published, &error));
        REFUSED(CSM_E_NAME_NOT_FOUND, csm_table_open(region, "new", NULL, &table, &error));
    }
    csm_open_options_t open = {.struct_size = sizeof open, .validate = 2};
    REFUSED(CSM_E_INVALID_ARGUMENT, csm_table_open(region, "t", &open, &table, &error));
    open = (csm_open_options_t){.struct_size = sizeof open, .reserved = 1};
    REFUSED(CSM_E_INVALID_ARGUMENT, csm_table_open(region, "t", &open, &table, &error));
    csm_ctx_options_t new = {.struct_size = sizeof new, .log_level = 6};
    csm_ctx_t *other;
    REFUSED(CSM_E_INVALID_ARGUMENT, csm_ctx_new(&new, &other, &error));

    /* Results: a shorter struct gets what it has room for, a longer one zeroes at its end. */
    OK(csm_table_open(region, "t", NULL, &table, &error));
    csm_table_info_t info;
    memset(&info, 0x55, sizeof info);
    info.struct_size = offsetof(csm_table_info_t, batches);
    OK(csm_table_info(table, &info, &error));
    EXPECT(info.struct_size == offsetof(csm_table_info_t, batches));
    EXPECT(info.rows == 4 && info.batches == UINT64_C(0x5555555555555555));
    struct {
        csm_table_info_t known;
        uint64_t later, beyond;
    } result = {.later = 1, .beyond = 1};
    result.known.struct_size = sizeof result - sizeof result.beyond;
    OK(csm_table_info(table, &result.known, &error));
    EXPECT(result.known.rows == 4 && strcmp(result.known.name, "t") == 0);
    EXPECT(result.known.struct_size == sizeof result - sizeof result.beyond);
    EXPECT(result.later == 0 && result.beyond == 1);
    OK(csm_table_close(table, &error));

    /* The error struct: nothing beyond its size, a string always ended, and at a character. */
    for (uint64_t size = 0; size <= sizeof error; size++) {
        csm_error_t e;
        memset(&e, 0x55, sizeof e);
        e.struct_size = size;
        EXPECT(csm_table_open(region, "\xc3\xa4\xc3\xa4\xc3\xa4", NULL, &table, &e) == CSM_E_NAME_NOT_FOUND);
        const unsigned char *bytes = (const unsigned char *)&e;
        for (uint64_t i = size > 16 ? size : 16; i < sizeof e; i++) EXPECT(bytes[i] == 0x55);
        EXPECT(size < 16 || (e.status == CSM_E_NAME_NOT_FOUND && e.sys_errno == 0));
        if (size > 16) {
            const char *end = memchr(e.message, 0, size - 16);
            EXPECT(end != NULL);
            EXPECT(end == e.message || ((unsigned char)end[-1] & 0xC0) != 0xC0);
        }
    }
    /* It is left alone when all is well. */
    memset(&error, 0x55, sizeof error);
    error.struct_size = sizeof error;
    OK(csm_table_wait(region, "t", 0, &error));
    EXPECT(error.status == 0x55555555 && error.message[0] == 0x55);
    error = (csm_error_t)CSM_ERROR_INIT;
    EXPECT(csm_table_open(region, "missing", NULL, &table, NULL) == CSM_E_NAME_NOT_FOUND);

    EXPECT(strcmp(csm_status_name(CSM_OK), "CSM_OK") == 0);
    EXPECT(strcmp(csm_status_name(CSM_E_NAME_TAKEN), "CSM_E_NAME_TAKEN") == 0);
    EXPECT(strcmp(csm_status_name(CSM_E_NOT_A_REGION), "CSM_E_NOT_A_REGION") == 0);
    EXPECT(strcmp(csm_status_name(-1), "") == 0 && strcmp(csm_status_name(9999), "") == 0);
    uint32_t major, minor, patch;
    char version[32];
    csm_version(&major, &minor, &patch);
    snprintf(version, sizeof version, "%u.%u.%u", major, minor, patch);
    EXPECT(strcmp(version, csm_version_string()) == 0);

    OK(csm_region_close(region, &error));
    EXPECT(csm_ctx_free(ctx) == CSM_OK);
    return 0;
}
