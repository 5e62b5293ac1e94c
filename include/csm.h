/*
 * libcsm: cluster shared memory for Apache Arrow. The C interface.
 *
 * Copyright libcsm contributors. SPDX-License-Identifier: Apache-2.0
 * Made by cbindgen from ffi/src: do not edit.
 *
 * Conventions
 *
 * - A function that can fail returns a csm_status_t: CSM_OK, or one of CSM_E_..., whose numbers never
 *   change their meaning. Its last argument is a csm_error_t of the caller's, or NULL, that gets the
 *   sentence to the status. When a call fails, its results are left as they were. (Results are the
 *   arguments that point to a variable of the caller's.)
 * - Besides the errors that are listed with a function, any may return CSM_E_INVALID_ARGUMENT (an
 *   argument is NULL or out of its domain), CSM_E_FORKED, CSM_E_NO_MEMORY, CSM_E_INTERNAL (a fault of
 *   libcsm), and any that works on a region CSM_E_REGION_LOST, CSM_E_CORRUPT or CSM_E_TIMED_OUT (another
 *   process held a lock for longer than the `wait` of the URI).
 * - csm_ctx_t *, csm_region_t * and the like are handles. They point nowhere, and are checked at every
 *   call: one that was closed, or is of another kind, answers CSM_E_CLOSED; one that a parent process
 *   opened answers CSM_E_FORKED in the child, which opens its own.
 * - Every function may be called on any thread, and several at once with the same handle, where it is
 *   a pointer to const. A pointer to non-const ends the handle. Nothing depends on the calling thread.
 * - A struct that begins with struct_size may grow in later versions: set struct_size to the sizeof that
 *   you compiled with, and everything you do not care for to zero.
 * - Strings are UTF-8, ended by a zero byte. They are copied where they are kept. Sizes are in bytes.
 */


#ifndef CSM_H
#define CSM_H

#include <stdbool.h>
#include <stdint.h>

/* The Arrow C Data Interface and C Stream Interface, as their specification gives them. */

#ifdef __cplusplus
extern "C" {
#endif

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

#endif /* ARROW_C_DATA_INTERFACE */

#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE

struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *out);
    int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *out);
    const char *(*get_last_error)(struct ArrowArrayStream *);
    void (*release)(struct ArrowArrayStream *);
    void *private_data;
};

#endif /* ARROW_C_STREAM_INTERFACE */

#ifdef __cplusplus
}
#endif

/* What a csm_error_t is before the call. */
#define CSM_ERROR_INIT { sizeof(csm_error_t), 0, 0, {0} }


// A call failed in a way that no status could tell.
#define CSM_LOG_ERROR 1

// Something is not as it should be.
#define CSM_LOG_WARN 2

// What the library does on its own account, such as clearing up after a dead process.
#define CSM_LOG_INFO 3

// For the library's developers.
#define CSM_LOG_DEBUG 4

// Everything.
#define CSM_LOG_TRACE 5

// For `csm_heap_free`: the size is not known.
#define CSM_SIZE_UNKNOWN UINT64_MAX

// The tables that a region had when the catalog was read.
typedef struct csm_catalog_t csm_catalog_t;

// A context. Regions are created and opened under one; usually a process has one.
typedef struct csm_ctx_t csm_ctx_t;

// The leases that were held on a region's tables when they were read.
typedef struct csm_leases_t csm_leases_t;

// The processes that had a region open when they were read.
typedef struct csm_members_t csm_members_t;

// The nodes that had ever had a region open when they were read.
typedef struct csm_nodes_t csm_nodes_t;

// A region that this process has open.
typedef struct csm_region_t csm_region_t;

// A published table that this process has open: a lease on one generation of it.
typedef struct csm_table_t csm_table_t;

// What a function returns: `CSM_OK` or one of the codes `CSM_E_...`, which never change their meaning.
typedef int32_t csm_status_t;

// Takes a line of the library's log: `message` is UTF-8 and valid during the call, `level` is one of
// `CSM_LOG_...`. It is called on whatever thread has something to say, several at once; it must not call
// this library. It is not called any more once `csm_ctx_free` has returned, nor in a forked child.
typedef void (*csm_log_t)(void *user, uint32_t level, const char *message);

