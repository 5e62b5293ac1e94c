"""The kinds of guest: what QEMU is asked for, what is loaded in it, and how it is set up before a scenario begins.

TCG, never KVM: it behaves the same wherever it runs. `-smp 1,maxcpus=2`, because with `-smp 1` alone TCG emits
read-modify-write that is not atomic, and two guests on one memory would lose each other's updates.
"""

from dataclasses import dataclass


@dataclass
class Machine:
    """`qemu` and `append` may use {memory}, the path of the file behind the memory that guests share, {mib}, its size, and
    {work}, the test's folder."""
    doc: str
    arch: str
    qemu: tuple
    append: str = ""
    modules: tuple = ()          # loaded in this order, before `setup`
    setup: tuple = ()            # commands in the guest; each must succeed
    memory_mib: int = 64         # of the file that guests share
    ram: str = "256M"


@dataclass
class Arch:
    program: str
    base: tuple
    console: str
    kernel: str = "vmlinuz"
    append: str = ""


ARCHES = {
    # The kernel tries for a while whether the timer interrupts, and panics when this machine was too busy to let it.
    "x86_64": Arch("qemu-system-x86_64", ("-cpu", "max"), "ttyS0", append="no_timer_check"),
    "ppc64le": Arch("qemu-system-ppc64", ("-cpu", "power9"), "hvc0", "vmlinux"),
    "aarch64": Arch("qemu-system-aarch64", ("-cpu", "max"), "ttyAMA0"),
}

SHARED = ("-object", "memory-backend-file,id=shared,mem-path={memory},size={mib}M,share=on")
BIND_VFIO = (
    "for d in /sys/bus/pci/devices/*; do [ \"$(cat $d/vendor $d/device | tr '\\n' ' ')\" = '0x1af4 0x1110 ' ] || continue; "
    "echo vfio-pci >$d/driver_override; echo ${d##*/} >/sys/bus/pci/drivers_probe; echo ${d##*/} >>/run/bdf; done; "
    "cat /run/bdf",
    "ls /dev/vfio/[0-9]*",
)

# The kernel would rather use the memory as its own (kmem): this gives it to programs. It can be opened only then.
DEVDAX = "echo dax0.0 >/sys/bus/dax/drivers/device_dax/new_id && : </dev/dax0.0"
# What `cxl create-region` and `daxctl` do, through sysfs: the whole device, not interleaved.
CXL_REGION = (
    "cd /sys/bus/cxl/devices; n=0; until [ -e mem0 ] && ls -d endpoint*; do n=$((n + 1)); [ $n -lt 100 ] || exit; usleep 50000; done",
    "cd /sys/bus/cxl/devices; ep=$(ls endpoint*/ -d); ed=$(ls -d ${ep}decoder*.0); ed=${ed%/}; ed=${ed##*/}; set -e; "
    "cat mem0/ram/size; echo ram >$ed/mode; cat mem0/ram/size >$ed/dpa_size; r=$(cat decoder0.0/create_ram_region); "
    "echo $r >decoder0.0/create_ram_region; echo 256 >$r/interleave_granularity; echo 1 >$r/interleave_ways; "
    "cat mem0/ram/size >$r/size; echo $ed >$r/target0; echo 1 >$r/commit; echo $r >/sys/bus/cxl/drivers/cxl_region/bind",
    DEVDAX,
)
# Without the mitigations that TCG does not have; VOF is the firmware that does not take seconds.
PSERIES = ("-M", "pseries,x-vof=on,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off")
IVSHMEM = ("-device", "ivshmem-plain,memdev=shared")

# The two ends of a link: a page that both see, and all of the lender's memory, which the borrower sees too.
WIRE = ("-object", "memory-backend-file,id=wire,mem-path={work}/wire,size=1M,share=on", "-device", "ivshmem-plain,memdev=wire")

