/* What a heap must refuse: double free, foreign pointers, wrong sizes and alignments; and the empty allocation. */
#include "refuse.h"

int main(void) {
    csm_ctx_t *ctx;
    void *a, *b, *memory = NULL;
    OK(csm_ctx_new(NULL, &ctx, &error));
    csm_region_t *region = example_region(ctx, "heap", "size=16M");
    csm_region_stats_t before = {.struct_size = sizeof before}, after = before;
    OK(csm_region_stats(region, &before, &error));

    for (uint64_t size = 1; size <= UINT64_C(1) << 20; size *= 32) {
        OK(csm_heap_alloc(region, size, 64, &a, &error));
        OK(csm_heap_alloc(region, size, 64, &b, &error));
        REFUSED(CSM_E_FOREIGN_POINTER, csm_heap_free(region, (char *)a + 8, size, &error));
        OK(csm_heap_free(region, a, size, &error));
        REFUSED(CSM_E_DOUBLE_FREE, csm_heap_free(region, a, size, &error));
        REFUSED(CSM_E_DOUBLE_FREE, csm_heap_free(region, a, CSM_SIZE_UNKNOWN, &error));
        REFUSED(CSM_E_DOUBLE_FREE, csm_heap_realloc(region, a, size, 2 * size, 64, &memory, &error));
        REFUSED(CSM_E_INVALID_ARGUMENT, csm_heap_free(region, b, UINT64_C(1) << 40, &error));
        OK(csm_heap_free(region, b, CSM_SIZE_UNKNOWN, &error));
    }

    /* Pointers from elsewhere. */
    csm_region_info_t info = {.struct_size = sizeof info};
    OK(csm_region_info(region, &info, &error));
    void *foreign[] = {&a, info.base, (char *)info.base - 64, (char *)info.base + info.size_bytes, (void *)1, (void *)-1};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        REFUSED(CSM_E_FOREIGN_POINTER, csm_heap_free(region, foreign[i], 64, &error));
        REFUSED(CSM_E_FOREIGN_POINTER, csm_heap_realloc(region, foreign[i], 64, 128, 64, &memory, &error));
        EXPECT(!csm_heap_contains(region, foreign[i]));
    }

    REFUSED(CSM_E_BAD_ALIGNMENT, csm_heap_alloc(region, 64, 3, &memory, &error));
    REFUSED(CSM_E_BAD_ALIGNMENT, csm_heap_alloc(region, 64, UINT64_C(1) << 40, &memory, &error));
    REFUSED(CSM_E_REGION_FULL, csm_heap_alloc(region, UINT64_C(1) << 50, 64, &memory, &error));
    REFUSED(CSM_E_REGION_FULL, csm_heap_alloc(region, UINT64_MAX, 64, &memory, &error));
    EXPECT(memory == NULL);

    /* A reallocation that fails leaves the allocation as it was. */
    OK(csm_heap_alloc(region, 1000, 64, &a, &error));
    memset(a, 7, 1000);
    b = a;
    REFUSED(CSM_E_REGION_FULL, csm_heap_realloc(region, a, 1000, UINT64_C(1) << 40, 64, &a, &error));
    EXPECT(a == b && ((char *)a)[999] == 7);
    OK(csm_heap_realloc(region, a, 1000, 100000, 64, &a, &error));
    EXPECT(((char *)a)[0] == 7 && ((char *)a)[999] == 7);

    /* To nothing and back. */
    OK(csm_heap_realloc(region, a, 100000, 0, 64, &a, &error));
    EXPECT(a == csm_heap_empty() && (uintptr_t)a % 128 == 0 && !csm_heap_contains(region, a));
    OK(csm_heap_alloc(region, 0, 64, &b, &error));
    EXPECT(b == a);
    OK(csm_heap_free(region, b, 0, &error));
    OK(csm_heap_free(region, b, 0, &error));
    OK(csm_heap_realloc(region, a, 0, 0, 64, &b, &error));
    EXPECT(b == a);
    OK(csm_heap_realloc(region, a, 0, 1000, 64, &a, &error));
    EXPECT(csm_heap_contains(region, a));
    OK(csm_heap_free(region, a, 1000, &error));

    OK(csm_region_stats(region, &after, &error));
    EXPECT(after.live_bytes == before.live_bytes);
    OK(csm_region_close(region, &error));
    EXPECT(csm_ctx_free(ctx) == CSM_OK);
    return 0;
}