// How a context behaves. Zeroes are the defaults.
typedef struct {
    // Set by the caller: `sizeof(csm_ctx_options_t)`.
    uint64_t struct_size;
    // 1: a handler of SIGBUS turns a region whose file was truncated into `CSM_E_REGION_LOST` where it
    // would end the process. It passes on every other SIGBUS.
    uint32_t survive_region_loss;
    // The least important messages that `log` gets: one of `CSM_LOG_...`; 0 is `CSM_LOG_WARN`.
    uint32_t log_level;
    // Where the library's log goes, or NULL.
    csm_log_t log;
    // Passed to `log` as it is.
    void *log_user;
    // The longest a call waits for another process that holds a lock, in nanoseconds; 0 is 10 seconds. A
    // region's `wait` option overrides it.
    uint64_t patience_ns;
} csm_ctx_options_t;

// What went wrong, for people. Allocated by the caller: set it to `CSM_ERROR_INIT` and pass its address as
// the last argument; or pass NULL. It is written when a call fails and left alone otherwise.
typedef struct {
    // Set by the caller: `sizeof(csm_error_t)`. Nothing beyond it is written.
    uint64_t struct_size;
    // The status that was returned.
    csm_status_t status;
    // The `errno` of the system call that failed, or 0.
    int32_t sys_errno;
    // A sentence that names the thing, the value and what to do. UTF-8, ended by a zero byte.
    char message[488];
} csm_error_t;

// What a region is.
typedef struct {
    // Set by the caller: `sizeof(csm_region_info_t)`.
    uint64_t struct_size;
    // The region's first byte, in every process.
    void *base;
    // Its slot of address space.
    uint64_t slot;
    // Bytes of the region now.
    uint64_t size_bytes;
    // Bytes it may grow to.
    uint64_t max_bytes;
    // Of its bytes, those for data.
    uint64_t data_bytes;
    // Of its bytes, those the library keeps its books in.
    uint64_t metadata_bytes;
    // The node this process is on.
    uint64_t node;
    // The node that owns the region.
    uint64_t owner_node;
    // Nodes it has room for.
    uint64_t nodes;
    // Processes a node it has room for.
    uint64_t members;
    // Names of tables it has room for.
    uint64_t names;
    // The version of its layout.
    uint64_t layout_version;
    // 1 if this process may allocate and publish, 0 if it may only read.
    uint64_t writable;
    // When it was created, in nanoseconds since the epoch.
    uint64_t created_unix_ns;
    // Its identity, as text.
    char uuid[40];
    // Its URI without options.
    char label[640];
    // Bytes the link moves at once.
    uint64_t line_bytes;
    // 1 if this process must write back what it stored before other nodes see it. Publishing does.
    uint64_t writes_back;
    // 1 if this process must invalidate before it sees what other nodes stored. Opening does.
    uint64_t invalidates;
} csm_region_info_t;

// How full a region is, and what this process did in it. Bytes are those of extents, which are a little
// larger than what was asked for.
typedef struct {
    // Set by the caller: `sizeof(csm_region_stats_t)`.
    uint64_t struct_size;
    // Bytes of the region now.
    uint64_t size_bytes;
    // Of its bytes, those for data.
    uint64_t data_bytes;
    // Of the data bytes, those in use by any process or table.
    uint64_t live_bytes;
    // Of the data bytes, those that are free.
    uint64_t free_bytes;
    // The largest allocation that would succeed.
    uint64_t largest_free_bytes;
    // Bytes of published extents that no process holds any more.
    uint64_t region_owned_bytes;
    // Bytes this process holds.
    uint64_t process_live_bytes;
    // The most bytes this process held at once.
    uint64_t process_peak_bytes;
    // Tables published.
    uint64_t tables;
    // Generations of tables that were removed or replaced and are still read.
    uint64_t retired;
    // Leases held.
    uint64_t leases;
    // Processes that have the region open.
    uint64_t members;
    // Lines this process wrote back to the cluster's memory.
    uint64_t lines_written_back;
    // Lines this process invalidated.
    uint64_t lines_invalidated;
    // Fences this process made for the region's sake.
    uint64_t fences;
    // Times that a table changed while this process opened it, so that it began anew.
    uint64_t retries;
    // Bytes this process copied into the region because they lay outside.
    uint64_t bytes_copied;
} csm_region_stats_t;

// Takes a line that `csm_region_verify` found: `line` is valid during the call.
typedef void (*csm_report_t)(void *user, const char *line);

// How a table is published. Zeroes are the defaults.
typedef struct {
    // Set by the caller: `sizeof(csm_publish_options_t)`.
    uint64_t struct_size;
    // 1: a table of that name is replaced; who reads the old one keeps it. 0: it is `CSM_E_NAME_TAKEN`.
    uint32_t replace;
    // 1: this process can store no more to the pages that lie wholly inside the table's buffers: a store
    // there is a SIGSEGV.
    uint32_t seal;
} csm_publish_options_t;

