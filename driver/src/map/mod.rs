//! Fixed-address placement: a region is mapped where its superblock says, or not at all.
//!
//! The window is reserved inaccessible first, without replacing anything, and mapped over that
//! reservation, so that a failure half way leaves no hole and no leftovers. What is in the way is named
//! from /proc/self/maps. This room never opens a device: it is handed a file.
#![allow(unsafe_code, reason = "address space")]

mod fault;
mod guard;

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorKind, Result};
use crate::sys::mem::{self, Access, Advice};
use crate::sys::process;
use crate::units::{MIB, index};

pub(crate) use fault::install as install_fault_handler;
pub(crate) use guard::{Admission, check_pages};

/// Where slot 0 begins unless a region says otherwise.
pub(crate) const DEFAULT_BASE: u64 = 0x4000_0000_0000;
/// Slots that are promised to be free of other mappings at the default base.
pub(crate) const PROMISED_SLOTS: u64 = 21;

/// A region's window in this process's address space.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: u64,
    forks: u32,
    watch: fault::Watch,
    /// Pages that were sealed after publishing: start to end.
    sealed: Mutex<BTreeMap<u64, u64>>,
    /// Page size of the sealed ranges; 0 while there are none.
    sealed_page_bytes: AtomicU64,
    /// Where only what is open can be loaded.
    guard: Option<Arc<guard::Guard>>,
}

/// A window placed by this process, or by the one it was forked from.
struct Placed {
    base: u64,
    len: u64,
    forks: u32,
}

static PLACED: Mutex<Vec<Placed>> = Mutex::new(Vec::new());

fn placed() -> MutexGuard<'static, Vec<Placed>> {
    PLACED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same window, inherited through fork: a child that opens the region maps over it.
fn inherited(base: u64, len: u64) -> Option<NonNull<u8>> {
    let mut placed = placed();
    let forks = process::fork_count();
    let at = placed.iter().position(|p| p.base == base && p.len == len && p.forks != forks)?;
    placed.remove(at);
    NonNull::new(std::ptr::with_exposed_provenance_mut(index(base)))
}

// SAFETY: an address range is not tied to a thread; what is behind it is accessed as atomics or by the
// contracts of the rooms above.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

/// Part of a window and whether this process may store to it.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) range: Range<u64>,
    pub(crate) writable: bool,
}

/// What a window is mapped from.
pub(crate) struct Source<'a> {
    pub(crate) file: &'a File,
    /// Where the window begins in the file.
    pub(crate) off: u64,
    /// Only if the kernel keeps no copy of it (MAP_SYNC).
    pub(crate) sync: bool,
}

impl Source<'_> {
    fn explain(&self, e: Error) -> Error {
        if self.sync && e.errno() == libc::EOPNOTSUPP {
            return e.hint(
                "MAP_SYNC was refused: the kernel keeps copies of this file in its page cache, so that other hosts would not see                  what is stored; mount its file system with -o dax (on memory that allows it), or use a dax device",
            );
        }
        e
    }
}

impl Mapping {
    /// Maps the parts of a window at `base`; they must follow one another from offset 0 on.
    ///
    /// # Errors
    /// [`ErrorKind::AddressTaken`], naming what is there; [`ErrorKind::BadAlignment`] for an address the
    /// machine does not have.
    pub(crate) fn new(base: u64, source: &Source<'_>, parts: &[Part]) -> Result<Self> {
        let len = parts.last().map_or(0, |part| part.range.end);
        let start = match inherited(base, len) {
            Some(start) => start,
            None => mem::reserve(base, len).map_err(|e| explain(e, base, len))?,
        };
        let forks = process::fork_count();
        placed().push(Placed { base, len, forks });
        let mapping = Self {
            base: start,
            len,
            forks,
            watch: fault::Watch::new(base, len),
            sealed: Mutex::default(),
            sealed_page_bytes: AtomicU64::new(0),
            guard: None,
        };
        for part in parts {
            let size = part.range.end - part.range.start;
            let at = NonNull::new(mapping.base().wrapping_add(index(part.range.start))).unwrap_or(start);
            // SAFETY: inside the reservation made just above.
            unsafe {
                mem::map_over(
                    at,
                    size,
                    source.file.as_fd(),
                    source.off + part.range.start,
                    part.writable,
                    source.sync,
                )
            }
            .map_err(|e| source.explain(e))?;
        }
        // Cluster memory is shared and large: it does not belong into anybody's core dump.
        mem::advise(start, len, Advice::DontDump)?;
        Ok(mapping)
    }

