// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * The borrower's window: a character device whose offset o is real address 0x2000000000000 + o, and so offset o behind the
 * section registers. Pages are found when they are touched; while the link trains there are none, loads give ones and stores
 * are lost.
 */
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

#include "standin.h"

static DEFINE_MUTEX(mapping_lock);
static struct address_space *mapping;
static unsigned int opened;

static u64 ones(void *arg, u64 off, unsigned int bytes)
{
	return ~0ULL;
}

static void lost(void *arg, u64 off, unsigned int bytes, u64 value)
{
}

static const struct bus nobody = { ones, lost };

static vm_fault_t put_page_there(struct vm_fault *vmf, unsigned long pfn)
{
	return vmf_insert_pfn(vmf->vma, vmf->address, pfn);
}

static vm_fault_t window_fault(struct vm_fault *vmf)
{
	vm_fault_t result = VM_FAULT_SIGBUS;

	switch (link_reach((u64)vmf->pgoff << PAGE_SHIFT, put_page_there, vmf, &result)) {
	case REACH_UP:
		return result;
	case REACH_TRAINING:
		return emulate_access(vmf, &nobody, NULL);
	case REACH_NEVER:
		break;
	}
	return VM_FAULT_SIGBUS;
}

static const struct vm_operations_struct window_vmops = { .fault = window_fault };

static int window_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (((u64)vma->vm_pgoff << PAGE_SHIFT) + (vma->vm_end - vma->vm_start) > (u64)SECTIONS << SECTION_SHIFT)
		return -EINVAL;
	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_ops = &window_vmops;
	return 0;
}

static int window_open(struct inode *inode, struct file *file)
{
	mutex_lock(&mapping_lock);
	mapping = inode->i_mapping;
	file->f_mapping = mapping;
	opened++;
	mutex_unlock(&mapping_lock);
	return 0;
}

static int window_release(struct inode *inode, struct file *file)
{
	mutex_lock(&mapping_lock);
	if (!--opened)
		mapping = NULL;
	mutex_unlock(&mapping_lock);
	return 0;
}

/* Takes every page away: the next access to one finds the link as it is then. */
void window_revoke(void)
{
	mutex_lock(&mapping_lock);
	if (mapping)
		unmap_mapping_range(mapping, 0, 0, 1);
	mutex_unlock(&mapping_lock);
}

static const struct file_operations window_fops = {
	.owner = THIS_MODULE,
	.open = window_open,
	.release = window_release,
	.mmap = window_mmap,
};

static struct miscdevice window = { .minor = MISC_DYNAMIC_MINOR, .fops = &window_fops, .mode = 0600 };

int window_init(void)
{
	window.name = window_name;
	return misc_register(&window);
}

void window_exit(void)
{
	misc_deregister(&window);
}
