//! Large ranges by several threads, in parts that share no line.
//!
//! A fence completes what its own thread started, so every thread that helps fences before it ends. It also
//! fences before it begins: not every instruction set orders cache instructions after what starting a thread
//! orders, and the stores to be written home are those of the thread that calls.
//!
//! Starting a thread costs 60 us, what a processor writes back or copies of 2 MiB meanwhile, and one processor nearly
//! fills the link to memory. Two threads took, of the time of one (EPYC, Zen 4, 2 processors): up to 16 MiB more,
//! at 32 MiB as much, at 64 MiB about 0.85, at 1 GiB 0.7. So a thread gets at least 32 MiB.

use std::{ptr, thread};

use super::{CacheOps, lines};
use crate::units::{MIB, index};

/// The least that is worth a thread.
const PART_BYTES: u64 = 32 * MIB;

/// Calls `work` with the address and length of parts of a range, several threads at once if it is long enough.
pub(super) fn over(ops: &impl CacheOps, address: u64, len: u64, work: impl Fn(u64, u64) + Sync) {
    if len < 2 * PART_BYTES {
        return work(address, len);
    }
    let processors = thread::available_parallelism().map_or(1, |n| n.get() as u64);
    divided(ops, address, len, processors.min(len / PART_BYTES), work);
}

/// Copies with `part`, by several threads at once if it is long enough.
///
/// # Safety
/// As `part` and [`CacheOps::copy_home`].
pub(super) unsafe fn copy<O: CacheOps>(
    ops: &O,
    from: *const u8,
    to: *mut u8,
    len: u64,
    part: unsafe fn(&O, *const u8, *mut u8, u64),
) {
    let (from, to) = (from.expose_provenance(), to.expose_provenance());
    over(ops, to as u64, len, |start, len| {
        let off = index(start) - to;
        // SAFETY: a part of the caller's ranges, and no other thread's.
        unsafe {
            part(
                ops,
                ptr::with_exposed_provenance(from + off),
                ptr::with_exposed_provenance_mut(to + off),
                len,
            );
        }
    });
}

#[cold]
fn divided(ops: &impl CacheOps, address: u64, len: u64, threads: u64, work: impl Fn(u64, u64) + Sync) {
    let parts = parts(address, len, ops.line_bytes(), threads);
    let work = &work;
    thread::scope(|scope| {
        let mut parts = parts.into_iter();
        let own = parts.next();
        for (start, len) in parts {
            let help = move || {
                ops.fence();
                work(start, len);
                ops.fence();
            };
            if let Err(e) = thread::Builder::new().spawn_scoped(scope, help) {
                log::debug!("no thread to help with cache lines, this one does it alone: {e}");
                work(start, len);
            }
        }
        if let Some((start, len)) = own {
            work(start, len);
        }
    });
}

/// A range as at most `count` parts of about the same length, none empty, that share no line.
fn parts(address: u64, len: u64, line: u64, count: u64) -> Vec<(u64, u64)> {
    let (first, bytes) = lines::cover(address, len, line);
    let step = (bytes / line).div_ceil(count.max(1)) * line;
    let mut parts = Vec::new();
    let mut start = address;
    while start < address + len {
        let end = (first + (parts.len() as u64 + 1) * step).min(address + len);
        parts.push((start, end - start));
        start = end;
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::thread::ThreadId;

    use proptest::prelude::*;

    use super::*;

    /// What every thread did, in order: a fence or a line.
    #[derive(Default)]
    struct Record(Mutex<BTreeMap<String, Vec<Did>>>);

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Did {
        Fence,
        Line(u64),
    }

    impl Record {
        fn note(&self, did: Did) {
            let id: ThreadId = thread::current().id();
            self.0.lock().unwrap().entry(format!("{id:?}")).or_default().push(did);
        }
    }

    impl CacheOps for Record {
        fn line_bytes(&self) -> u64 {
            64
        }

        fn write_back(&self, _address: *const u8, _len: u64) {}

        fn invalidate(&self, _address: *const u8, _len: u64) {}

        fn fence(&self) {
            self.note(Did::Fence);
        }

        unsafe fn copy_home(&self, _from: *const u8, _to: *mut u8, _len: u64) {}
    }

    proptest! {
        #[test]
        fn parts_are_the_range_without_a_shared_line(
            address in 0x1000_u64..0x1400, len in 0_u64..4000, count in 1_u64..9,
        ) {
            let parts = parts(address, len, 64, count);
            prop_assert!(parts.len() as u64 <= count);
            let mut next = address;
            for (i, (start, bytes)) in parts.iter().enumerate() {
                prop_assert_eq!(*start, next);
                prop_assert!(*bytes > 0 && (i == 0 || start % 64 == 0));
                next = start + bytes;
            }
            prop_assert_eq!(next, address + len);
        }
    }

    #[test]
    fn every_line_is_worked_once_and_helpers_fence_before_and_after() {
        let record = Record::default();
        divided(&record, 0x1008, 64 * 30, 3, |start, len| {
            lines::for_each(start, len, 64, |at| record.note(Did::Line(at)));
        });
        let mut did = record.0.into_inner().unwrap();
        let own = did.remove(&format!("{:?}", thread::current().id())).unwrap();
        assert!(!own.contains(&Did::Fence), "the caller fences itself");
        assert_eq!(did.len(), 2, "helpers");
        let mut lines = own;
        for helped in did.into_values() {
            let [Did::Fence, worked @ .., Did::Fence] = &helped[..] else { panic!("{helped:?}") };
            lines.extend(worked);
        }
        lines.sort_by_key(|did| if let Did::Line(at) = did { *at } else { 0 });
        assert_eq!(lines, (0..31).map(|i| Did::Line(0x1000 + i * 64)).collect::<Vec<_>>());
    }
}
