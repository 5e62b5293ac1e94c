//! The kernel's interface to OpenCAPI accelerators: `<misc/ocxl.h>` in Rust, numbers and layouts, nothing else.
//!
//! Fields that the kernel reserves must be zero going in and are ignored coming out.

const MAGIC: u8 = 0xCA;

/// Argument of `OCXL_IOCTL_ATTACH`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct Attach {
    /// Authority mask of the POWER storage keys; masked by the kernel with what the process may use.
    pub(super) amr: u64,
    pub(super) reserved: [u64; 3],
}

/// Answer of `OCXL_IOCTL_GET_METADATA`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct Metadata {
    pub(super) version: u16,
    pub(super) afu_version_major: u8,
    pub(super) afu_version_minor: u8,
    pub(super) pasid: u32,
    pub(super) pp_mmio_size: u64,
    pub(super) global_mmio_size: u64,
    pub(super) reserved: [u64; 13],
}

/// Argument of `OCXL_IOCTL_IRQ_SET_FD`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct IrqFd {
    pub(super) irq_offset: u64,
    pub(super) eventfd: i32,
    pub(super) reserved: u32,
}

/// Answer of `OCXL_IOCTL_GET_FEATURES`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct Features {
    pub(super) flags: [u64; 4],
}

/// `flags[0]`: the `wait` instruction of POWER9 can be woken by the AFU.
pub(super) const FEATURE_P9_WAIT: u64 = 1;

/// What `read` of the device puts before an event's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct EventHeader {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) reserved: u32,
}

/// `EventHeader::kind`: a translation fault, whose body is [`XslFault`].
pub(super) const EVENT_XSL_FAULT: u16 = 0;
/// `EventHeader::flags`: no other event waits.
pub(super) const EVENT_LAST: u16 = 1;

/// Body of a translation fault event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct XslFault {
    pub(super) addr: u64,
    pub(super) dsisr: u64,
    pub(super) count: u64,
    pub(super) reserved: u64,
}

/// Bytes `read` must ask for: the kernel refuses less than a header and its longest body.
pub(super) const EVENT_BYTES: usize = size_of::<EventHeader>() + size_of::<XslFault>();

type Number = nix::sys::ioctl::ioctl_num_type;

const ATTACH: Number = nix::request_code_write!(MAGIC, 0x10, size_of::<Attach>());
const IRQ_ALLOC: Number = nix::request_code_read!(MAGIC, 0x11, size_of::<u64>());
const IRQ_FREE: Number = nix::request_code_write!(MAGIC, 0x12, size_of::<u64>());
const IRQ_SET_FD: Number = nix::request_code_write!(MAGIC, 0x13, size_of::<IrqFd>());
const GET_METADATA: Number = nix::request_code_read!(MAGIC, 0x14, size_of::<Metadata>());
// 0x15, ENABLE_P9_WAIT, is for programs that wait for an AFU by an instruction of POWER9: nothing here does.
const GET_FEATURES: Number = nix::request_code_read!(MAGIC, 0x16, size_of::<Features>());

nix::ioctl_write_ptr_bad!(
    /// Binds the context to this process's address space, once.
    attach,
    ATTACH,
    Attach
);
nix::ioctl_read_bad!(
    /// A new interrupt: its offset in the device file, which is also its name.
    irq_alloc,
    IRQ_ALLOC,
    u64
);
nix::ioctl_write_ptr_bad!(
    /// Gives an interrupt back.
    irq_free,
    IRQ_FREE,
    u64
);
nix::ioctl_write_ptr_bad!(
    /// Lets an interrupt count up an eventfd.
    irq_set_fd,
    IRQ_SET_FD,
    IrqFd
);
nix::ioctl_read_bad!(
    /// What the AFU is.
    get_metadata,
    GET_METADATA,
    Metadata
);
nix::ioctl_read_bad!(
    /// What the kernel offers beside.
    get_features,
    GET_FEATURES,
    Features
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_the_kernels() {
        assert_eq!((size_of::<Attach>(), size_of::<Metadata>(), size_of::<IrqFd>()), (32, 128, 16));
        assert_eq!((size_of::<Features>(), size_of::<EventHeader>(), size_of::<XslFault>()), (32, 8, 32));
        assert_eq!(std::mem::offset_of!(Metadata, pasid), 4);
        assert_eq!(std::mem::offset_of!(Metadata, pp_mmio_size), 8);
        assert_eq!(std::mem::offset_of!(Metadata, global_mmio_size), 16);
        assert_eq!(std::mem::offset_of!(IrqFd, eventfd), 8);
        assert_eq!(EVENT_BYTES, 40);
    }

    /// As a C compiler prints them from the header. POWER numbers its directions differently.
    #[test]
    fn numbers_are_the_kernels() {
        let numbers = [ATTACH, IRQ_ALLOC, IRQ_FREE, IRQ_SET_FD, GET_METADATA, GET_FEATURES];
        let expected: [Number; 6] = if cfg!(target_arch = "powerpc64") {
            [0x8020_CA10, 0x4008_CA11, 0x8008_CA12, 0x8010_CA13, 0x4080_CA14, 0x4020_CA16]
        } else {
            [0x4020_CA10, 0x8008_CA11, 0x4008_CA12, 0x4010_CA13, 0x8080_CA14, 0x8020_CA16]
        };
        assert_eq!(numbers, expected);
    }
}