MACHINES = {
    "x86-plain": Machine("x86-64 with nothing special", "x86_64", ("-M", "q35")),
    "x86-vfio": Machine(
        "x86-64; the shared memory is BAR 2 of an ivshmem device behind an IOMMU, bound to vfio-pci",
        "x86_64",
        ("-M", "q35,kernel-irqchip=split", "-device", "intel-iommu,intremap=on", *SHARED, *IVSHMEM),
        append="intel_iommu=on", modules=("vfio_pci", "vfio_iommu_type1"), setup=BIND_VFIO),
    "x86-vfio-doorbell": Machine(
        "x86-64; as x86-vfio, with the device that tests/vm/ivshmem_server.py serves: shared memory and doorbells",
        "x86_64", ("-M", "q35,kernel-irqchip=split", "-device", "intel-iommu,intremap=on"),
        append="intel_iommu=on", modules=("vfio_pci", "vfio_iommu_type1"), setup=BIND_VFIO, memory_mib=256),
    # Soft-reserved: what firmware calls memory for a special purpose. It lies at 4 GiB, beyond what other parts need.
    "x86-dax": Machine(
        "x86-64; the shared memory is soft-reserved and becomes /dev/dax0.0",
        "x86_64",
        ("-M", "q35,max-ram-below-4g=512M", "-object", "memory-backend-ram,id=own,size=512M", *SHARED,
         "-numa", "node,memdev=own", "-numa", "node,memdev=shared"),
        append="nokaslr memmap={mib}M%4G-1+0xefffffff", modules=("dax_hmem", "device_dax"),
        setup=(DEVDAX,), ram="768M", memory_mib=256),
    # Not a hypervisor to the guest: the kernel would not flush caches then, and refuses to make a region without.
    "x86-cxl": Machine(
        "x86-64; the shared memory is a volatile CXL memory device, made a region and then /dev/dax0.0",
        "x86_64",
        ("-cpu", "max,hypervisor=off", "-M", "q35,cxl=on,cxl-fmw.0.targets.0=cxl.1,cxl-fmw.0.size=4G", *SHARED,
         "-device", "pxb-cxl,bus_nr=12,bus=pcie.0,id=cxl.1", "-device", "cxl-rp,port=0,bus=cxl.1,id=rp0,chassis=0,slot=2",
         "-device", "cxl-type3,bus=rp0,volatile-memdev=shared,id=cxl-mem0"),
        modules=("cxl_acpi", "cxl_pci", "cxl_mem", "device_dax", "dax_cxl"), setup=CXL_REGION, ram="512M", memory_mib=256),
    "ppc-vfio": Machine(
        "POWER9, 64 KiB pages; the shared memory is BAR 2 of an ivshmem device behind an SPAPR TCE IOMMU, bound to vfio-pci",
        "ppc64le", (*PSERIES, *SHARED, *IVSHMEM),
        modules=("vfio_pci", "vfio_iommu_spapr_tce"), setup=BIND_VFIO, ram="1G"),
    # With GICv3 interrupts are remapped; the kernel does not give devices to programs without.
    "arm-vfio": Machine(
        "ARM; the shared memory is BAR 2 of an ivshmem device behind an SMMUv3, bound to vfio-pci",
        "aarch64", ("-M", "virt,iommu=smmuv3,gic-version=3", *SHARED, *IVSHMEM),
        modules=("vfio_pci", "vfio_iommu_type1"), setup=BIND_VFIO, ram="512M"),
    "x86-tf-memory": Machine(
        "x86-64; all of its memory is shared: the lender of the ocxl stand-in",
        "x86_64", ("-M", "q35,memory-backend=shared", *SHARED, *WIRE), ram="512M", memory_mib=512),
    "x86-tf-compute": Machine(
        "x86-64; sees the lender's memory: the borrower of the ocxl stand-in",
        "x86_64", ("-M", "q35", *SHARED, *WIRE, *IVSHMEM), memory_mib=512),
    "ppc-tf-memory": Machine(
        "POWER9, 64 KiB pages; as x86-tf-memory",
        "ppc64le", (*PSERIES, "-M", "memory-backend=shared", *SHARED, *WIRE), ram="1G", memory_mib=1024),
    "ppc-tf-compute": Machine(
        "POWER9, 64 KiB pages; as x86-tf-compute",
        "ppc64le", (*PSERIES, *SHARED, *WIRE, *IVSHMEM), ram="1G", memory_mib=1024),
}