    pub(crate) fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    pub(crate) fn len_bytes(&self) -> u64 {
        self.len
    }

    /// Whether a fault showed that the memory behind the window is gone.
    pub(crate) fn is_lost(&self) -> bool {
        self.watch.is_lost()
    }

    /// Backs a range with transparent huge pages.
    pub(crate) fn use_huge_pages(&self, range: Range<u64>) -> Result<()> {
        mem::advise(self.at(range.start), range.end - range.start, Advice::HugePage)
    }

    /// Makes every page of a range present, with as many threads as there are processors.
    pub(crate) fn prefault(&self, range: Range<u64>, writable: bool) -> Result<()> {
        // What the kernel may not load for this process it does not make present either.
        let _open = self.admit(&[(self.at(range.start).as_ptr(), range.end - range.start)])?;
        let advice = if writable { Advice::PopulateWrite } else { Advice::PopulateRead };
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
        let step = (range.end - range.start).div_ceil(threads).next_multiple_of(2 * MIB);
        std::thread::scope(|scope| {
            let mut workers = Vec::new();
            let mut start = range.start;
            while start < range.end {
                let end = (start + step).min(range.end);
                workers.push(scope.spawn(move || match mem::advise(self.at(start), end - start, advice) {
                    Err(e) if e.errno() == libc::EINVAL => {
                        self.touch(start..end);
                        Ok(())
                    }
                    result => result,
                }));
                start = end;
            }
            workers.into_iter().try_for_each(|worker| match worker.join() {
                Ok(result) => result,
                Err(_) => Err(Error::new(ErrorKind::Internal, "a prefault thread ended unexpectedly")),
            })
        })
    }

    /// Loads from every page: a device's pages, which are no memory of the kernel's, become present in no other way.
    fn touch(&self, range: Range<u64>) {
        let page = mem::page_bytes();
        for off in (range.start..range.end).step_by(index(page)) {
            // SAFETY: inside the mapping (`at` checks), readable, and any byte will do.
            unsafe { self.at(off).as_ptr().read_volatile() };
        }
    }

    /// Forbids this process to store to `pages`, a range of whole pages of `page_bytes` each.
    pub(crate) fn seal(&self, pages: Range<u64>, page_bytes: u64) -> Result<()> {
        let mut sealed = self.sealed.lock().unwrap_or_else(PoisonError::into_inner);
        mem::protect(self.at(pages.start), pages.end - pages.start, Access::Read)?;
        sealed.insert(pages.start, pages.end);
        self.sealed_page_bytes.store(page_bytes, Ordering::Release);
        Ok(())
    }

    /// Allows stores again to every sealed range that overlaps `range`: it holds nothing any more.
    #[inline]
    pub(crate) fn unseal(&self, range: Range<u64>) -> Result<()> {
        match self.sealed_page_bytes.load(Ordering::Acquire) {
            0 => Ok(()),
            page => self.unseal_pages(&(range.start / page * page..range.end.next_multiple_of(page))),
        }
    }

    #[cold]
    fn unseal_pages(&self, range: &Range<u64>) -> Result<()> {
        let mut sealed = self.sealed.lock().unwrap_or_else(PoisonError::into_inner);
        let overlapping = sealed.range(..range.end).filter(|(_, end)| **end > range.start);
        let overlapping: Vec<(u64, u64)> = overlapping.map(|(start, end)| (*start, *end)).collect();
        for (start, end) in overlapping {
            // What of the sealed range lies outside of the one handed out stays sealed.
            sealed.remove(&start);
            for (from, to) in [(start, range.start), (range.end, end)] {
                if from < to {
                    sealed.insert(from, to);
                }
            }
            let (from, to) = (start.max(range.start), end.min(range.end));
            mem::protect(self.at(from), to - from, Access::Write)?;
        }
        if sealed.is_empty() {
            self.sealed_page_bytes.store(0, Ordering::Release);
        }
        Ok(())
    }

