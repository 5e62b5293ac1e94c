//! Address space: reserve, map, protect, advise, populate.

use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags};

use crate::error::{Error, ErrorKind, Result};

fn failed(call: &str, address: usize, len: u64, errno: Errno) -> Error {
    Error::system(format_args!("{call}({address:#x}, {len} bytes)"), errno as i32)
}

fn length(len: u64) -> Result<NonZeroUsize> {
    usize::try_from(len).ok().and_then(NonZeroUsize::new).ok_or_else(|| {
        Error::new(ErrorKind::BadSize, format!("a mapping of {len} bytes is not possible on this machine"))
    })
}

fn at(address: u64) -> Result<NonZeroUsize> {
    length(address).map_err(|_| {
        Error::new(ErrorKind::BadAlignment, format!("{address:#x} is not an address of this machine"))
    })
}

/// Reserves `len` bytes of address space at exactly `address`, inaccessible, replacing nothing.
///
/// # Errors
/// [`ErrorKind::AddressTaken`] when something is there.
pub(crate) fn reserve(address: u64, len: u64) -> Result<NonNull<u8>> {
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE | MapFlags::MAP_FIXED_NOREPLACE;
    // SAFETY: a new anonymous mapping; NOREPLACE keeps it off whatever is mapped.
    let got = unsafe {
        nix::sys::mman::mmap_anonymous(Some(at(address)?), length(len)?, ProtFlags::PROT_NONE, flags)
    };
    match got {
        Ok(got) if got.as_ptr() as u64 == address => Ok(got.cast()),
        Ok(elsewhere) => {
            // The flag was ignored (qemu-user, kernels before 4.17): the address was a mere hint.
            unmap(elsewhere.cast(), len)?;
            Err(Error::new(ErrorKind::AddressTaken, format!("{address:#x} is not free for {len} bytes")))
        }
        Err(Errno::EEXIST) => {
            Err(Error::new(ErrorKind::AddressTaken, format!("{address:#x} is not free for {len} bytes")))
        }
        Err(errno) => Err(failed("mmap", usize::try_from(address).unwrap_or(0), len, errno)),
    }
}

/// Maps `fd` from `offset` over a part of one's own reservation.
///
/// # Safety
/// `address .. address + len` lies in a reservation or mapping of the caller's, which this replaces.
pub(crate) unsafe fn map_over(
    address: NonNull<u8>,
    len: u64,
    fd: BorrowedFd<'_>,
    offset: u64,
    writable: bool,
) -> Result<()> {
    let prot = if writable { ProtFlags::PROT_READ | ProtFlags::PROT_WRITE } else { ProtFlags::PROT_READ };
    let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
    let offset = libc::off_t::try_from(offset)
        .map_err(|_| Error::new(ErrorKind::BadSize, format!("file offset {offset} is out of range")))?;
    // SAFETY: the caller owns what is replaced.
    unsafe {
        nix::sys::mman::mmap(
            NonZeroUsize::new(address.as_ptr() as usize),
            length(len)?,
            prot,
            flags,
            fd,
            offset,
        )
    }
    .map(|_| ())
    .map_err(|errno| failed("mmap", address.as_ptr() as usize, len, errno))
}

/// Gives address space back.
pub(crate) fn unmap(address: NonNull<u8>, len: u64) -> Result<()> {
    // SAFETY: only called on mappings this room made, by the owner that ends with it.
    unsafe { nix::sys::mman::munmap(address.cast(), length(len)?.get()) }
        .map_err(|errno| failed("munmap", address.as_ptr() as usize, len, errno))
}

/// Allows or forbids stores to whole pages of one's own mapping.
pub(crate) fn protect(address: NonNull<u8>, len: u64, writable: bool) -> Result<()> {
    let prot = if writable { ProtFlags::PROT_READ | ProtFlags::PROT_WRITE } else { ProtFlags::PROT_READ };
    // SAFETY: taking rights away from or giving them to one's own mapping moves no memory.
    unsafe { nix::sys::mman::mprotect(address.cast(), length(len)?.get(), prot) }
        .map_err(|errno| failed("mprotect", address.as_ptr() as usize, len, errno))
}

/// What to tell the kernel about a range.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Advice {
    /// Leave it out of core dumps.
    DontDump,
    /// Back it with transparent huge pages.
    HugePage,
    /// Make every page present for writing.
    PopulateWrite,
    /// Make every page present for reading.
    PopulateRead,
}

/// Advises the kernel about a range of one's own mapping.
pub(crate) fn advise(address: NonNull<u8>, len: u64, advice: Advice) -> Result<()> {
    let advice = match advice {
        Advice::DontDump => MmapAdvise::MADV_DONTDUMP,
        Advice::HugePage => MmapAdvise::MADV_HUGEPAGE,
        Advice::PopulateWrite => MmapAdvise::MADV_POPULATE_WRITE,
        Advice::PopulateRead => MmapAdvise::MADV_POPULATE_READ,
    };
    // SAFETY: none of these advices changes what the memory holds.
    unsafe { nix::sys::mman::madvise(address.cast(), length(len)?.get(), advice) }
        .map_err(|errno| failed(&format!("madvise({advice:?})"), address.as_ptr() as usize, len, errno))
}

/// Bytes of a page of ordinary memory.
pub(crate) fn page_bytes() -> u64 {
    // SAFETY: plain query.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}
