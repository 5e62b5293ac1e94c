/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * A stand-in for the kernel's ocxl driver with a ThymesisFlow AFU behind it, for guests that have neither.
 *
 * What is real: the user interface (<misc/ocxl.h>, /dev/ocxl, /sys/class/ocxl) as the kernel's driver behaves, and the
 * lender's memory: the AFU of one guest reads and writes the very pages of the process that attached there, found
 * by effective address, and the other guest maps them.
 *
 * What is modelled: the registers. A page that is mapped cannot see who reads it, so none ever is: each access faults, and
 * the instruction is carried out here (emulate.c). That makes a register that is cleared by a read possible, and the
 * kernel's log holds every access in its order, which is what tests look at: "standin: w64 0x78 0x1".
 *
 * What it cannot do: caches and coherence (there are none in an emulated guest), bandwidth, and counting what goes
 * through the window: loads and stores of mapped memory are not seen, so the counters count what was fetched when
 * a page was first touched. A page is pinned while a context is attached, where a real card would follow the
 * process's page tables.
 *
 *   main.c      parameters, finding the devices that stand for the wire and the lender's memory
 *   afu.c       /dev/ocxl, /sys/class/ocxl, contexts
 *   registers.c the global registers
 *   emulate.c   one instruction's access to memory that is not there
 *   link.c      the two ends of the link: channels, training, translation of addresses
 *   window.c    /dev/tfshmem: the borrower's window
 */
#ifndef STANDIN_H
#define STANDIN_H

#include <linux/mm.h>
#include <linux/sysfs.h>
#include <linux/types.h>

/* Locks, in the order in which they are taken: registers, link_lock, contexts; the last of all, mapping_lock and counters. */

#define CHANNELS 2
#define SECTIONS 8
#define SECTION_SHIFT 40 /* 1 TiB */
#define NETID_MASK 0x3fULL
/* What is translated at once. */
#define CHUNK_SHIFT 21
#define CHUNK_PAGES (1 << (CHUNK_SHIFT - PAGE_SHIFT))

/* Parameters: see main.c. */
extern bool compute;
extern uint contexts, fail_attach, train_ms, global_mmio_size, pp_mmio_size;
extern bool wrong_answers;
extern char *afu_name, *window_name;

/* Memory that is not there: what loads and stores at an offset do. Bytes are 1, 2, 4 or 8. */
struct bus {
	u64 (*load)(void *arg, u64 off, unsigned int bytes);
	void (*store)(void *arg, u64 off, unsigned int bytes, u64 value);
};

vm_fault_t emulate_access(struct vm_fault *vmf, const struct bus *bus, void *arg);

/* afu.c */
int afu_init(void);
void afu_exit(void);
/* The process whose memory the AFU may use, NULL if none; the caller drops it with mmput(). */
struct mm_struct *afu_attached_mm(void);
void afu_translation_fault(u64 ea);
/* Every interrupt that a process has asked for. */
void afu_signal_irqs(void);

/* registers.c */
u64 afu_section(unsigned int n);
int registers_mmap(struct file *file, struct kobject *kobj, struct bin_attribute *attr, struct vm_area_struct *vma);

/* link.c */
struct wire;
struct counters {
	u64 tx_flits, rx_flits, samples, cycles;
};
int link_init(struct wire *wire, phys_addr_t ram, u64 ram_bytes);
void link_exit(void);
void link_set_channels(u64 out_of_reset);
void link_set_enabled(bool enabled);
/* No process is attached any more; what was pinned for it may go when nobody can reach it. */
void link_forget(void);
/* Counters, whose flits begin anew. */
struct counters link_counters(bool clear_tx, bool clear_rx);

enum reach {
	REACH_UP,	/* *pfn is the page */
	REACH_TRAINING, /* loads give ones, stores are lost */
	REACH_NEVER,	/* no section, a fenced link, a fault at the other end: SIGBUS */
};
/* Calls `map` with the page at offset `off` of the window, while nothing can take it away. */
enum reach link_reach(u64 off, vm_fault_t (*map)(struct vm_fault *vmf, unsigned long pfn), struct vm_fault *vmf,
		      vm_fault_t *result);

/* window.c */
int window_init(void);
void window_exit(void);
void window_revoke(void);

#endif
