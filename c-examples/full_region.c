/*
 * A full region is an error that says how full it is; nothing is lost, and the region can grow.
 */
#include "numbers.h"

int main(void) {
    csm_ctx_t *ctx;
    OK(csm_ctx_new(NULL, &ctx, &error));
    csm_region_t *region = example_region(ctx, "full", "size=16M&max=32M");

    csm_region_stats_t before = {.struct_size = sizeof before}, after = before;
    OK(csm_region_stats(region, &before, &error));

    /* More than there can be, and then all there is. */
    enum { PIECE = 256 * 1024 };
    void *pieces[256], *memory;
    int count = 0;
    EXPECT(csm_heap_alloc(region, UINT64_C(1) << 40, 0, &memory, &error) == CSM_E_REGION_FULL);
    while (csm_heap_alloc(region, PIECE, 0, &pieces[count], &error) == CSM_OK) {
        count++;
        EXPECT(count < 256);
    }
    EXPECT(error.status == CSM_E_REGION_FULL);
    printf("after %d pieces: %s\n", count, error.message);

    OK(csm_region_grow(region, 32 << 20, &error));
    OK(csm_heap_alloc(region, PIECE, 0, &pieces[count++], &error));
    while (count > 0) OK(csm_heap_free(region, pieces[--count], PIECE, &error));

    OK(csm_region_stats(region, &after, &error));
    EXPECT(after.live_bytes == before.live_bytes);
    EXPECT(after.size_bytes == 32 << 20 && after.largest_free_bytes > before.largest_free_bytes);
    OK(csm_region_close(region, &error));
    csm_ctx_free(ctx);
    return 0;
}
