/*
 * Memory that other processes see at the same address: create a region, allocate in it, write, close, destroy.
 *
 *   hello_region [URI]      such as shm:hello?size=16M
 */
#include <string.h>

#include "example.h"

int main(int argc, char **argv) {
    csm_ctx_t *ctx;
    OK(csm_ctx_new(NULL, &ctx, &error));

    csm_region_t *region;
    if (argc > 1)
        OK(csm_region_create(ctx, argv[1], &region, &error));
    else
        region = example_region(ctx, "hello", "size=16M");

    void *memory;
    OK(csm_heap_alloc(region, 6, 0, &memory, &error));
    memcpy(memory, "hello", 6);

    csm_region_info_t info = {.struct_size = sizeof info};
    OK(csm_region_info(region, &info, &error));
    csm_region_stats_t stats = {.struct_size = sizeof stats};
    OK(csm_region_stats(region, &stats, &error));
    printf("%s begins at %p, \"%s\" is at %p\n", info.label, info.base, (char *)memory, memory);
    printf("%llu of %llu bytes are in use\n", (unsigned long long)stats.live_bytes,
           (unsigned long long)stats.data_bytes);
    EXPECT(csm_heap_contains(region, memory));
    EXPECT((uintptr_t)memory % 128 == 0);
    EXPECT(stats.live_bytes >= 6 && stats.live_bytes + stats.free_bytes == stats.data_bytes);

    OK(csm_heap_free(region, memory, 6, &error));
    OK(csm_region_close(region, &error));
    OK(csm_region_destroy(ctx, info.label, &error));

    /* A handle that was closed is an error, not a crash. */
    EXPECT(csm_region_info(region, &info, &error) == CSM_E_CLOSED);
    csm_ctx_free(ctx);
    return 0;
}