// What was published.
typedef struct {
    // Set by the caller: `sizeof(csm_published_t)`.
    uint64_t struct_size;
    // Rows of the table.
    uint64_t rows;
    // Batches it has.
    uint64_t batches;
    // Bytes of buffers that lay in a region and stayed where they were.
    uint64_t bytes_in_place;
    // Bytes of buffers that had to be copied into the region.
    uint64_t bytes_copied;
    // Bytes of the table's descriptor.
    uint64_t descriptor_bytes;
    // Bytes that were sealed.
    uint64_t bytes_sealed;
    // The table's generation.
    uint64_t generation;
} csm_published_t;

// How a table is opened. Zeroes are the defaults.
typedef struct {
    // Set by the caller: `sizeof(csm_open_options_t)`.
    uint64_t struct_size;
    // 1: every value is checked as `csm_table_validate` does.
    uint32_t validate;
    // Zero.
    uint32_t reserved;
} csm_open_options_t;

// A table as the catalog has it.
typedef struct {
    // Set by the caller: `sizeof(csm_table_info_t)`.
    uint64_t struct_size;
    // Rows of the table.
    uint64_t rows;
    // Batches it has.
    uint64_t batches;
    // Columns it has.
    uint64_t columns;
    // Bytes its arrays refer to, each buffer counted as often as it is used.
    uint64_t data_bytes;
    // Which publication of the name this is.
    uint64_t generation;
    // Its name.
    char name[256];
} csm_table_info_t;

// A process that has a region open.
typedef struct {
    // Set by the caller: `sizeof(csm_member_info_t)`.
    uint64_t struct_size;
    // Its node.
    uint64_t node;
    // Its slot on that node.
    uint64_t slot;
    // Its process id, in its own PID namespace.
    uint64_t pid;
    // Its effective user id.
    uint64_t uid;
    // When it opened the region, in nanoseconds since the epoch.
    uint64_t since_unix_ns;
    // 1 if it lives; a dead one is about to be cleared up.
    uint64_t alive;
    // Bytes it allocated and holds.
    uint64_t live_bytes;
    // The most bytes it held at once.
    uint64_t peak_bytes;
    // Its program's name.
    char command[40];
    // Its last sign of life, in nanoseconds since the epoch by its own clock; 0 where the kernel knows better.
    uint64_t beat_unix_ns;
} csm_member_info_t;

// A node that has, or had, a region open.
typedef struct {
    // Set by the caller: `sizeof(csm_node_info_t)`.
    uint64_t struct_size;
    // Its number.
    uint64_t node;
    // Its incarnation: changes when the node starts anew.
    uint64_t incarnation;
    // 0: nothing is wrong. 1: it has leases and gave no sign of life for some seconds, so that what they
    // protect is in quarantine. 2: an operator declared it off, and its leases count no more.
    uint64_t state;
    // Its processes that have the region open, as far as is known.
    uint64_t members;
    // Its leases that count.
    uint64_t leases;
    // Retired generations that its leases keep.
    uint64_t retired_kept;
    // Nanoseconds since its last sign of life; 0 where the kernel sees its processes.
    uint64_t silent_ns;
} csm_node_info_t;

// One process's right to read one generation of a table.
typedef struct {
    // Set by the caller: `sizeof(csm_lease_info_t)`.
    uint64_t struct_size;
    // The process's node.
    uint64_t node;
    // The process's slot on that node.
    uint64_t slot;
    // Its process id, in its own PID namespace.
    uint64_t pid;
    // When it opened the table, in nanoseconds since the epoch.
    uint64_t since_unix_ns;
    // 1 if the table was removed or replaced meanwhile.
    uint64_t retired;
    // 1 if the process lives; what a dead one held is about to be cleared up.
    uint64_t alive;
    // The table's name.
    char table[256];
} csm_lease_info_t;

// The call did what it says.
#define CSM_OK 0

// An argument is out of its domain.
#define CSM_E_INVALID_ARGUMENT 1

// A URI does not parse, or names an unknown scheme or option.
#define CSM_E_BAD_URI 2

// A size is zero, too small, too large or not a multiple.
#define CSM_E_BAD_SIZE 3

// An address or size is not aligned as it must be.
#define CSM_E_BAD_ALIGNMENT 4

// A name is empty, too long or not UTF-8.
#define CSM_E_BAD_NAME 5

// There is no such region.
#define CSM_E_REGION_NOT_FOUND 10

// A region of that name is there already.
#define CSM_E_REGION_EXISTS 11

// The operating system does not let this user do it.
#define CSM_E_PERMISSION_DENIED 12

// The bytes are not a region.
#define CSM_E_NOT_A_REGION 13

