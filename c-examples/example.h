/* What the examples share: a check on every call, and a small region that goes when the program ends. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "csm.h"

/* libcsm says what went wrong in a struct that the caller owns. */
static csm_error_t error = CSM_ERROR_INIT;

/* A call that must succeed. */
#define OK(call) ((call) == CSM_OK ? (void)0 : example_fail(__FILE__, __LINE__, error.message))

/* Something that must hold: the examples are tests as well. */
#define EXPECT(what) ((what) ? (void)0 : example_fail(__FILE__, __LINE__, #what))

static void example_fail(const char *file, int line, const char *what) {
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    exit(1);
}

/* The region of an example that was started without arguments; CSM_TEST_SCHEME=incoherent: on a simulated link. */
static const char *example_scheme;
static char example_uri[64];
static pid_t example_owner;

static void example_cleanup(void) {
    csm_ctx_t *ctx;
    if (getpid() != example_owner || csm_ctx_new(NULL, &ctx, NULL) != CSM_OK) return;
    csm_region_destroy(ctx, example_uri, NULL);
    csm_ctx_free(ctx);
}

/* Creates a region named after the example and the process. `options` is the URI's query. */
static inline csm_region_t *example_region(csm_ctx_t *ctx, const char *name, const char *options) {
    if (example_scheme == NULL) example_scheme = getenv("CSM_TEST_SCHEME");
    snprintf(example_uri, sizeof example_uri, "%s:csm-%s-%ld", example_scheme ? example_scheme : "shm", name, (long)getpid());
    char uri[128];
    snprintf(uri, sizeof uri, "%s?%s", example_uri, options);
    csm_region_t *region;
    csm_status_t status = csm_region_create(ctx, uri, &region, &error);
    if (status == CSM_E_NO_MEMORY) {
        fprintf(stderr, "%s\n", error.message);
        exit(77); /* not a failure of the example */
    }
    OK(status);
    example_owner = getpid();
    atexit(example_cleanup);
    return region;
}

#endif
