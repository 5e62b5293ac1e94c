// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * The link between two guests. The wire is a page that both see, in which each line has one writer; the lender's
 * memory is all of the other guest's, in which the lender's answers say where the pages are.
 *
 * A channel trains when both ends have it out of reset, for `train_ms`, and is up after that. When the other end goes
 * away under it the borrower's host is fenced: every access is a SIGBUS until this end's channel was reset.
 */
#include <linux/delay.h>
#include <linux/io.h>
#include <linux/kthread.h>
#include <linux/sched/mm.h>
#include <linux/xarray.h>

#include "standin.h"

#define LINE 128
#define ANSWER_SECONDS 5
#define AFU_MHZ 400

struct end {
	u64 channels; /* out of reset, a bit each */
	u64 enabled;  /* the memory side answers */
} __aligned(LINE);

struct request {
	u64 seq, netid, ea;
} __aligned(LINE);

struct answer {
	u64 seq;
	s64 error;
} __aligned(LINE);

struct wire {
	struct end memory, compute;
	struct request request;
	struct answer answer;
	u64 frame[512] __aligned(LINE); /* where each page of the chunk is in the lender's memory; ~0: nowhere */
};

enum state { DOWN, TRAINING, UP, FENCED };

static struct wire *wire;
static struct end *own;
static phys_addr_t lender_ram;
static u64 lender_ram_bytes;
static struct task_struct *thread;

/* Everything below. A page is put into a window under it, so that none is after the link went down. */
static DEFINE_MUTEX(link_lock);
static enum state channel[CHANNELS];
static unsigned long since[CHANNELS];
/* Not under link_lock, which is held while the lender's mm is looked at: the lender reads counters. */
static DEFINE_SPINLOCK(counters_lock);
static struct counters counted;
/* Compute side: chunk of effective addresses to frames. Memory side: page of effective addresses to pinned page. */
static DEFINE_XARRAY(chunks);
static DEFINE_XARRAY(pinned);

static void count(u64 tx, u64 rx)
{
	spin_lock(&counters_lock);
	counted.tx_flits += tx;
	counted.rx_flits += rx;
	spin_unlock(&counters_lock);
}

static void drop_chunks(void)
{
	unsigned long index;
	void *frames;

	xa_for_each(&chunks, index, frames)
		kfree(frames);
	xa_destroy(&chunks);
}

static void drop_pinned(void)
{
	unsigned long index;
	void *page;

	xa_for_each(&pinned, index, page)
		unpin_user_page(page);
	xa_destroy(&pinned);
}

/* Brings the channels' states up to date. Under link_lock. */
static void update(void)
{
	u64 here = READ_ONCE(wire->compute.channels), there = READ_ONCE(wire->memory.channels);
	bool lost = false;
	int n;

	for (n = 0; n < CHANNELS; n++) {
		enum state was = channel[n];

		if (!(here >> n & 1))
			channel[n] = DOWN;
		else if (!(there >> n & 1))
			channel[n] = was == UP || was == FENCED ? FENCED : DOWN;
		else if (was == DOWN)
			channel[n] = TRAINING;
		else if (was == TRAINING && train_ms != U32_MAX && time_after(jiffies, since[n] + msecs_to_jiffies(train_ms)))
			channel[n] = UP;
		if (was == channel[n])
			continue;
		since[n] = jiffies;
		lost |= was == UP;
		pr_info("standin: channel %d %s\n", n,
			(const char *[]){ "down", "training", "up", "fenced: the other end went away" }[channel[n]]);
	}
	if (lost) {
		drop_chunks();
		window_revoke();
	}
}

/* Compute side: asks the other end for the chunk around an effective address. Under link_lock. */
static u64 *fetch(u64 netid, u64 ea)
{
	unsigned long deadline = jiffies + ANSWER_SECONDS * HZ;
	u64 seq = READ_ONCE(wire->request.seq) + 1, began = ktime_get_ns();
	u64 *frames;

	frames = xa_load(&chunks, ea >> CHUNK_SHIFT);
	if (frames)
		return frames;
	WRITE_ONCE(wire->request.netid, netid);
	WRITE_ONCE(wire->request.ea, ea);
	smp_mb();
	WRITE_ONCE(wire->request.seq, seq);
	while (READ_ONCE(wire->answer.seq) != seq) {
		if (time_after(jiffies, deadline)) {
			pr_err("standin: no answer from the other end for 0x%llx within %d s\n", ea, ANSWER_SECONDS);
			return NULL;
		}
		usleep_range(100, 200);
	}
	smp_mb();
	if (READ_ONCE(wire->answer.error)) {
		pr_err("standin: the other end cannot reach 0x%llx: %lld\n", ea, READ_ONCE(wire->answer.error));
		return NULL;
	}
	frames = kmemdup(wire->frame, CHUNK_PAGES * sizeof(u64), GFP_KERNEL);
	if (frames && xa_err(xa_store(&chunks, ea >> CHUNK_SHIFT, frames, GFP_KERNEL))) {
		kfree(frames);
		frames = NULL;
	}
	spin_lock(&counters_lock);
	counted.samples++;
	counted.cycles += (ktime_get_ns() - began) * AFU_MHZ / 1000;
	spin_unlock(&counters_lock);
	return frames;
}

enum reach link_reach(u64 off, vm_fault_t (*map)(struct vm_fault *, unsigned long), struct vm_fault *vmf, vm_fault_t *result)
{
	enum reach reach = REACH_NEVER;
	unsigned int n, page;
	u64 section, netid, ea, *frames;