// The region has another layout version, or a feature this build lacks.
#define CSM_E_LAYOUT_MISMATCH 14

// The region lives at another base, or an option contradicts its superblock.
#define CSM_E_OPTION_MISMATCH 15

// The region's file is shorter than its superblock says.
#define CSM_E_TRUNCATED 16

// The region is still in use.
#define CSM_E_IN_USE 17

// The region belongs to another user.
#define CSM_E_NOT_YOURS 18

// Something else is mapped where the region must be.
#define CSM_E_ADDRESS_TAKEN 19

// The memory behind the region went away while it was mapped.
#define CSM_E_REGION_LOST 20

// A structure of the region does not check.
#define CSM_E_CORRUPT 21

// The machine cannot provide the memory asked for.
#define CSM_E_NO_MEMORY 22

// Only the region's owner may do this.
#define CSM_E_NOT_OWNER 23

// The region was opened read-only.
#define CSM_E_READ_ONLY 24

// The region has no room for the allocation.
#define CSM_E_REGION_FULL 30

// The pointer does not belong to this heap.
#define CSM_E_FOREIGN_POINTER 31

// The extent was freed before.
#define CSM_E_DOUBLE_FREE 32

// A table of that name is published already.
#define CSM_E_NAME_TAKEN 40

// No table of that name is published.
#define CSM_E_NAME_NOT_FOUND 41

// The catalog has no room for another name.
#define CSM_E_CATALOG_FULL 42

// The process holds as many leases as the region has room for.
#define CSM_E_LEASES_FULL 43

// The region has no free process slot.
#define CSM_E_MEMBERS_FULL 44

// What the reference names was reclaimed.
#define CSM_E_STALE 45

// The deadline passed first.
#define CSM_E_TIMED_OUT 46

// Arrow data that breaks the Arrow format.
#define CSM_E_BAD_ARROW 47

// A file that is not what it is said to be.
#define CSM_E_BAD_FILE 48

// Not possible on this device, machine or build.
#define CSM_E_UNSUPPORTED 49

// The handle was closed.
#define CSM_E_CLOSED 50

// The handle belongs to the process this one was forked from.
#define CSM_E_FORKED 51

// This node was declared off by an operator; its leases count no more.
#define CSM_E_FENCED 52

// The simulated link found a line that was not written back, or an old one that was used.
#define CSM_E_INCOHERENT 53

// A system call failed.
#define CSM_E_SYSTEM 60

// A fault of the library itself.
#define CSM_E_INTERNAL 61

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The name of a status as it is written in this header, such as `CSM_E_NAME_TAKEN`; an empty string for
// a number that is none. The string lives as long as the process. Callable from any thread.
const char *csm_status_name(csm_status_t status);

// The version of the library that is running, which may be newer than this header. Each of the
// pointers may be NULL. Callable from any thread.
void csm_version(uint32_t *major, uint32_t *minor, uint32_t *patch);

// The same as a string, such as "0.1.0", which lives as long as the process.
const char *csm_version_string(void);

// Makes a context. `options` may be NULL.
//
// Free it with `csm_ctx_free`. Thread-safe.
// Errors: `CSM_E_INVALID_ARGUMENT`; `CSM_E_UNSUPPORTED` if the program has a `log` of its own, which is
// so only where libcsm.a is part of a Rust program.
csm_status_t csm_ctx_new(const csm_ctx_options_t *options,
                         csm_ctx_t **ctx,
                         csm_error_t *error);

// Ends a context. Regions that were opened under it stay open.
//
// Returns `CSM_OK`, `CSM_E_INVALID_ARGUMENT` (it is NULL), `CSM_E_CLOSED` or `CSM_E_FORKED`.
// Thread-safe; waits for calls of the log function that are under way, so it must not be called in one.
csm_status_t csm_ctx_free(csm_ctx_t *ctx);

// Creates the region that `uri` describes, such as "shm:NAME?size=1G", and opens it.
//
// Close it with `csm_region_close`; it stays until `csm_region_destroy`. Thread-safe.
// Errors: `CSM_E_BAD_URI`, `CSM_E_BAD_SIZE`, `CSM_E_BAD_ALIGNMENT`, `CSM_E_REGION_EXISTS`,
// `CSM_E_NO_MEMORY`, `CSM_E_ADDRESS_TAKEN`, `CSM_E_PERMISSION_DENIED`, `CSM_E_SYSTEM`.
csm_status_t csm_region_create(const csm_ctx_t *ctx,
                               const char *uri,
                               csm_region_t **region,
                               csm_error_t *error);

