/*
 * What flush.c compares the library with: bare loops over the lines in one thread or two, and libpmem2; and the small
 * things that its sides share.
 */
#ifndef RIVALS_H
#define RIVALS_H

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

static int quick;
static csm_error_t error = CSM_ERROR_INIT;
#define OK(call) ((call) == CSM_OK ? (void)0 : (fprintf(stderr, "%s\n", error.message), exit(1)))
#define MIB ((size_t)1 << 20)

static inline void missing(const char *work, const char *who, const char *why) {
    printf("{\"missing\":\"%s\",\"work\":\"%s\",\"why\":\"%s\"}\n", who, work, why);
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

static inline double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Loads a word of every line, so that the lines are in the cache as far as they fit. */
static inline void touch(const char *memory, size_t bytes) {
    for (size_t off = 0; off < bytes; off += 64) (void)*(const volatile char *)(memory + off);
}

enum loop { CLWB, CLFLUSHOPT, CLFLUSH, STREAM };

static inline unsigned features(void) {
    unsigned a, b = 0, c, d;
    __get_cpuid_count(7, 0, &a, &b, &c, &d);
    return b;
}

/* As libcsm chooses: the first that the processor has. */
static inline enum loop write_back_instruction(void) {
    return features() >> 24 & 1 ? CLWB : features() >> 23 & 1 ? CLFLUSHOPT : CLFLUSH;
}

static inline enum loop invalidate_instruction(void) { return features() >> 23 & 1 ? CLFLUSHOPT : CLFLUSH; }

static inline const char *bare_name(enum loop loop) {
    return loop == CLWB ? "bare clwb" : loop == CLFLUSHOPT ? "bare clflushopt" : "bare clflush";
}

static inline void bare(char *to, const char *from, size_t bytes, enum loop loop) {
    char *end = to + bytes;
    switch (loop) {
    case CLWB: for (; to < end; to += 64) __asm__ volatile("clwb %0" : "+m"(*to)); break;
    case CLFLUSHOPT: for (; to < end; to += 64) __asm__ volatile("clflushopt %0" : "+m"(*to)); break;
    case CLFLUSH: for (; to < end; to += 64) __asm__ volatile("clflush %0" : "+m"(*to)); break;
    case STREAM:
        for (; to < end; to += 64, from += 64)
            for (int i = 0; i < 4; i++) _mm_stream_si128((__m128i *)to + i, _mm_loadu_si128((const __m128i *)from + i));
        _mm_sfence();
        return;
    }
    __asm__ volatile("mfence" ::: "memory");
}

/* Less is not worth a second thread: what libcsm found, driver/src/arch/spread.rs. */
#define TWO_THREADS_FROM_BYTES (64 * MIB)

struct part { char *to; const char *from; size_t bytes; enum loop loop; };

static inline void *bare_part(void *argument) {
    struct part *part = argument;
    bare(part->to, part->from, part->bytes, part->loop);
    return NULL;
}

static inline void in_threads(char *to, const char *from, size_t bytes, int threads, enum loop loop) {
    if (threads == 1) {
        bare(to, from, bytes, loop);
        return;
    }
    struct part second = {to + bytes / 2, from ? from + bytes / 2 : NULL, bytes / 2, loop};
    pthread_t thread;
    pthread_create(&thread, NULL, bare_part, &second);
    bare(to, from, bytes / 2, loop);
    pthread_join(thread, NULL);
}

/* Lines that this process wrote back and invalidated, by the library's own count. */
static inline uint64_t lines_moved(csm_region_t *region) {
    csm_region_stats_t stats = {.struct_size = sizeof stats};
    OK(csm_region_stats(region, &stats, &error));
    return stats.lines_written_back + stats.lines_invalidated;
}

static inline void no_release_schema(struct ArrowSchema *schema) { schema->release = NULL; }
static inline void no_release(struct ArrowArray *array) { array->release = NULL; }

/* Publishes bytes that lie outside of every region as a table of one column: they are copied in. */
static inline void publish_bytes(csm_region_t *region, const char *name, const char *bytes, size_t count) {
    struct ArrowSchema type = {.format = "C", .name = "bytes", .release = no_release_schema};
    struct ArrowSchema *types[] = {&type};
    struct ArrowSchema schema = {.format = "+s", .name = "", .n_children = 1, .children = types, .release = no_release_schema};
    const void *values[] = {NULL, bytes};
    int64_t rows = (int64_t)count;
    struct ArrowArray column = {.length = rows, .n_buffers = 2, .buffers = values, .release = no_release};
    struct ArrowArray *columns[] = {&column};
    const void *none[] = {NULL};
    struct ArrowArray batch = {
        .length = rows, .n_buffers = 1, .buffers = none, .n_children = 1, .children = columns, .release = no_release};
    OK(csm_table_publish(region, name, &schema, &batch, NULL, NULL, &error));
}

#ifdef HAVE_PMEM2
#include <libpmem2.h>

struct pmem {
    struct pmem2_config *config;
    struct pmem2_source *source;
    struct pmem2_map *map;
    int fd;
};

/* Maps the region's file by libpmem2; NULL, or why it refuses. */
static inline const char *pmem_open(struct pmem *pmem, const char *uri) {
    static char why[200];
    char path[256];
    snprintf(path, sizeof path, "/dev/shm/csm.%s", strchr(uri, ':') + 1);
    *pmem = (struct pmem){.fd = open(path, O_RDWR)};
    if (pmem->fd < 0) return "the region's file does not open";
    if (pmem2_config_new(&pmem->config) == 0 && pmem2_source_from_fd(&pmem->source, pmem->fd) == 0 &&
        pmem2_config_set_required_store_granularity(pmem->config, PMEM2_GRANULARITY_CACHE_LINE) == 0 &&
        pmem2_map_new(&pmem->map, pmem->config, pmem->source) == 0)
        return NULL;
    snprintf(why, sizeof why, "it refuses to map the region: %s", pmem2_errormsg());
    for (char *c = why; *c; c++)
        if (*c == '"' || *c == '\\' || *c < ' ') *c = ' '; /* it goes into a string of JSON */
    return why;
}

/* Where libpmem2 has what the library has at `memory`. */
static inline char *pmem_at(const struct pmem *pmem, csm_region_t *region, const char *memory) {
    csm_region_info_t info = {.struct_size = sizeof info};
    OK(csm_region_info(region, &info, &error));
    return (char *)pmem2_map_get_address(pmem->map) + (memory - (const char *)info.base);
}

static inline void pmem_close(struct pmem *pmem) {
    if (pmem->map) pmem2_map_delete(&pmem->map);
    if (pmem->source) pmem2_source_delete(&pmem->source);
    if (pmem->config) pmem2_config_delete(&pmem->config);
    if (pmem->fd >= 0) close(pmem->fd);
}
#else
struct pmem { int none; };
#endif

#endif
#endif
