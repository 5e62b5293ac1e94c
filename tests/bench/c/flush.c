/*
 * Moving lines: csm_region_release, csm_region_acquire and a publish that copies in, beside bare loops of the same
 * instructions over the same bytes, and beside libpmem2 (where it is installed). The rivals take turns, and what is said
 * is lines of JSON for tests/bench/run.py: the raw times of each.
 *
 *   flush [--quick]       on one processor and on two
 *
 * On two processors the library takes a second thread from 64 MiB on (driver/src/arch/spread.rs), and so does the bare loop:
 * below that, starting a thread costs more than it gains. libpmem2 has no threads.
 */
#define _GNU_SOURCE
#include "rivals.h"

#if !defined(__x86_64__)
int main(void) {
    missing("flush", "bare loops", "they are written for x86-64 alone");
    return 0;
}
#else

/* The memory that every rival works on: the library's address of it, and libpmem2's. */
struct area {
    csm_region_t *region;
    char *memory;
    size_t bytes;
    int processors;
    struct pmem pmem;
};

static int threads_for(const struct area *area) { return area->bytes < TWO_THREADS_FROM_BYTES ? 1 : area->processors; }

static void dirty(char *memory, size_t bytes) {
    static unsigned char value;
    memset(memory, ++value, bytes);
}

static double release(const struct area *area) {
    dirty(area->memory, area->bytes);
    double start = now_s();
    OK(csm_region_release(area->region, area->memory, area->bytes, &error));
    return now_s() - start;
}

static double bare_write_back(const struct area *area) {
    dirty(area->memory, area->bytes);
    double start = now_s();
    in_threads(area->memory, NULL, area->bytes, threads_for(area), write_back_instruction());
    return now_s() - start;
}

static double acquire(const struct area *area) {
    touch(area->memory, area->bytes);
    double start = now_s();
    OK(csm_region_acquire(area->region, area->memory, area->bytes, &error));
    return now_s() - start;
}

static double bare_invalidate(const struct area *area) {
    touch(area->memory, area->bytes);
    double start = now_s();
    in_threads(area->memory, NULL, area->bytes, threads_for(area), invalidate_instruction());
    return now_s() - start;
}

static char *outside; /* what is copied from: memory of this process alone */

static double publish(const struct area *area) {
    double start = now_s();
    publish_bytes(area->region, "copied", outside, area->bytes);
    double taken = now_s() - start;
    OK(csm_table_remove(area->region, "copied", &error));
    return taken;
}

static double bare_copy(const struct area *area) {
    double start = now_s();
    in_threads(area->memory, outside, area->bytes, threads_for(area), STREAM);
    return now_s() - start;
}

#ifdef HAVE_PMEM2
static double pmem_persist(const struct area *area) {
    char *there = pmem_at(&area->pmem, area->region, area->memory);
    dirty(there, area->bytes);
    double start = now_s();
    pmem2_get_persist_fn(area->pmem.map)(there, area->bytes);
    return now_s() - start;
}

static double pmem_copy(const struct area *area) {
    char *there = pmem_at(&area->pmem, area->region, area->memory);
    double start = now_s();
    pmem2_get_memcpy_fn(area->pmem.map)(there, outside, area->bytes, PMEM2_F_MEM_NONTEMPORAL);
    return now_s() - start;
}
#endif

struct rival {
    const char *who, *includes;
    double (*run)(const struct area *);
    int limit;
};

/* Lets the rivals take turns, and prints what each took. The first rounds are not counted. */
static void compare(const struct area *area, const char *what, const char *size, const struct rival *rivals, int count) {
    int rounds = quick ? 5 : 15, warm_up = quick ? 1 : 2;
    double *times = calloc((size_t)(count * rounds), sizeof *times);
    uint64_t lines_of_all = 0, lines_of_counting = lines_moved(area->region);
    lines_of_counting = lines_moved(area->region) - lines_of_counting; /* to ask reads the region's books */
    for (int round = -warm_up; round < rounds; round++) {
        for (int i = 0; i < count; i++) {
            uint64_t before = lines_moved(area->region);
            double taken = rivals[i].run(area);
            if (round < 0) continue;
            times[i * rounds + round] = taken;
            if (i == 0) lines_of_all += lines_moved(area->region) - before - lines_of_counting;
        }
    }
    for (int i = 0; i < count; i++) {
        printf("{\"work\":\"flush\",\"case\":\"%s, %d processor%s\",\"who\":\"%s\",\"what\":\"%s\",\"unit\":\"s\",\"warm\":true,"
               "\"limit\":%s,\"includes\":\"%s\",",
               size, area->processors, area->processors == 1 ? "" : "s", rivals[i].who, what,
               rivals[i].limit ? "true" : "false", rivals[i].includes);
        /* Of one operation. */
        if (i == 0) printf("\"counts\":{\"lines\":%llu},", (unsigned long long)(lines_of_all / (uint64_t)rounds));
        printf("\"samples\":[");
        for (int round = 0; round < rounds; round++) printf("%s%.9f", round ? "," : "", times[i * rounds + round]);
        printf("]}\n");
    }
    fflush(stdout);
    free(times);
}

static const char *const sizes[] = {"8 MiB", "1 GiB"};
static const size_t bytes_of[] = {8 * MIB, 1024 * MIB};

#define THREADS "on two processors, from 64 MiB on, by two threads, as libcsm"