// Opens the region that `uri` names, such as "shm:NAME". Opened twice it is mapped once; each handle
// is closed by itself.
//
// Close it with `csm_region_close`. Thread-safe.
// Errors: `CSM_E_BAD_URI`, `CSM_E_REGION_NOT_FOUND`, `CSM_E_PERMISSION_DENIED`, `CSM_E_NOT_A_REGION`,
// `CSM_E_LAYOUT_MISMATCH`, `CSM_E_OPTION_MISMATCH`, `CSM_E_TRUNCATED`, `CSM_E_CORRUPT`,
// `CSM_E_NOT_YOURS`, `CSM_E_ADDRESS_TAKEN`, `CSM_E_MEMBERS_FULL`, `CSM_E_SYSTEM`.
csm_status_t csm_region_open(const csm_ctx_t *ctx,
                             const char *uri,
                             csm_region_t **region,
                             csm_error_t *error);

// Removes the region that `uri` names, with everything in it. No process may have it open.
//
// Thread-safe. Errors: `CSM_E_BAD_URI`, `CSM_E_REGION_NOT_FOUND`, `CSM_E_IN_USE`, `CSM_E_NOT_YOURS`,
// `CSM_E_NOT_A_REGION`, `CSM_E_PERMISSION_DENIED`, `CSM_E_SYSTEM`.
csm_status_t csm_region_destroy(const csm_ctx_t *ctx,
                                const char *uri,
                                csm_error_t *error);

// Ends the handle. The process leaves the region when it has closed every handle of it and of its tables
// and released every array that was read from it; until then those stay valid. On leaving, what the
// process allocated and did not publish is freed.
//
// Thread-safe: calls that are under way end first, later ones answer `CSM_E_CLOSED`.
// Errors: `CSM_E_CLOSED`.
csm_status_t csm_region_close(csm_region_t *region,
                              csm_error_t *error);

// Makes the region larger: `size_bytes` is its new size, a multiple of 2 MiB and at most the `max` it
// was created with.
//
// Thread-safe. Errors: `CSM_E_BAD_SIZE`, `CSM_E_NO_MEMORY`, `CSM_E_NOT_OWNER`, `CSM_E_READ_ONLY`,
// `CSM_E_CLOSED`.
csm_status_t csm_region_grow(const csm_region_t *region,
                             uint64_t size_bytes,
                             csm_error_t *error);

// What the region is. `info->struct_size` must be set.
//
// Thread-safe. Errors: `CSM_E_CLOSED`.
csm_status_t csm_region_info(const csm_region_t *region,
                             csm_region_info_t *info,
                             csm_error_t *error);

// How full the region is. `stats->struct_size` must be set.
//
// Thread-safe. Errors: `CSM_E_CLOSED`, `CSM_E_CORRUPT`, `CSM_E_REGION_LOST`.
csm_status_t csm_region_stats(const csm_region_t *region,
                              csm_region_stats_t *stats,
                              csm_error_t *error);

// Declares that `node` is off, which is the caller's word for it: its leases count no more, and what they
// alone protected is used anew. A node that is not off reads other bytes from then on; `csm_table_check`
// tells it.
//
// Thread-safe. Errors: `CSM_E_INVALID_ARGUMENT` (the owner's node, or one that never had the region open),
// `CSM_E_NOT_OWNER`, `CSM_E_READ_ONLY`, `CSM_E_CLOSED`, `CSM_E_TIMED_OUT`.
csm_status_t csm_region_fence_node(const csm_region_t *region,
                                   uint64_t node,
                                   csm_error_t *error);

// Brings `size_bytes` bytes at `address` home, where other nodes see them once they acquire them. Publishing
// does this for tables; this is for programs that share raw extents.
//
// Thread-safe. Errors: `CSM_E_FOREIGN_POINTER` (not in the region's data), `CSM_E_NOT_OWNER`,
// `CSM_E_READ_ONLY`, `CSM_E_CLOSED`, `CSM_E_REGION_LOST`.
csm_status_t csm_region_release(const csm_region_t *region,
                                const void *address,
                                uint64_t size_bytes,
                                csm_error_t *error);

// Makes the next loads of `size_bytes` bytes at `address` see what is home. Opening a table does this for its
// bytes.
//
// Thread-safe. Errors: `CSM_E_FOREIGN_POINTER` (not in the region's data), `CSM_E_CLOSED`,
// `CSM_E_REGION_LOST`.
csm_status_t csm_region_acquire(const csm_region_t *region,
                                const void *address,
                                uint64_t size_bytes,
                                csm_error_t *error);

