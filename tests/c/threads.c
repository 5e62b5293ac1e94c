/* Many threads at once on one handle, and handles closed while others use them. */
#include <pthread.h>

#include "refuse.h"

enum { THREADS = 4, ROUNDS = 200 };

static csm_ctx_t *ctx;
static csm_region_t *region;

/* Allocates, fills, checks and frees; frees what another thread allocated. */
static void *mailbox[64];

static void *use_heap(void *seed_pointer) {
    unsigned seed = *(unsigned *)seed_pointer;
    for (int i = 0; i < ROUNDS * 20; i++) {
        seed = seed * 1664525u + 1013904223u;
        uint64_t size = 64u * (1 + (seed >> 20) % 300);
        void *memory, *other;
        OK(csm_heap_alloc(region, size, 64, &memory, NULL));
        *(uint64_t *)memory = size;
        ((char *)memory)[size - 1] = (char)seed;
        other = __atomic_exchange_n(&mailbox[seed >> 8 & 63], memory, __ATOMIC_ACQ_REL);
        if (other != NULL) OK(csm_heap_free(region, other, *(uint64_t *)other, NULL));
    }
    return NULL;
}

/* Publishes, opens, reads, replaces and lists under names that all threads share. */
static void *use_tables(void *seed_pointer) {
    unsigned seed = *(unsigned *)seed_pointer;
    csm_publish_options_t replace = {.struct_size = sizeof replace, .replace = 1};
    for (int i = 0; i < ROUNDS; i++) {
        char name[8];
        seed = seed * 1664525u + 1013904223u;
        snprintf(name, sizeof name, "t%u", seed >> 16 & 3);
        int64_t first = seed >> 4 & 1023;
        numbers_publish(region, name, first, 100, &replace);
        csm_table_t *table;
        OK(csm_table_open(region, name, NULL, &table, NULL));
        int64_t sum = numbers_sum(table, NULL);
        EXPECT((sum - 4950) % 100 == 0 && sum - 4950 < 102400);
        OK(csm_table_check(table, NULL));
        OK(csm_table_close(table, NULL));
        csm_catalog_t *catalog;
        OK(csm_catalog_read(region, &catalog, NULL));
        EXPECT(csm_catalog_len(catalog) >= 1 && csm_catalog_len(catalog) <= 4);
        EXPECT(csm_catalog_free(catalog) == CSM_OK);
    }
    return NULL;
}

/* Opens and closes the same region, which stays mapped because `region` is open. */
static void *use_handles(void *unused) {
    (void)unused;
    for (int i = 0; i < ROUNDS; i++) {
        csm_region_t *again;
        csm_ctx_t *other;
        csm_region_info_t info = {.struct_size = sizeof info};
        OK(csm_ctx_new(NULL, &other, NULL));
        OK(csm_region_open(other, example_uri, &again, NULL));
        OK(csm_region_info(again, &info, NULL));
        OK(csm_region_close(again, NULL));
        EXPECT(csm_ctx_free(other) == CSM_OK);
    }
    return NULL;
}

/* One thread closes the shared handle while the others are inside it: they end with CSM_E_CLOSED. */
static csm_region_t *doomed;
static int inside;

static void *until_closed(void *unused) {
    (void)unused;
    for (;;) {
        void *memory;
        csm_region_stats_t stats = {.struct_size = sizeof stats};
        csm_status_t status = csm_heap_alloc(doomed, 256, 64, &memory, NULL);
        if (status == CSM_OK) {
            status = csm_heap_free(doomed, memory, 256, NULL);
            if (status == CSM_E_CLOSED) OK(csm_heap_free(region, memory, 256, NULL));
        }
        if (status == CSM_OK) status = csm_region_stats(doomed, &stats, NULL);
        __atomic_add_fetch(&inside, 1, __ATOMIC_RELAXED);
        if (status != CSM_OK) {
            EXPECT(status == CSM_E_CLOSED);
            return NULL;
        }
    }
}

/* The last handle of a region goes while another thread opens it: the mapping comes and goes. */
static char lonely[64];

static void *come_and_go(void *unused) {
    (void)unused;
    csm_error_t e = CSM_ERROR_INIT;
    for (int i = 0; i < ROUNDS / 4; i++) {
        csm_region_t *again;
        if (csm_region_open(ctx, lonely, &again, &e) != CSM_OK) example_fail(__FILE__, __LINE__, e.message);
        if (csm_region_close(again, &e) != CSM_OK) example_fail(__FILE__, __LINE__, e.message);
    }
    return NULL;
}

static void run(void *(*const work[THREADS])(void *)) {
    pthread_t threads[THREADS];
    unsigned seeds[THREADS];
    for (int i = 0; i < THREADS; i++) {
        seeds[i] = 17u * (unsigned)i + 1;
        EXPECT(pthread_create(&threads[i], NULL, work[i], &seeds[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) EXPECT(pthread_join(threads[i], NULL) == 0);
}

int main(void) {
    OK(csm_ctx_new(NULL, &ctx, &error));
    region = example_region(ctx, "threads", "size=64M");

    run((void *(*const[THREADS])(void *)){use_heap, use_heap, use_heap, use_heap});
    run((void *(*const[THREADS])(void *)){use_heap, use_tables, use_tables, use_handles});
    for (int i = 0; i < 64; i++)
        if (mailbox[i] != NULL) OK(csm_heap_free(region, mailbox[i], *(uint64_t *)mailbox[i], &error));

    for (int i = 0; i < 20; i++) {
        pthread_t threads[THREADS];
        OK(csm_region_open(ctx, example_uri, &doomed, &error));
        inside = 0;
        for (int t = 0; t < THREADS; t++) EXPECT(pthread_create(&threads[t], NULL, until_closed, NULL) == 0);
        while (__atomic_load_n(&inside, __ATOMIC_RELAXED) < 100) continue;
        OK(csm_region_close(doomed, &error));
        for (int t = 0; t < THREADS; t++) EXPECT(pthread_join(threads[t], NULL) == 0);
    }

    /* Everything came back: the tables are all that is left. */
    csm_region_stats_t stats = {.struct_size = sizeof stats};
    csm_catalog_t *catalog;
    uint64_t problems;
    OK(csm_catalog_read(region, &catalog, &error));
    for (uint64_t i = 0; i < csm_catalog_len(catalog); i++) {
        csm_table_info_t info = {.struct_size = sizeof info};
        OK(csm_catalog_entry(catalog, i, &info, &error));
        OK(csm_table_remove(region, info.name, &error));
    }
    EXPECT(csm_catalog_free(catalog) == CSM_OK);
    OK(csm_region_stats(region, &stats, &error));
    EXPECT(stats.live_bytes == 0 && stats.leases == 0 && stats.retired == 0 && stats.members == 1);
    OK(csm_region_verify(region, NULL, NULL, &problems, &error));
    EXPECT(problems == 0);
    OK(csm_region_close(region, &error));

    snprintf(lonely, sizeof lonely, "%s", example_uri);
    run((void *(*const[THREADS])(void *)){come_and_go, come_and_go, come_and_go, come_and_go});
    EXPECT(csm_ctx_free(ctx) == CSM_OK);
    return 0;
}
