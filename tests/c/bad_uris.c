/* Regions that cannot be: a clear error each, and nothing is left behind. */
#include <fcntl.h>
#include <sys/stat.h>

#include "refuse.h"

static csm_ctx_t *ctx;
static csm_region_t *region;

static void create_is(csm_status_t want, const char *query) {
    char uri[512];
    snprintf(uri, sizeof uri, "shm:csm-bad-%ld%s", (long)getpid(), query);
    REFUSED(want, csm_region_create(ctx, uri, &region, &error));
}

int main(void) {
    OK(csm_ctx_new(NULL, &ctx, &error));
    const char *const malformed[] = {"",        "x",          "shm",          "shm:",           "nfs:x?size=16M",
                                     "shm:x?s", "shm:x?si=1", "shm:%ff?size=16M", "shm:x?size=16M&size=16M", "shm:.x?size=16M",
                                     "shm:\xff\xfe?size=16M"};
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        REFUSED(CSM_E_BAD_URI, csm_region_create(ctx, malformed[i], &region, &error));
        REFUSED(CSM_E_BAD_URI, csm_region_open(ctx, malformed[i], &region, &error));
        REFUSED(CSM_E_BAD_URI, csm_region_destroy(ctx, malformed[i], &error));
    }
    char long_name[400];
    memset(long_name, 'n', sizeof long_name);
    memcpy(long_name, "shm:", 4);
    strcpy(long_name + 300, "?size=16M");
    REFUSED(CSM_E_BAD_URI, csm_region_create(ctx, long_name, &region, &error));

    create_is(CSM_E_BAD_SIZE, "");
    create_is(CSM_E_BAD_SIZE, "?size=0");
    create_is(CSM_E_BAD_SIZE, "?size=1000");
    create_is(CSM_E_BAD_SIZE, "?size=16T");
    create_is(CSM_E_BAD_SIZE, "?size=32M&max=16M");
    create_is(CSM_E_NO_MEMORY, "?size=1023G");
    create_is(CSM_E_BAD_ALIGNMENT, "?size=16M&base=0x400000001000");
    create_is(CSM_E_INVALID_ARGUMENT, "?size=16M&slot=99");
    create_is(CSM_E_BAD_SIZE, "?size=lots");

    char uri[128];
    region = example_region(ctx, "bad", "size=16M");
    snprintf(uri, sizeof uri, "%s?size=16M", example_uri);
    csm_region_t *again;
    REFUSED(CSM_E_REGION_EXISTS, csm_region_create(ctx, uri, &again, &error));
    REFUSED(CSM_E_IN_USE, csm_region_destroy(ctx, example_uri, &error));
    OK(csm_region_open(ctx, uri, &again, &error));
    OK(csm_region_close(again, &error));
    snprintf(uri, sizeof uri, "%s?size=32M", example_uri);
    REFUSED(CSM_E_OPTION_MISMATCH, csm_region_open(ctx, uri, &again, &error));
    snprintf(uri, sizeof uri, "%s?mode=0600", example_uri);
    REFUSED(CSM_E_INVALID_ARGUMENT, csm_region_open(ctx, uri, &again, &error));
    REFUSED(CSM_E_BAD_SIZE, csm_region_grow(region, 64 << 20, &error));
    REFUSED(CSM_E_BAD_SIZE, csm_region_grow(region, 16 << 20, &error));
    OK(csm_region_close(region, &error));

    /* Not open any more, the options are compared with what the superblock says. */
    snprintf(uri, sizeof uri, "%s?slot=20", example_uri);
    REFUSED(CSM_E_OPTION_MISMATCH, csm_region_open(ctx, uri, &again, &error));
    OK(csm_region_destroy(ctx, example_uri, &error));
    REFUSED(CSM_E_REGION_NOT_FOUND, csm_region_open(ctx, example_uri, &again, &error));
    REFUSED(CSM_E_REGION_NOT_FOUND, csm_region_destroy(ctx, example_uri, &error));
    EXPECT(csm_ctx_free(ctx) == CSM_OK);
    return 0;
}