// Checks every structure of the region, and clears up after processes that died. `problems` receives
// how many faults there are, which are not errors of the call. `report`, if not NULL, gets a line for
// each fault ("problem: ...") and for each thing cleared up ("reaped: ..."), during this call.
//
// Thread-safe. Errors: `CSM_E_CLOSED`, `CSM_E_REGION_LOST`, `CSM_E_TIMED_OUT`.
csm_status_t csm_region_verify(const csm_region_t *region,
                               csm_report_t report,
                               void *user,
                               uint64_t *problems,
                               csm_error_t *error);

// Allocates `size` bytes at a multiple of `align`, a power of two; 0 stands for the usual 128, which is
// the least there is. The bytes are not initialized. No bytes at all are `csm_heap_empty()`.
//
// The memory is this process's until it is freed, published or the process ends. Thread-safe.
// Errors: `CSM_E_REGION_FULL`, `CSM_E_BAD_ALIGNMENT`, `CSM_E_READ_ONLY`, `CSM_E_NOT_OWNER`,
// `CSM_E_CLOSED`.
csm_status_t csm_heap_alloc(const csm_region_t *region,
                            uint64_t size,
                            uint64_t align,
                            void **memory,
                            csm_error_t *error);

// Makes an allocation of `old_size` bytes one of `new_size` bytes, with the same first bytes; in place
// where that is possible. What was published does not change: it is copied, and the old allocation given
// up. The new address is written to `memory`, which may be where `pointer` came from; when the call
// fails the allocation is what it was. From and to `csm_heap_empty()` works as expected.
//
// Thread-safe, but the allocation must not be used meanwhile.
// Errors: as `csm_heap_alloc` and `csm_heap_free`.
csm_status_t csm_heap_realloc(const csm_region_t *region,
                              void *pointer,
                              uint64_t old_size,
                              uint64_t new_size,
                              uint64_t align,
                              void **memory,
                              csm_error_t *error);

// Frees an allocation of `size` bytes, which may be `CSM_SIZE_UNKNOWN`. What was published stays as long
// as the table does. Freeing `csm_heap_empty()` does nothing.
//
// Thread-safe. Errors: `CSM_E_FOREIGN_POINTER`, `CSM_E_DOUBLE_FREE`, `CSM_E_INVALID_ARGUMENT` (NULL, or
// another size than was allocated), `CSM_E_CLOSED`.
csm_status_t csm_heap_free(const csm_region_t *region,
                           void *pointer,
                           uint64_t size,
                           csm_error_t *error);

// Whether an address lies in the region's data. False for a region that is not open.
//
// Thread-safe.
bool csm_heap_contains(const csm_region_t *region, const void *pointer);

// The address of every allocation of no bytes, in all regions: not NULL, aligned to 128, not to be read
// or written. Another one in each process.
//
// Callable from any thread.
void *csm_heap_empty(void);

// Publishes one batch of rows as the table `name`: `schema` is that of a struct ("+s") whose fields are
// the columns, `array` the columns' data. Buffers that lie in a region stay where they are; others are
// copied in. When the call returns, every process sees the whole table; when it fails, none of it.
// `options` and `published` may be NULL; `published->struct_size` must be set.
//
// Both `schema` and `array` are consumed: they are released whether the call succeeds or fails, whatever
// the other arguments are. Releasing them may free their memory: a published allocation stays.
// Thread-safe.
// Errors: `CSM_E_NAME_TAKEN`, `CSM_E_BAD_NAME` (1 to 255 bytes of UTF-8), `CSM_E_BAD_ARROW`,
// `CSM_E_REGION_FULL`, `CSM_E_CATALOG_FULL`, `CSM_E_READ_ONLY`, `CSM_E_NOT_OWNER`, `CSM_E_CLOSED`.
csm_status_t csm_table_publish(const csm_region_t *region,
                               const char *name,
                               struct ArrowSchema *schema,
                               struct ArrowArray *array,
                               const csm_publish_options_t *options,
                               csm_published_t *published,
                               csm_error_t *error);

// As `csm_table_publish`, for the batches of a stream, of which there may be none. `stream` is consumed.
//
// Thread-safe. Errors: as `csm_table_publish`; what the stream reports is `CSM_E_BAD_ARROW`.
csm_status_t csm_table_publish_stream(const csm_region_t *region,
                                      const char *name,
                                      struct ArrowArrayStream *stream,
                                      const csm_publish_options_t *options,
                                      csm_published_t *published,
                                      csm_error_t *error);