    /// Makes a range inaccessible but for what is admitted, in units of `unit_bytes`.
    pub(crate) fn guard(&mut self, range: Range<u64>, unit_bytes: u64) -> Result<()> {
        let base = self.base() as u64;
        self.guard = Some(Arc::new(guard::Guard::new(base + range.start..base + range.end, unit_bytes)?));
        Ok(())
    }

    /// Whether this process can load only what is admitted.
    pub(crate) fn is_guarded(&self) -> bool {
        self.guard.is_some()
    }

    /// Makes ranges of a guarded window readable for as long as what it returns is kept: None where all are.
    #[inline]
    pub(crate) fn admit(&self, ranges: &[(*const u8, u64)]) -> Result<Option<Admission>> {
        self.guard.as_ref().map(|guard| guard.admit(ranges)).transpose()
    }

    /// Whether all of a range can be loaded.
    pub(crate) fn is_open(&self, address: *const u8, len: u64) -> bool {
        let range = address as u64..(address as u64).saturating_add(len);
        self.guard.as_ref().is_none_or(|guard| guard.is_open(&range))
    }

    fn at(&self, off: u64) -> NonNull<u8> {
        assert!(off <= self.len, "offset {off:#x} is outside the window");
        NonNull::new(self.base().wrapping_add(index(off))).unwrap_or(self.base)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // What a child inherited stays where it is: arrays that it inherited too may point there.
        if self.forks != process::fork_count() {
            return;
        }
        self.watch.end();
        if let Some(guard) = &self.guard {
            guard.end();
        }
        placed().retain(|p| p.base != self.base.as_ptr() as u64 || p.forks != self.forks);
        if let Err(e) = mem::unmap(self.base, self.len) {
            log::error!("leaving a window mapped: {e}");
        }
    }
}

/// Adds what is in the way, and what to do.
fn explain(error: Error, base: u64, len: u64) -> Error {
    let hint = match error.kind() {
        ErrorKind::AddressTaken => {
            let there =
                in_the_way(base, base.saturating_add(len)).unwrap_or_else(|| "something unnamed".to_owned());
            format!("in the way: {there}; create the region in another slot= or at another base=")
        }
        ErrorKind::NoMemory => "the address is beyond what this machine maps, or an address-space limit is \
             reached (ulimit -v); choose another base="
            .to_owned(),
        _ => return error,
    };
    error.hint(hint)
}

/// The first mapping of this process that overlaps `start .. end`, as /proc/self/maps shows it.
fn in_the_way(start: u64, end: u64) -> Option<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let (range, rest) = mappings(&maps).find(|(range, _)| range.start < end && range.end > start)?;
    let name = rest.split_whitespace().nth(4).unwrap_or("[anonymous]");
    Some(format!("{name} at {:08x}-{:08x}", range.start, range.end))
}

/// The lines of /proc/self/maps: where each mapping is, and the rest of its line.
fn mappings(maps: &str) -> impl Iterator<Item = (Range<u64>, &str)> {
    maps.lines().filter_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (from, to) = range.split_once('-')?;
        let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
        Some((from..to, rest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::file::memory_file;

    const AT: u64 = DEFAULT_BASE + 19 * crate::units::TIB;
    const LEN: u64 = 4 << 20;

    fn whole() -> [Part; 1] {
        [Part { range: 0..LEN, writable: true }]
    }

    #[test]
    fn a_second_mapping_is_refused_and_named_and_unmap_leaves_no_hole() {
        let file = memory_file(LEN);
        let first = Mapping::new(AT, &Source { file: &file, off: 0, sync: false }, &whole()).expect("first");
        assert_eq!(first.base() as u64, AT);
        let e = Mapping::new(AT + LEN / 2, &Source { file: &file, off: 0, sync: false }, &whole())
            .expect_err("must be refused");
        assert_eq!(e.kind(), ErrorKind::AddressTaken);
        assert!(e.message().contains("memfd:csm-test"), "{e}");
        drop(first);
        drop(
            Mapping::new(AT + LEN / 2, &Source { file: &file, off: 0, sync: false }, &whole())
                .expect("free again"),
        );
    }
}