	if (off >> SECTION_SHIFT >= SECTIONS)
		return REACH_NEVER;
	section = afu_section(off >> SECTION_SHIFT);
	netid = section & NETID_MASK;
	ea = (section & ~NETID_MASK) + off;
	if (!netid || netid >> CHANNELS) {
		pr_err("standin: nothing behind 0x%llx: section %llu is 0x%llx\n", off, off >> SECTION_SHIFT, section);
		return REACH_NEVER;
	}
	mutex_lock(&link_lock);
	update();
	for (n = 0; n < CHANNELS; n++) {
		if (!(netid >> n & 1) || channel[n] == UP)
			continue;
		if (channel[n] != FENCED && READ_ONCE(own->channels) >> n & 1)
			reach = REACH_TRAINING;
		else
			pr_err("standin: access to 0x%llx while channel %u is %s\n", off, n,
			       channel[n] == FENCED ? "fenced" : "in reset");
		goto out;
	}
	frames = fetch(netid, ea);
	page = ea >> PAGE_SHIFT & (CHUNK_PAGES - 1);
	if (wrong_answers)
		page ^= 1;
	if (!frames || frames[page] >= lender_ram_bytes)
		goto out;
	*result = map(vmf, (lender_ram + frames[page]) >> PAGE_SHIFT);
	/* A line takes a flit to ask and five to answer: a header and four of data. */
	count(PAGE_SIZE / LINE, PAGE_SIZE / LINE * 5);
	reach = REACH_UP;
out:
	mutex_unlock(&link_lock);
	return reach;
}

/* Memory side: the page of the lender's process at an effective address, pinned. Under link_lock. */
static struct page *pin(struct mm_struct *mm, u64 ea)
{
	struct page *page = xa_load(&pinned, ea >> PAGE_SHIFT);
	long got;

	if (page)
		return page;
	mmap_read_lock(mm);
	got = pin_user_pages_remote(mm, ea & PAGE_MASK, 1, FOLL_WRITE | FOLL_LONGTERM, &page, NULL);
	mmap_read_unlock(mm);
	if (got != 1)
		return NULL;
	if (xa_err(xa_store(&pinned, ea >> PAGE_SHIFT, page, GFP_KERNEL))) {
		unpin_user_page(page);
		return NULL;
	}
	return page;
}

static void answer(void)
{
	u64 seq = READ_ONCE(wire->request.seq), ea, netid, chunk;
	struct mm_struct *mm;
	s64 error = 0;
	unsigned int n;

	if (seq == READ_ONCE(wire->answer.seq))
		return;
	smp_mb();
	ea = READ_ONCE(wire->request.ea);
	netid = READ_ONCE(wire->request.netid);
	chunk = ea & ~((1ULL << CHUNK_SHIFT) - 1);
	mutex_lock(&link_lock);
	mm = afu_attached_mm();
	if (!READ_ONCE(own->enabled) || netid & ~READ_ONCE(own->channels)) {
		error = -ENETDOWN;
	} else if (!mm || !pin(mm, ea)) {
		pr_err("standin: translation fault at 0x%llx\n", ea);
		afu_translation_fault(ea);
		error = -EFAULT;
	} else {
		for (n = 0; n < CHUNK_PAGES; n++) {
			struct page *page = pin(mm, chunk + ((u64)n << PAGE_SHIFT));

			WRITE_ONCE(wire->frame[n], page ? page_to_phys(page) : ~0ULL);
		}
		count((1 << CHUNK_SHIFT) / LINE * 5, (1 << CHUNK_SHIFT) / LINE);
	}
	mutex_unlock(&link_lock);
	if (mm)
		mmput(mm);
	WRITE_ONCE(wire->answer.error, error);
	smp_mb();
	WRITE_ONCE(wire->answer.seq, seq);
}

static int work(void *unused)
{
	while (!kthread_should_stop()) {
		if (compute) {
			mutex_lock(&link_lock);
			update();
			mutex_unlock(&link_lock);
		} else {
			answer();
		}
		usleep_range(500, 1000);
	}
	return 0;
}

void link_set_channels(u64 out_of_reset)
{
	WRITE_ONCE(own->channels, out_of_reset & ((1 << CHANNELS) - 1));
	smp_mb();
	if (compute) {
		mutex_lock(&link_lock);
		update();
		mutex_unlock(&link_lock);
	}
}

void link_set_enabled(bool enabled)
{
	WRITE_ONCE(own->enabled, enabled);
}

void link_forget(void)
{
	mutex_lock(&link_lock);
	drop_pinned();
	mutex_unlock(&link_lock);
}

struct counters link_counters(bool clear_tx, bool clear_rx)
{
	struct counters now;

	spin_lock(&counters_lock);
	now = counted;
	if (clear_tx)
		counted.tx_flits = 0;
	if (clear_rx)
		counted.rx_flits = 0;
	spin_unlock(&counters_lock);
	return now;
}

int link_init(struct wire *shared, phys_addr_t ram, u64 ram_bytes)
{
	wire = shared;
	own = compute ? &wire->compute : &wire->memory;
	lender_ram = ram;
	lender_ram_bytes = ram_bytes;
	memset(own, 0, sizeof(*own));
	if (!compute)
		WRITE_ONCE(wire->answer.seq, READ_ONCE(wire->request.seq));
	thread = kthread_run(work, NULL, "csm-link");
	return PTR_ERR_OR_ZERO(thread);
}

void link_exit(void)
{
	kthread_stop(thread);
	memset(own, 0, sizeof(*own));
	drop_pinned();
	drop_chunks();
}
