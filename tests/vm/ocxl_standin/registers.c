// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * The AFU's global registers, as ThymesisFlow Design and Deployment v1.1 and its public software have them: 64 bits wide,
 * little-endian. Every access is in the kernel's log, in its order.
 */
#include <linux/fs.h>
#include <linux/mutex.h>
#include <linux/sysfs.h>

#include "standin.h"

#define REG_CONTROL 0x00
#define REG_SECTION 0x20
#define REG_TX 0x60
#define REG_RX 0x68
#define REG_LATENCY 0x70
#define REG_AURORA 0x78
#define REG_END 0x300

#define CONTROL_TEST_ENABLE 1
#define CONTROL_TRIGGER_INTERRUPT 2

static DEFINE_MUTEX(lock);
static u64 control, section[SECTIONS], aurora;

static u64 register_read(u64 off)
{
	struct counters counters;

	switch (off) {
	case REG_CONTROL:
		return compute ? 0 : control;
	case REG_SECTION ... REG_SECTION + 8 * SECTIONS - 1:
		return compute ? section[(off - REG_SECTION) / 8] : 0;
	case REG_TX:
		return link_counters(true, false).tx_flits;
	case REG_RX:
		return link_counters(false, true).rx_flits;
	case REG_LATENCY:
		counters = link_counters(false, false);
		return compute ? counters.samples << 37 | (counters.cycles & ((1ULL << 37) - 1)) : 0;
	case REG_AURORA:
		return aurora;
	}
	return 0;
}

static void register_write(u64 off, u64 value)
{
	switch (off) {
	case REG_CONTROL:
		if (compute)
			break;
		control = value;
		link_set_enabled(value & CONTROL_TEST_ENABLE);
		if (value & CONTROL_TRIGGER_INTERRUPT)
			afu_signal_irqs();
		break;
	case REG_SECTION ... REG_SECTION + 8 * SECTIONS - 1:
		if (!compute)
			break;
		WRITE_ONCE(section[(off - REG_SECTION) / 8], value);
		/* What was reached through the old value is not behind the new one. */
		window_revoke();
		break;
	case REG_AURORA:
		aurora = value;
		link_set_channels(value);
		break;
	}
}

static bool wrong(u64 off, unsigned int bytes)
{
	if (bytes == 8 && off % 8 == 0 && off < REG_END)
		return false;
	pr_err("standin: access of %u bits to register 0x%02llx: not 64 bits, not aligned, or none there\n", bytes * 8, off);
	return true;
}

static u64 load(void *arg, u64 off, unsigned int bytes)
{
	u64 value = 0;

	mutex_lock(&lock);
	if (!wrong(off, bytes))
		value = register_read(off);
	pr_info("standin: r%u 0x%02llx 0x%llx\n", bytes * 8, off, value);
	mutex_unlock(&lock);
	return value;
}

static void store(void *arg, u64 off, unsigned int bytes, u64 value)
{
	mutex_lock(&lock);
	pr_info("standin: w%u 0x%02llx 0x%llx\n", bytes * 8, off, value);
	if (!wrong(off, bytes))
		register_write(off, value);
	mutex_unlock(&lock);
}

static const struct bus bus = { load, store };

u64 afu_section(unsigned int n)
{
	return READ_ONCE(section[n]);
}

static vm_fault_t registers_fault(struct vm_fault *vmf)
{
	return emulate_access(vmf, &bus, NULL);
}

static const struct vm_operations_struct registers_vmops = { .fault = registers_fault };

int registers_mmap(struct file *file, struct kobject *kobj, struct bin_attribute *attr, struct vm_area_struct *vma)
{
	if (vma_pages(vma) + vma->vm_pgoff > global_mmio_size >> PAGE_SHIFT)
		return -EINVAL;
	vm_flags_set(vma, VM_IO | VM_PFNMAP);
	vma->vm_ops = &registers_vmops;
	return 0;
}
