// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * The user interface of the kernel's ocxl driver for one AFU.
 *
 * As there: opening takes a context and a PASID, or gives ENOSPC; ATTACH works once (EIO); the per-PASID registers can be
 * mapped by whoever has the context and used when it is attached; the global ones are a file of sysfs; read() waits for a
 * translation fault and says what is known of it. The parts of the real machine that POWER alone has (AMR, thread wake-up) are not there.
 */
#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/eventfd.h>
#include <linux/fs.h>
#include <linux/idr.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <uapi/misc/ocxl.h>

#include "standin.h"

/* DSISR of a page that is not there. */
#define DSISR_NOPAGE 0x40000000

enum status { OPENED, ATTACHED, CLOSED };

struct context {
	int pasid;
	enum status status;
	struct mm_struct *mm;
	wait_queue_head_t events;
	struct ocxl_kernel_event_xsl_fault_error fault; /* of the kernel's driver: addr 0 is no fault */
	struct idr irqs;				/* id to struct eventfd_ctx, or to `no_eventfd` */
	u64 pp[64];
};

static struct {
	dev_t devt;
	struct class *class;
	struct cdev cdev;
	struct device *device;
	struct bin_attribute global_mmio;
	struct mutex lock; /* the contexts */
	struct idr contexts;
	unsigned int count;
} afu;

static const char no_eventfd;

/* --- what a process's own registers and interrupts do --- */

void afu_signal_irqs(void)
{
	struct context *ctx;
	int pasid, irq;
	void *eventfd;

	mutex_lock(&afu.lock);
	idr_for_each_entry(&afu.contexts, ctx, pasid)
		idr_for_each_entry(&ctx->irqs, eventfd, irq)
			if (eventfd != &no_eventfd)
				eventfd_signal(eventfd);
	mutex_unlock(&afu.lock);
}

static u64 pp_load(void *arg, u64 off, unsigned int bytes)
{
	struct context *ctx = arg;

	return bytes == 8 && off % 8 == 0 && off / 8 < ARRAY_SIZE(ctx->pp) ? ctx->pp[off / 8] : 0;
}

static void pp_store(void *arg, u64 off, unsigned int bytes, u64 value)
{
	struct context *ctx = arg;

	if (bytes == 8 && off % 8 == 0 && off / 8 < ARRAY_SIZE(ctx->pp))
		ctx->pp[off / 8] = value;
}

static u64 irq_load(void *arg, u64 off, unsigned int bytes)
{
	return 0;
}

/* A store to an interrupt's page triggers it. */
static void irq_store(void *arg, u64 off, unsigned int bytes, u64 value)
{
	struct context *ctx = arg;
	void *eventfd = idr_find(&ctx->irqs, (off - pp_mmio_size) >> PAGE_SHIFT);

	if (eventfd && eventfd != &no_eventfd)
		eventfd_signal(eventfd);
}

static const struct bus pp_bus = { pp_load, pp_store };
static const struct bus irq_bus = { irq_load, irq_store };

/* --- what the link asks --- */

static struct context *attached(void)
{
	struct context *ctx;
	int pasid;

	idr_for_each_entry(&afu.contexts, ctx, pasid)
		if (ctx->status == ATTACHED)
			return ctx;
	return NULL;
}

struct mm_struct *afu_attached_mm(void)
{
	struct mm_struct *mm = NULL;
	struct context *ctx;

	mutex_lock(&afu.lock);
	ctx = attached();
	if (ctx && mmget_not_zero(ctx->mm))
		mm = ctx->mm;
	mutex_unlock(&afu.lock);
	return mm;
}

void afu_translation_fault(u64 ea)
{
	struct context *ctx;

	mutex_lock(&afu.lock);
	ctx = attached();
	if (ctx) {
		ctx->fault.addr = ea;
		ctx->fault.dsisr = DSISR_NOPAGE;
		ctx->fault.count++;
		wake_up_all(&ctx->events);
	}
	mutex_unlock(&afu.lock);
}

/* --- the device file --- */

static int afu_open(struct inode *inode, struct file *file)
{
	struct context *ctx = kzalloc(sizeof(*ctx), GFP_KERNEL);

	if (!ctx)
		return -ENOMEM;
	init_waitqueue_head(&ctx->events);
	idr_init(&ctx->irqs);
	mutex_lock(&afu.lock);
	ctx->pasid = idr_alloc(&afu.contexts, ctx, 0, contexts, GFP_KERNEL);
	if (ctx->pasid >= 0)
		afu.count++;
	mutex_unlock(&afu.lock);
	if (ctx->pasid < 0) {
		int err = ctx->pasid;

		kfree(ctx);
		return err;
	}
	file->private_data = ctx;
	return 0;
}

