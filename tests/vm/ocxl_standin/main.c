// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Parameters, and the two pieces of memory that guests share: ivshmem devices. The smaller one is the wire between the
 * two ends; the larger one, there on the compute side only, is all of the lender guest's memory.
 */
#include <linux/io.h>
#include <linux/module.h>
#include <linux/pci.h>

#include "standin.h"

bool compute;
module_param(compute, bool, 0444);
MODULE_PARM_DESC(compute, "this is the compute side, which borrows; without, the memory side, which lends");

char *afu_name = "IBM,RMEM.0006:00:00.1.0";
module_param(afu_name, charp, 0444);
MODULE_PARM_DESC(afu_name, "name of the device: NAME.FUNCTION.INDEX");

char *window_name = "tfshmem";
module_param(window_name, charp, 0444);
MODULE_PARM_DESC(window_name, "name of the compute side's character device");

uint contexts = 1;
module_param(contexts, uint, 0444);
MODULE_PARM_DESC(contexts, "processes that may have the AFU open: one more gets ENOSPC");

uint global_mmio_size = 0x10000;
module_param(global_mmio_size, uint, 0444);
uint pp_mmio_size = 0x10000;
module_param(pp_mmio_size, uint, 0444);

/* Failures, which can be switched on and off at any time. */
uint fail_attach;
module_param(fail_attach, uint, 0644);
MODULE_PARM_DESC(fail_attach, "errno that ATTACH fails with");

uint train_ms = 300;
module_param(train_ms, uint, 0644);
MODULE_PARM_DESC(train_ms, "milliseconds of a channel's training, from when both ends are out of reset; 4294967295: forever");

bool wrong_answers;
module_param(wrong_answers, bool, 0644);
MODULE_PARM_DESC(wrong_answers, "the link delivers other lines than those asked for");

static struct pci_dev *found[2];
static struct wire *wire;

static int find_memory(phys_addr_t *ram, u64 *ram_bytes)
{
	struct pci_dev *dev = NULL;
	int n = 0, err;

	while ((dev = pci_get_device(0x1af4, 0x1110, dev)) && n < 2) {
		err = pci_enable_device(dev);
		if (err) {
			pci_dev_put(dev);
			return err;
		}
		found[n++] = pci_dev_get(dev);
	}
	pci_dev_put(dev);
	if (n == 2 && pci_resource_len(found[0], 2) > pci_resource_len(found[1], 2))
		swap(found[0], found[1]);
	if (n != (compute ? 2 : 1)) {
		pr_err("standin: %d ivshmem devices; the %s side needs %s\n", n, compute ? "compute" : "memory",
		       compute ? "two, the wire and the lender's memory" : "one, the wire");
		return -ENODEV;
	}
	if (compute) {
		*ram = pci_resource_start(found[1], 2);
		*ram_bytes = pci_resource_len(found[1], 2);
	}
	return 0;
}

static void put_memory(void)
{
	int n;

	if (wire)
		memunmap(wire);
	for (n = 0; n < 2; n++) {
		if (found[n])
			pci_disable_device(found[n]);
		pci_dev_put(found[n]);
	}
}

static int __init standin_init(void)
{
	phys_addr_t ram = 0;
	u64 ram_bytes = 0;
	int err;

	err = find_memory(&ram, &ram_bytes);
	if (err)
		goto put;
	wire = memremap(pci_resource_start(found[0], 2), pci_resource_len(found[0], 2), MEMREMAP_WB);
	if (!wire) {
		err = -ENOMEM;
		goto put;
	}
	err = link_init(wire, ram, ram_bytes);
	if (err)
		goto put;
	err = afu_init();
	if (err)
		goto link;
	err = compute ? window_init() : 0;
	if (err)
		goto afu;
	return 0;
afu:
	afu_exit();
link:
	link_exit();
put:
	put_memory();
	return err;
}

static void __exit standin_exit(void)
{
	if (compute)
		window_exit();
	afu_exit();
	link_exit();
	put_memory();
}

module_init(standin_init);
module_exit(standin_exit);
MODULE_DESCRIPTION("Stand-in for ocxl and a ThymesisFlow AFU");
MODULE_LICENSE("GPL");