// Opens the table `name` as it is now. While it is open, or an array that was read from it lives, its
// memory is not reused, whoever removes or replaces it. `options` may be NULL.
//
// What lies in the buffers is the publisher's word: string offsets, say, are only checked if `validate`
// is asked for. Do not write to them.
// Close it with `csm_table_close`. Thread-safe.
// Errors: `CSM_E_NAME_NOT_FOUND`, `CSM_E_BAD_NAME`, `CSM_E_LEASES_FULL`, `CSM_E_CORRUPT`,
// `CSM_E_BAD_ARROW` (validation failed), `CSM_E_REGION_NOT_FOUND` (a part lies in a region that is not
// open), `CSM_E_CLOSED`.
csm_status_t csm_table_open(const csm_region_t *region,
                            const char *name,
                            const csm_open_options_t *options,
                            csm_table_t **table,
                            csm_error_t *error);

// Ends the handle. Arrays and streams that were read from the table stay valid.
//
// Thread-safe. Errors: `CSM_E_CLOSED`.
csm_status_t csm_table_close(csm_table_t *table, csm_error_t *error);

// Opens the same table, under the same lease, with `count` of its columns alone: those whose numbers stand in
// `columns`, in that order. Where this node must invalidate what it reads, other columns cost nothing.
//
// Close it with `csm_table_close`, independently of `table`. Thread-safe.
// Errors: `CSM_E_INVALID_ARGUMENT` (no such column), `CSM_E_CLOSED`.
csm_status_t csm_table_select(const csm_table_t *table,
                              const uint64_t *columns,
                              uint64_t count,
                              csm_table_t **selected,
                              csm_error_t *error);

// What the table is. `info->struct_size` must be set.
//
// Thread-safe. Errors: `CSM_E_CLOSED`.
csm_status_t csm_table_info(const csm_table_t *table, csm_table_info_t *info, csm_error_t *error);

// Writes the table's schema, a struct with a field for each column, to `schema`. Release it when done;
// it may outlive everything else.
//
// Thread-safe. Errors: `CSM_E_CLOSED`.
csm_status_t csm_table_schema(const csm_table_t *table,
                              struct ArrowSchema *schema,
                              csm_error_t *error);

// Writes batch `index` to `array`: a struct array whose buffers are the region's own memory. Release it
// when done, on any thread; until then it keeps the table, whatever is closed or removed.
//
// Thread-safe. Errors: `CSM_E_INVALID_ARGUMENT` (no such batch), `CSM_E_CLOSED`.
csm_status_t csm_table_batch(const csm_table_t *table,
                             uint64_t index,
                             struct ArrowArray *array,
                             csm_error_t *error);

// Writes a stream of all batches to `stream`. May be called any number of times. Release the stream when
// done; it keeps the table, and so does each array that was read from it.
//
// Thread-safe. Errors: `CSM_E_CLOSED`.
csm_status_t csm_table_stream(const csm_table_t *table,
                              struct ArrowArrayStream *stream,
                              csm_error_t *error);

// Whether the lease held all the time: what was read before this call returned `CSM_OK` was the table.
// Only on a link between servers can a lease be lost.
//
// Thread-safe. Errors: `CSM_E_STALE`, `CSM_E_CLOSED`.
csm_status_t csm_table_check(const csm_table_t *table,
                             csm_error_t *error);

// Whether the name still stands for this generation: false once it was replaced or removed.
//
// Thread-safe. Errors: `CSM_E_CLOSED`, `CSM_E_CORRUPT`.
csm_status_t csm_table_is_current(const csm_table_t *table, bool *current, csm_error_t *error);

// Checks every value as far as the Arrow format says something of it: offsets, lengths, union types,
// dictionary indices, UTF-8. Reads all of the table.
//
// Thread-safe. Errors: `CSM_E_BAD_ARROW`, `CSM_E_CLOSED`.
csm_status_t csm_table_validate(const csm_table_t *table,
                                csm_error_t *error);

// Waits until a table `name` is there, for at most `timeout_ns` nanoseconds; 0 only looks.
//
// Thread-safe. Errors: `CSM_E_TIMED_OUT`, `CSM_E_BAD_NAME`, `CSM_E_CLOSED`.
csm_status_t csm_table_wait(const csm_region_t *region,
                            const char *name,
                            uint64_t timeout_ns,
                            csm_error_t *error);

// Takes the table `name` from the catalog. Its memory returns when nobody reads it any more.
//
// Thread-safe. Errors: `CSM_E_NAME_NOT_FOUND`, `CSM_E_BAD_NAME`, `CSM_E_READ_ONLY`, `CSM_E_NOT_OWNER`,
// `CSM_E_CLOSED`.
csm_status_t csm_table_remove(const csm_region_t *region,
                              const char *name,
                              csm_error_t *error);