static int afu_release(struct inode *inode, struct file *file)
{
	struct context *ctx = file->private_data;
	void *eventfd;
	int irq;

	mutex_lock(&afu.lock);
	ctx->status = CLOSED;
	idr_remove(&afu.contexts, ctx->pasid);
	afu.count--;
	mutex_unlock(&afu.lock);
	idr_for_each_entry(&ctx->irqs, eventfd, irq)
		if (eventfd != &no_eventfd)
			eventfd_ctx_put(eventfd);
	idr_destroy(&ctx->irqs);
	if (ctx->mm)
		mmdrop(ctx->mm);
	kfree(ctx);
	return 0;
}

static long attach(struct context *ctx, void __user *user)
{
	struct ocxl_ioctl_attach arg;

	if (copy_from_user(&arg, user, sizeof(arg)))
		return -EFAULT;
	if (arg.reserved1 || arg.reserved2 || arg.reserved3)
		return -EINVAL;
	if (fail_attach)
		return -(long)fail_attach;
	if (ctx->status != OPENED)
		return -EIO;
	/* The pages of the process that was attached before. */
	link_forget();
	mmgrab(current->mm);
	ctx->mm = current->mm;
	mutex_lock(&afu.lock);
	ctx->status = ATTACHED;
	mutex_unlock(&afu.lock);
	pr_info("standin: attached, pasid %d\n", ctx->pasid);
	return 0;
}

static long set_irq_eventfd(struct context *ctx, void __user *user)
{
	struct ocxl_ioctl_irq_fd arg;
	struct eventfd_ctx *eventfd;
	void *old;

	if (copy_from_user(&arg, user, sizeof(arg)))
		return -EFAULT;
	if (arg.reserved)
		return -EINVAL;
	eventfd = eventfd_ctx_fdget(arg.eventfd);
	if (IS_ERR(eventfd))
		return PTR_ERR(eventfd);
	old = arg.irq_offset < pp_mmio_size ? ERR_PTR(-EINVAL) :
					      idr_replace(&ctx->irqs, eventfd, (arg.irq_offset - pp_mmio_size) >> PAGE_SHIFT);
	if (IS_ERR(old)) {
		eventfd_ctx_put(eventfd);
		return -EINVAL;
	}
	if (old != &no_eventfd)
		eventfd_ctx_put(old);
	return 0;
}

static long afu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct context *ctx = file->private_data;
	void __user *user = (void __user *)arg;
	struct ocxl_ioctl_metadata metadata = {
		.afu_version_major = 1, .pasid = ctx->pasid,
		.pp_mmio_size = pp_mmio_size, .global_mmio_size = global_mmio_size,
	};
	struct ocxl_ioctl_features features = {};
	void *eventfd;
	u64 offset;
	int irq;

	switch (cmd) {
	case OCXL_IOCTL_ATTACH:
		return attach(ctx, user);
	case OCXL_IOCTL_GET_METADATA:
		return copy_to_user(user, &metadata, sizeof(metadata)) ? -EFAULT : 0;
	case OCXL_IOCTL_GET_FEATURES:
		return copy_to_user(user, &features, sizeof(features)) ? -EFAULT : 0;
	case OCXL_IOCTL_ENABLE_P9_WAIT:
		return IS_ENABLED(CONFIG_PPC64) ? -ENOENT : -EINVAL;
	case OCXL_IOCTL_IRQ_ALLOC:
		irq = idr_alloc(&ctx->irqs, (void *)&no_eventfd, 0, 16, GFP_KERNEL);
		if (irq < 0)
			return irq;
		offset = pp_mmio_size + ((u64)irq << PAGE_SHIFT);
		return copy_to_user(user, &offset, sizeof(offset)) ? -EFAULT : 0;
	case OCXL_IOCTL_IRQ_FREE:
		if (copy_from_user(&offset, user, sizeof(offset)))
			return -EFAULT;
		eventfd = offset < pp_mmio_size ? NULL : idr_remove(&ctx->irqs, (offset - pp_mmio_size) >> PAGE_SHIFT);
		if (!eventfd)
			return -EINVAL;
		if (eventfd != &no_eventfd)
			eventfd_ctx_put(eventfd);
		return 0;
	case OCXL_IOCTL_IRQ_SET_FD:
		return set_irq_eventfd(ctx, user);
	}
	return -EINVAL;
}

static ssize_t afu_read(struct file *file, char __user *buf, size_t len, loff_t *off)
{
	struct {
		struct ocxl_kernel_event_header header;
		struct ocxl_kernel_event_xsl_fault_error body;
	} event = { .header = { .type = OCXL_AFU_EVENT_XSL_FAULT_ERROR, .flags = OCXL_KERNEL_EVENT_FLAG_LAST } };
	struct context *ctx = file->private_data;

	if (*off || len < sizeof(event))
		return -EINVAL;
	do {
		if (!READ_ONCE(ctx->fault.addr) && file->f_flags & O_NONBLOCK)
			return -EAGAIN;
		if (wait_event_interruptible(ctx->events, READ_ONCE(ctx->fault.addr)))
			return -ERESTARTSYS;
		mutex_lock(&afu.lock);
		event.body = ctx->fault;
		memset(&ctx->fault, 0, sizeof(ctx->fault));
		mutex_unlock(&afu.lock);
	} while (!event.body.addr); /* another reader was faster */
	return copy_to_user(buf, &event, sizeof(event)) ? -EFAULT : sizeof(event);
}

