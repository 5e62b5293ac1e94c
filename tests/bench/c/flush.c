/*
 * Writing dirty lines home: csm_region_release beside the bare loop of the same instruction over the same length,
 * and beside libpmem2's persist (where it is installed). The variants take turns; medians, and their ratio.
 *
 *   flush           with one processor and with two
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "csm.h"
#ifdef HAVE_PMEM2
#include <libpmem2.h>
#endif

#if !defined(__x86_64__)
int main(void) {
    printf("flush: the bare loop is written for x86-64 alone\n");
    return 0;
}
#else
#include <cpuid.h>

#define MIB ((size_t)1 << 20)
#define RUNS 15

static csm_error_t error = CSM_ERROR_INIT;
#define OK(call) ((call) == CSM_OK ? (void)0 : (fprintf(stderr, "%s\n", error.message), exit(1)))

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

enum instruction { CLWB, CLFLUSHOPT, CLFLUSH };
static const char *const names[] = {"clwb", "clflushopt", "clflush"};

/* As libcsm chooses: the first that the processor has. */
static enum instruction best(void) {
    unsigned a, b = 0, c, d;
    __get_cpuid_count(7, 0, &a, &b, &c, &d);
    return b >> 24 & 1 ? CLWB : b >> 23 & 1 ? CLFLUSHOPT : CLFLUSH;
}

static void bare(char *from, size_t bytes, enum instruction instruction) {
    char *end = from + bytes;
    switch (instruction) {
    case CLWB: for (; from < end; from += 64) __asm__ volatile("clwb %0" : "+m"(*from)); break;
    case CLFLUSHOPT: for (; from < end; from += 64) __asm__ volatile("clflushopt %0" : "+m"(*from)); break;
    case CLFLUSH: for (; from < end; from += 64) __asm__ volatile("clflush %0" : "+m"(*from)); break;
    }
    __asm__ volatile("mfence" ::: "memory");
}

struct half { char *from; size_t bytes; };
static void *bare_half(void *half) {
    bare(((struct half *)half)->from, ((struct half *)half)->bytes, best());
    return NULL;
}

static void bare_threads(char *from, size_t bytes, int threads) {
    if (threads == 1) return bare(from, bytes, best());
    struct half second = {from + bytes / 2, bytes / 2};
    pthread_t thread;
    pthread_create(&thread, NULL, bare_half, &second);
    bare(from, bytes / 2, best());
    pthread_join(thread, NULL);
}

static void dirty(char *memory, size_t bytes) {
    static unsigned char value;
    memset(memory, ++value, bytes);
}

static int by_value(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static double median(double *values) {
    qsort(values, RUNS, sizeof *values, by_value);
    return values[RUNS / 2];
}

/* Medians of the ratio are of pairs: what disturbs one run of a machine disturbs its neighbour too. */
static void row(const char *what, int threads, double *ours, double *theirs, const char *beside) {
    double ratios[RUNS];
    for (int i = 0; i < RUNS; i++) ratios[i] = ours[i] / theirs[i];
    double ratio = median(ratios), a = median(ours), b = median(theirs);
    printf("%s, %d thread%s: libcsm %.3f ms, %s %.3f ms, ratio %.2f  goal 1.05, %s\n", what, threads, threads == 1 ? "" : "s", a,
           beside, b, ratio, ratio <= 1.05 ? "met" : "MISSED");
}

static void measure(csm_region_t *region, const char *uri, const char *what, size_t bytes, int threads) {
    void *memory;
    OK(csm_heap_alloc(region, bytes, 0, &memory, &error));
    double ours[RUNS], loop[RUNS];
    dirty(memory, bytes);
    for (int i = 0; i < RUNS; i++) {
        dirty(memory, bytes);
        double start = now_ms();
        OK(csm_region_release(region, memory, bytes, &error));
        ours[i] = now_ms() - start;
        dirty(memory, bytes);
        start = now_ms();
        bare_threads(memory, bytes, threads);
        loop[i] = now_ms() - start;
    }
    row(what, threads, ours, loop, names[best()]);
#ifdef HAVE_PMEM2
    if (threads == 1) {
        char path[256];
        snprintf(path, sizeof path, "/dev/shm/csm.%s", strchr(uri, ':') + 1);
        *strchrnul(path, '?') = 0;
        struct pmem2_config *config;
        struct pmem2_source *source;
        struct pmem2_map *map;
        int fd = open(path, O_RDWR);
        if (pmem2_config_new(&config) || pmem2_source_from_fd(&source, fd) ||
            pmem2_config_set_required_store_granularity(config, PMEM2_GRANULARITY_CACHE_LINE) ||
            pmem2_map_new(&map, config, source)) {
            printf("libpmem2: %s\n", pmem2_errormsg());
            exit(1);
        }
        csm_region_info_t info = {.struct_size = sizeof info};
        OK(csm_region_info(region, &info, &error));
        char *there = (char *)pmem2_map_get_address(map) + ((char *)memory - (char *)info.base);
        pmem2_persist_fn persist = pmem2_get_persist_fn(map);
        dirty(there, bytes);
        for (int i = 0; i < RUNS; i++) {
            dirty(memory, bytes);
            double start = now_ms();
            OK(csm_region_release(region, memory, bytes, &error));
            ours[i] = now_ms() - start;
            dirty(there, bytes);
            start = now_ms();
            persist(there, bytes);
            loop[i] = now_ms() - start;
        }
        row(what, threads, ours, loop, "libpmem2");
        pmem2_map_delete(&map);
        pmem2_source_delete(&source);
        pmem2_config_delete(&config);
        close(fd);
    }
#else
    (void)uri;
#endif
    OK(csm_heap_free(region, memory, bytes, &error));
}

static int with_processors(int count) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int i = 0; i < count; i++) CPU_SET(i, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) return 0;
    char uri[128];
    snprintf(uri, sizeof uri, "shm:bench-flush-%ld?size=1200M&coherence=lc&hugepages=thp", (long)getpid());
    csm_ctx_t *ctx;
    csm_region_t *region;
    OK(csm_ctx_new(NULL, &ctx, &error));
    OK(csm_region_create(ctx, uri, &region, &error));
    measure(region, uri, "8 MiB dirty in the cache", 8 * MIB, count);
    measure(region, uri, "1 GiB just written", 1024 * MIB, count);
    OK(csm_region_close(region, &error));
    *strchr(uri, '?') = 0;
    OK(csm_region_destroy(ctx, uri, &error));
    return 0;
}

int main(void) {
    /* Without this libpmem2 takes shared memory for a file, and persist is msync. */
    setenv("PMEM2_FORCE_GRANULARITY", "CACHE_LINE", 1);
#ifndef HAVE_PMEM2
    printf("flush: without libpmem2, which is not installed (Debian: libpmem2-dev)\n");
#endif
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