// Reads which tables are published, in the order of their names. Later changes do not show.
//
// Free it with `csm_catalog_free`. Thread-safe. Errors: `CSM_E_CLOSED`, `CSM_E_CORRUPT`.
csm_status_t csm_catalog_read(const csm_region_t *region,
                              csm_catalog_t **catalog,
                              csm_error_t *error);

// How many tables there are. 0 if the catalog was freed, which `csm_catalog_entry` tells.
//
// Thread-safe.
uint64_t csm_catalog_len(const csm_catalog_t *catalog);

// Writes table `index`, from 0 on, to `info`, whose `struct_size` must be set.
//
// Thread-safe. Errors: `CSM_E_INVALID_ARGUMENT` (no such entry), `CSM_E_CLOSED`.
csm_status_t csm_catalog_entry(const csm_catalog_t *catalog,
                               uint64_t index,
                               csm_table_info_t *info,
                               csm_error_t *error);

// Ends the handle.
//
// Returns `CSM_OK`, `CSM_E_INVALID_ARGUMENT` (it is NULL), `CSM_E_CLOSED` or `CSM_E_FORKED`. Thread-safe.
csm_status_t csm_catalog_free(csm_catalog_t *catalog);

// Reads which processes have the region open, on every node, the dead that were not cleared up included.
//
// Free it with `csm_members_free`. Thread-safe. Errors: `CSM_E_CLOSED`, `CSM_E_CORRUPT`.
csm_status_t csm_members_read(const csm_region_t *region,
                              csm_members_t **members,
                              csm_error_t *error);

// How many processes there are. 0 if the list was freed, which `csm_members_entry` tells.
//
// Thread-safe.
uint64_t csm_members_len(const csm_members_t *members);

// Writes process `index`, from 0 on, to `info`, whose `struct_size` must be set.
//
// Thread-safe. Errors: `CSM_E_INVALID_ARGUMENT` (no such entry), `CSM_E_CLOSED`.
csm_status_t csm_members_entry(const csm_members_t *members,
                               uint64_t index,
                               csm_member_info_t *info,
                               csm_error_t *error);

// Ends the handle.
//
// Returns `CSM_OK`, `CSM_E_INVALID_ARGUMENT` (it is NULL), `CSM_E_CLOSED` or `CSM_E_FORKED`. Thread-safe.
csm_status_t csm_members_free(csm_members_t *members);

// Reads which nodes have, or had, the region open: who reads, who is silent, who was fenced.
//
// Free it with `csm_nodes_free`. Thread-safe. Errors: `CSM_E_CLOSED`, `CSM_E_CORRUPT`.
csm_status_t csm_nodes_read(const csm_region_t *region, csm_nodes_t **nodes, csm_error_t *error);

// How many nodes there are. 0 if the list was freed, which `csm_nodes_entry` tells.
//
// Thread-safe.
uint64_t csm_nodes_len(const csm_nodes_t *nodes);

// Writes node `index`, from 0 on, to `info`, whose `struct_size` must be set.
//
// Thread-safe. Errors: `CSM_E_INVALID_ARGUMENT` (no such entry), `CSM_E_CLOSED`.
csm_status_t csm_nodes_entry(const csm_nodes_t *nodes,
                             uint64_t index,
                             csm_node_info_t *info,
                             csm_error_t *error);

// Ends the handle.
//
// Returns `CSM_OK`, `CSM_E_INVALID_ARGUMENT` (it is NULL), `CSM_E_CLOSED` or `CSM_E_FORKED`. Thread-safe.
csm_status_t csm_nodes_free(csm_nodes_t *nodes);

// Reads who holds which table.
//
// Free it with `csm_leases_free`. Thread-safe. Errors: `CSM_E_CLOSED`, `CSM_E_CORRUPT`.
csm_status_t csm_leases_read(const csm_region_t *region, csm_leases_t **leases, csm_error_t *error);

// How many leases there are. 0 if the list was freed, which `csm_leases_entry` tells.
//
// Thread-safe.
uint64_t csm_leases_len(const csm_leases_t *leases);

// Writes lease `index`, from 0 on, to `info`, whose `struct_size` must be set.
//
// Thread-safe. Errors: `CSM_E_INVALID_ARGUMENT` (no such entry), `CSM_E_CLOSED`.
csm_status_t csm_leases_entry(const csm_leases_t *leases,
                              uint64_t index,
                              csm_lease_info_t *info,
                              csm_error_t *error);

// Ends the handle.
//
// Returns `CSM_OK`, `CSM_E_INVALID_ARGUMENT` (it is NULL), `CSM_E_CLOSED` or `CSM_E_FORKED`. Thread-safe.
csm_status_t csm_leases_free(csm_leases_t *leases);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* CSM_H */