static __poll_t afu_poll(struct file *file, struct poll_table_struct *wait)
{
	struct context *ctx = file->private_data;

	poll_wait(file, &ctx->events, wait);
	return READ_ONCE(ctx->fault.addr) ? EPOLLIN | EPOLLRDNORM : 0;
}

static vm_fault_t context_fault(struct vm_fault *vmf)
{
	struct context *ctx = vmf->vma->vm_file->private_data;

	if (ctx->status != ATTACHED)
		return VM_FAULT_SIGBUS;
	if (vmf->pgoff << PAGE_SHIFT < pp_mmio_size)
		return emulate_access(vmf, &pp_bus, ctx);
	return emulate_access(vmf, &irq_bus, ctx);
}

static const struct vm_operations_struct context_vmops = { .fault = context_fault };

static int afu_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct context *ctx = file->private_data;
	unsigned long pages = pp_mmio_size >> PAGE_SHIFT;

	if (vma->vm_pgoff < pages) {
		if (vma_pages(vma) + vma->vm_pgoff > pages)
			return -EINVAL;
	} else if (vma_pages(vma) != 1 || !idr_find(&ctx->irqs, vma->vm_pgoff - pages) || vma->vm_flags & (VM_READ | VM_EXEC)) {
		return -EINVAL;
	}
	vm_flags_set(vma, VM_IO | VM_PFNMAP);
	vma->vm_ops = &context_vmops;
	return 0;
}

static const struct file_operations afu_fops = {
	.owner = THIS_MODULE,
	.open = afu_open,
	.release = afu_release,
	.unlocked_ioctl = afu_ioctl,
	.read = afu_read,
	.poll = afu_poll,
	.mmap = afu_mmap,
};

/* --- sysfs --- */

static ssize_t global_mmio_size_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", global_mmio_size);
}
static DEVICE_ATTR_RO(global_mmio_size);

static ssize_t pp_mmio_size_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", pp_mmio_size);
}
static DEVICE_ATTR_RO(pp_mmio_size);

static ssize_t afu_version_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "1:0\n");
}
static DEVICE_ATTR_RO(afu_version);

static ssize_t contexts_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u/%u\n", READ_ONCE(afu.count), contexts);
}
static DEVICE_ATTR_RO(contexts);

static struct attribute *afu_attrs[] = {
	&dev_attr_global_mmio_size.attr, &dev_attr_pp_mmio_size.attr,
	&dev_attr_afu_version.attr,	 &dev_attr_contexts.attr, NULL,
};
ATTRIBUTE_GROUPS(afu);

static char *afu_devnode(const struct device *dev, umode_t *mode)
{
	return kasprintf(GFP_KERNEL, "ocxl/%s", dev_name(dev));
}

int afu_init(void)
{
	int err;

	mutex_init(&afu.lock);
	idr_init(&afu.contexts);
	err = alloc_chrdev_region(&afu.devt, 0, 1, "ocxl");
	if (err)
		return err;
	afu.class = class_create("ocxl");
	if (IS_ERR(afu.class)) {
		err = PTR_ERR(afu.class);
		goto region;
	}
	afu.class->devnode = afu_devnode;
	cdev_init(&afu.cdev, &afu_fops);
	err = cdev_add(&afu.cdev, afu.devt, 1);
	if (err)
		goto class;
	afu.device = device_create_with_groups(afu.class, NULL, afu.devt, NULL, afu_groups, "%s", afu_name);
	if (IS_ERR(afu.device)) {
		err = PTR_ERR(afu.device);
		goto cdev;
	}
	sysfs_bin_attr_init(&afu.global_mmio);
	afu.global_mmio.attr.name = "global_mmio_area";
	afu.global_mmio.attr.mode = 0600;
	afu.global_mmio.size = global_mmio_size;
	afu.global_mmio.mmap = registers_mmap;
	err = device_create_bin_file(afu.device, &afu.global_mmio);
	if (err)
		goto device;
	return 0;
device:
	device_destroy(afu.class, afu.devt);
cdev:
	cdev_del(&afu.cdev);
class:
	class_destroy(afu.class);
region:
	unregister_chrdev_region(afu.devt, 1);
	return err;
}

void afu_exit(void)
{
	device_remove_bin_file(afu.device, &afu.global_mmio);
	device_destroy(afu.class, afu.devt);
	cdev_del(&afu.cdev);
	class_destroy(afu.class);
	unregister_chrdev_region(afu.devt, 1);
}