static void writer(csm_region_t *region, const char *uri, size_t bytes, const char *size, int processors) {
    struct area area = {.region = region, .bytes = bytes, .processors = processors};
    void *memory;
    OK(csm_heap_alloc(region, bytes, 0, &memory, &error));
    area.memory = memory;
    const struct rival write_back[] = {
        {"libcsm", "csm_region_release of bytes just stored, to the fence", release, 0},
        {bare_name(write_back_instruction()), "the loop over the lines and mfence; " THREADS, bare_write_back, 1},
#ifdef HAVE_PMEM2
        {"libpmem2", "the persist function of a mapping of the same memory; one thread, for it has no others", pmem_persist, 0},
#endif
    };
    const struct rival copy[] = {
        {"libcsm", "publish of one column that lies outside: allocated, copied past the caches, home, committed", publish, 0},
        {"bare non-temporal stores", "the loop, 64 bytes a turn, and sfence; " THREADS, bare_copy, 1},
#ifdef HAVE_PMEM2
        {"libpmem2", "the memcpy function of a mapping of the same memory, non-temporal; one thread, for it has no others", pmem_copy, 0},
#endif
    };
    int count = sizeof write_back / sizeof *write_back; /* of copy as well */
#ifdef HAVE_PMEM2
    const char *refused = pmem_open(&area.pmem, uri);
    if (refused != NULL) {
        char who[64];
        snprintf(who, sizeof who, "libpmem2, %s, %d processor%s", size, processors, processors == 1 ? "" : "s");
        missing("flush", who, refused);
        count--;
    }
#else
    (void)uri;
#endif
    compare(&area, "write back", size, write_back, count);
    compare(&area, "bulk copy", size, copy, count);
#ifdef HAVE_PMEM2
    pmem_close(&area.pmem);
#endif
    OK(csm_heap_free(region, memory, bytes, &error));
}

/* The same memory as node 1 sees it: a process of its own, which is told where it is. */
static int reader(char **args) {
    const char *uri = args[0];
    csm_ctx_t *ctx;
    struct area area = {.memory = (char *)strtoull(args[1], NULL, 16), .bytes = strtoull(args[2], NULL, 10), .processors = atoi(args[4])};
    OK(csm_ctx_new(NULL, &ctx, &error));
    OK(csm_region_open(ctx, uri, &area.region, &error));
    const struct rival invalidate[] = {
        {"libcsm", "csm_region_acquire of bytes just read, by node 1, to the fence", acquire, 0},
        {bare_name(invalidate_instruction()), "the loop over the lines and mfence; " THREADS, bare_invalidate, 1},
    };
    compare(&area, "invalidate", args[3], invalidate, sizeof invalidate / sizeof *invalidate);
    OK(csm_region_close(area.region, &error));
    csm_ctx_free(ctx);
    return 0;
}

static void start_reader(csm_region_t *region, const char *uri, size_t bytes, const char *size, int processors) {
    void *memory;
    OK(csm_heap_alloc(region, bytes, 0, &memory, &error));
    dirty(memory, bytes);
    OK(csm_region_release(region, memory, bytes, &error));
    char node[160], at[32], length[32], count[8];
    snprintf(node, sizeof node, "%s?node=1", uri);
    snprintf(at, sizeof at, "%llx", (unsigned long long)(uintptr_t)memory);
    snprintf(length, sizeof length, "%zu", bytes);
    snprintf(count, sizeof count, "%d", processors);
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "flush", "--reader", node, at, length, size, count, quick ? "--quick" : (char *)NULL, (char *)NULL);
        _exit(127);
    }
    int status;
    if (waitpid(child, &status, 0) != child || status != 0) exit(1);
    OK(csm_heap_free(region, memory, bytes, &error));
}

/* Keeps this process to the first `count` processors of those that it may run on; false where there are fewer. */
static int keep_to(int count) {
    cpu_set_t allowed, kept;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < count) return 0;
    CPU_ZERO(&kept);
    for (int i = 0; CPU_COUNT(&kept) < count; i++)
        if (CPU_ISSET(i, &allowed)) CPU_SET(i, &kept);
    return sched_setaffinity(0, sizeof kept, &kept) == 0;
}

static void with_processors(int count) {
    if (!keep_to(count)) {
        missing("flush", count == 1 ? "1 processor" : "2 processors", "this process may not run on as many");
        return;
    }
    char uri[128], shape[192];
    snprintf(uri, sizeof uri, "shm:bench-flush-%ld", (long)getpid());
    snprintf(shape, sizeof shape, "%s?size=2400M&coherence=lc&hugepages=thp", uri);
    csm_ctx_t *ctx;
    csm_region_t *region;
    OK(csm_ctx_new(NULL, &ctx, &error));
    OK(csm_region_create(ctx, shape, &region, &error));
    for (int i = 0; i < 2; i++) {
        writer(region, uri, bytes_of[i], sizes[i], count);
        start_reader(region, uri, bytes_of[i], sizes[i], count);
    }
    OK(csm_region_close(region, &error));
    OK(csm_region_destroy(ctx, uri, &error));
    csm_ctx_free(ctx);
}

int main(int argc, char **argv) {
    quick = argc > 1 && strcmp(argv[argc - 1], "--quick") == 0;
    if (argc > 6 && strcmp(argv[1], "--reader") == 0) return reader(argv + 2);
    /* Without this libpmem2 takes shared memory for a file, and persist is msync. */
    setenv("PMEM2_FORCE_GRANULARITY", "CACHE_LINE", 1);
#ifndef HAVE_PMEM2
    missing("flush", "libpmem2", "it is not installed (Debian: libpmem2-dev)");
#endif
    outside = malloc(bytes_of[1]);
    if (outside == NULL) return 1;
    memset(outside, 1, bytes_of[1]);
    for (int count = 1; count <= 2; count++) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            with_processors(count);
            fflush(stdout);
            _exit(0);
        }
        int status;
        if (waitpid(child, &status, 0) != child || status != 0) return 1;
    }
    return 0;
}
#endif
