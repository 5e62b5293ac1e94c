//! Address space: reserve, map, protect, advise, populate.

use std::fs::File;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags};

use crate::error::{Error, ErrorKind, Result};
use crate::units::{KIB, MIB, index};

const HUGE_PAGE_BYTES: u64 = 2 * MIB;

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

/// Maps `fd` from `offset` over a part of one's own reservation. `sync`: with no copy in between (MAP_SYNC).
///
/// # Safety
/// `address .. address + len` lies in a reservation or mapping of the caller's, which this replaces.
pub(crate) unsafe fn map_over(
    address: NonNull<u8>,
    len: u64,
    fd: BorrowedFd<'_>,
    offset: u64,
    writable: bool,
    sync: bool,
) -> Result<()> {
    let prot = if writable { ProtFlags::PROT_READ | ProtFlags::PROT_WRITE } else { ProtFlags::PROT_READ };
    let sharing =
        if sync { MapFlags::MAP_SHARED_VALIDATE | MapFlags::MAP_SYNC } else { MapFlags::MAP_SHARED };
    let flags = sharing | MapFlags::MAP_FIXED;
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

/// What can be done to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing.
    None,
    /// Loads.
    Read,
    /// Loads and stores.
    Write,
}

/// Sets what can be done to whole pages of one's own mapping.
pub(crate) fn protect(address: NonNull<u8>, len: u64, access: Access) -> Result<()> {
    let prot = match access {
        Access::None => ProtFlags::PROT_NONE,
        Access::Read => ProtFlags::PROT_READ,
        Access::Write => ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
    };
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

/// Makes every page of a range of one's own mapping present and keeps it there.
pub(crate) fn lock(address: NonNull<u8>, len: u64) -> Result<()> {
    // SAFETY: changes nothing that the program can see.
    unsafe { nix::sys::mman::mlock(address.cast(), length(len)?.get()) }
        .map_err(|errno| failed("mlock", address.as_ptr() as usize, len, errno))
}

/// Bytes of memory that can be had without taking them from anybody.
pub(crate) fn available_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.map_or(u64::MAX, |kib| kib * KIB)
}

/// Bytes of a page of ordinary memory.
pub(crate) fn page_bytes() -> u64 {
    // SAFETY: plain query.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// Puts memory behind `range` of a file by touching it through a mapping that asks for huge pages: allocating
/// it any other way gives small ones. What the kernel has no huge page for gets small ones too.
pub(crate) fn populate_huge(file: &File, range: Range<u64>) -> Result<()> {
    if range.end <= range.start {
        return Ok(());
    }
    // Huge pages appear where address and offset agree in their last 21 bits.
    let (len, phase) = (range.end - range.start, range.start % HUGE_PAGE_BYTES);
    let reserved = len + phase + HUGE_PAGE_BYTES;
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
    // SAFETY: a new anonymous mapping, wherever there is room.
    let start =
        unsafe { nix::sys::mman::mmap_anonymous(None, length(reserved)?, ProtFlags::PROT_NONE, flags) }
            .map_err(|errno| failed("mmap", 0, reserved, errno))?
            .cast::<u8>();
    let here = start.as_ptr() as u64;
    let skip = here.next_multiple_of(HUGE_PAGE_BYTES) + phase - here;
    let populated = NonNull::new(start.as_ptr().wrapping_add(index(skip))).map_or(Ok(()), |at| {
        // SAFETY: inside the mapping made just above.
        unsafe { map_over(at, len, file.as_fd(), range.start, true, false) }?;
        advise(at, len, Advice::HugePage)?;
        advise(at, len, Advice::PopulateWrite)?;
        // Where the system's setting gave small pages, they are gathered into huge ones now: this asks no setting.
        collapse(at, len)
    });
    unmap(start, reserved)?;
    populated
}

/// Gathers the pages of a range into huge ones.
fn collapse(address: NonNull<u8>, len: u64) -> Result<()> {
    let start = (address.as_ptr() as u64).next_multiple_of(HUGE_PAGE_BYTES);
    let end = (address.as_ptr() as u64 + len) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    if start >= end {
        return Ok(());
    }
    let skip = start - address.as_ptr() as u64;
    // SAFETY: moves what the pages hold to other pages, at the same addresses.
    let done = unsafe {
        libc::madvise(
            address.as_ptr().wrapping_add(index(skip)).cast(),
            index(end - start),
            libc::MADV_COLLAPSE,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(failed("madvise(MADV_COLLAPSE)", index(start), end - start, Errno::last()))
    }
}

/// Calls `allocate` while this thread's new memory comes from NUMA node `node` and no other.
///
/// # Errors
/// When the system refuses the node, and what `allocate` answers.
pub(crate) fn on_numa_node<T>(node: u64, allocate: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut bound = MemoryPolicy { mode: libc::MPOL_BIND, ..MemoryPolicy::default() };
    let bit = usize::try_from(node).ok().and_then(|node| Some((bound.nodes.get_mut(node / 64)?, node % 64)));
    let Some((word, bit)) = bit else {
        return Err(Error::new(ErrorKind::InvalidArgument, format!("there is no NUMA node {node}")));
    };
    *word = 1 << bit;
    let before = MemoryPolicy::of_this_thread()?;
    bound.set().map_err(|e| e.context(format_args!("taking memory of NUMA node {node}")))?;
    let allocated = allocate();
    before.set()?;
    allocated
}

/// Where a thread's memory comes from.
#[derive(Default)]
struct MemoryPolicy {
    mode: libc::c_int,
    nodes: [u64; Self::NODES / 64],
}

impl MemoryPolicy {
    const NODES: usize = 1024;

    fn of_this_thread() -> Result<Self> {
        let mut this = Self::default();
        let (mode, nodes) = (&raw mut this.mode, this.nodes.as_mut_ptr());
        // SAFETY: the kernel writes the mode and at most as many bits as it is told there are.
        let got = unsafe { libc::syscall(libc::SYS_get_mempolicy, mode, nodes, Self::NODES, 0usize, 0usize) };
        if got == 0 { Ok(this) } else { Err(Error::system("get_mempolicy()", Errno::last_raw())) }
    }

    fn set(&self) -> Result<()> {
        // SAFETY: the kernel reads as many bits as it is told there are.
        let done =
            unsafe { libc::syscall(libc::SYS_set_mempolicy, self.mode, self.nodes.as_ptr(), Self::NODES) };
        if done == 0 { Ok(()) } else { Err(Error::system("set_mempolicy()", Errno::last_raw())) }
    }
}
