//! Ranges that this process can load while it has them open, and at no other time (`protect=yes`).
//!
//! The data zone of a process that only reads is inaccessible. A table's columns become readable when they arrive
//! and stop being so just before the lease ends; a range that several have open counts them. What is opened and closed
//! are whole units, of which every extent has its own: that is what such a region is laid out for.
//!
//! It stops loads of this process that no lease covers: through a pointer that was kept too long (SIGSEGV, not
//! another table's bytes), through one that nobody handed out, and those that the CPU makes ahead of the program, so
//! that a line can become stale in its caches only while it is open. What is in a cache already stays there; the next
//! arrival invalidates it. It does not stop other processes of the node, the kernel's own mapping of the memory, nor
//! anything in a process that writes: that one has extents of its own among those it reads. It does not tell a lease
//! that was taken away from one that holds, and whoever has one column of an extent open has all of that extent.
//! A forked child keeps what was open when it was made, and opens nothing.
//!
//! Each stretch of open units is a mapping of its own to the kernel, which has room for `vm.max_map_count` of them.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::arch;
use crate::error::{Error, ErrorKind, Result};
use crate::sys::mem::{self, Access};
use crate::sys::process;
use crate::units::{format_size, index};

/// Whether memory of such pages can be protected in units of `unit_bytes`.
///
/// # Errors
/// [`ErrorKind::Unsupported`] where a page is larger than a unit.
pub(crate) fn check_pages(page_bytes: u64, unit_bytes: u64) -> Result<()> {
    if page_bytes <= unit_bytes && unit_bytes.is_multiple_of(page_bytes) {
        return Ok(());
    }
    let (page, unit) = (format_size(page_bytes), format_size(unit_bytes));
    let text = format!(
        "protect=yes gives every extent pages of its own in units of {unit}, and here a page has {page}; \
         create the region without protect=yes, or with ordinary pages on a machine where these are small enough"
    );
    Err(Error::new(ErrorKind::Unsupported, text))
}

/// The protection of one window, in addresses.
#[derive(Debug)]
pub(super) struct Guard {
    whole: Range<u64>,
    unit_bytes: u64,
    forks: u32,
    /// None when the window has gone: what is at its addresses then is somebody else's.
    counts: Mutex<Option<Counts>>,
}

impl Guard {
    /// Makes `whole`, a part of one's own mapping, inaccessible.
    pub(super) fn new(whole: Range<u64>, unit_bytes: u64) -> Result<Self> {
        protect(&whole, Access::None)?;
        let counts = Mutex::new(Some(Counts::default()));
        Ok(Self { whole, unit_bytes, forks: process::fork_count(), counts })
    }

    fn counts(&self) -> MutexGuard<'_, Option<Counts>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes every unit that the ranges touch readable, until what is returned is dropped.
    pub(super) fn admit(self: &Arc<Self>, ranges: &[(*const u8, u64)]) -> Result<Admission> {
        // A lock that another thread held when this process was forked is never free again.
        if self.forks != process::fork_count() {
            return Err(Error::new(
                ErrorKind::Forked,
                "the region was opened by the process this one was forked from; open it here",
            ));
        }
        let units = arch::merge(ranges.iter().copied(), self.unit_bytes);
        let units: Vec<_> = units.into_iter().map(|(start, bytes)| start..start + bytes).collect();
        if let Some(foreign) = units.iter().find(|u| u.start < self.whole.start || u.end > self.whole.end) {
            let text = format!("{foreign:#x?} is not in the data that is protected at {:#x?}", self.whole);
            return Err(Error::new(ErrorKind::Internal, text));
        }
        let mut counts = self.counts();
        let Some(counts) = counts.as_mut() else {
            return Err(Error::new(
                ErrorKind::Closed,
                "the region was closed in this process; open it again",
            ));
        };
        let appeared: Vec<_> =
            units.iter().flat_map(|range| counts.change(range, |count| count + 1)).collect();
        if let Err(e) = appeared.iter().try_for_each(|range| protect(range, Access::Read)) {
            close(counts, &units);
            return Err(e.hint(
                "each stretch of pages of an open table is a mapping of its own; raise vm.max_map_count, or have fewer tables open at once",
            ));
        }
        Ok(Admission { guard: self.clone(), units })
    }

    /// Whether all of a range is open.
    pub(super) fn is_open(&self, range: &Range<u64>) -> bool {
        self.counts().as_ref().is_some_and(|counts| counts.are_positive(range))
    }

    /// The window goes.
    pub(super) fn end(&self) {
        *self.counts() = None;
    }
}

/// Ranges that are open; dropping it closes those that nobody else has open.
#[derive(Debug)]
pub(crate) struct Admission {
    guard: Arc<Guard>,
    units: Vec<Range<u64>>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        // A forked child's arrays go on pointing to what was open.
        if self.guard.forks == process::fork_count()
            && let Some(counts) = self.guard.counts().as_mut()
        {
            close(counts, &self.units);
        }
    }
}

fn close(counts: &mut Counts, units: &[Range<u64>]) {
    for gone in units.iter().flat_map(|range| counts.change(range, |count| count.saturating_sub(1))) {
        if let Err(e) = protect(&gone, Access::None) {
            log::error!("leaving {gone:#x?} readable without a lease: {e}");
        }
    }
}

fn protect(range: &Range<u64>, access: Access) -> Result<()> {
    NonZeroUsize::new(index(range.start)).map_or(Ok(()), |start| {
        mem::protect(NonNull::without_provenance(start), range.end - range.start, access)
    })
}

/// How often each address is open: a count holds from its key to the next one, and before the first key it is 0.
/// No two that follow one another are equal.
#[derive(Debug, Default)]
struct Counts(BTreeMap<u64, u32>);

impl Counts {
    /// Changes the counts in a range, and returns the parts where they were or became 0.
    fn change(&mut self, range: &Range<u64>, to: impl Fn(u32) -> u32) -> Vec<Range<u64>> {
        for edge in [range.start, range.end] {
            let count = self.0.range(..=edge).next_back().map_or(0, |(_, count)| *count);
            self.0.insert(edge, count);
        }
        let mut changed = Vec::new();
        let mut parts = self.0.range_mut(range.clone()).peekable();
        while let Some((start, count)) = parts.next() {
            let end = parts.peek().map_or(range.end, |(next, _)| **next);
            let before = std::mem::replace(count, to(*count));
            if (before == 0) != (*count == 0) {
                changed.push(*start..end);
            }
        }
        for edge in [range.start, range.end] {
            let before = self.0.range(..edge).next_back().map_or(0, |(_, count)| *count);
            if self.0.get(&edge) == Some(&before) {
                self.0.remove(&edge);
            }
        }
        changed
    }

    fn are_positive(&self, range: &Range<u64>) -> bool {
        let first = self.0.range(..=range.start).next_back().is_some_and(|(_, count)| *count > 0);
        first && self.0.range(range.clone()).all(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::map::{DEFAULT_BASE, Mapping, Part, mappings};
    use crate::sys::file::memory_file;
    use crate::units::KIB;

    const AT: u64 = DEFAULT_BASE + 18 * crate::units::TIB;
    /// As large as any page.
    const UNIT: u64 = 64 * KIB;
    const UNITS: u64 = 64;

    proptest! {
        #[test]
        fn counts_are_those_of_every_unit(
            ranges in prop::collection::vec((0..UNITS, 1..UNITS), 1..40),
            closed in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        ) {
            let mut counts = Counts::default();
            let mut plain = vec![0u32; index(UNITS)];
            let mut open: Vec<Range<u64>> = Vec::new();
            let opened = ranges.iter().map(|(start, len)| (true, *start..(start + len).min(UNITS)));
            let mut steps: Vec<(bool, Range<u64>)> = opened.collect();
            for (nth, at) in closed.iter().enumerate() {
                steps.insert(at.index(steps.len() + 1), (false, nth as u64..0));
            }
            for (is_open, range) in steps {
                let range = match is_open {
                    true => range,
                    false if open.is_empty() => continue,
                    false => open.remove(index(range.start) % open.len()),
                };
                let step = |count: u32| if is_open { count + 1 } else { count - 1 };
                let mut expected = Vec::new();
                for at in range.clone() {
                    let count = &mut plain[index(at)];
                    let before = std::mem::replace(count, step(*count));
                    if (before == 0) != (*count == 0) {
                        expected.push(at);
                    }
                }
                let changed = counts.change(&range, step);
                prop_assert!(changed.windows(2).all(|pair| pair[0].end < pair[1].start));
                prop_assert_eq!(changed.into_iter().flatten().collect::<Vec<_>>(), expected);
                for at in 0..UNITS {
                    prop_assert_eq!(counts.are_positive(&(at..at + 1)), plain[index(at)] > 0);
                }
                prop_assert!(counts.0.len() <= index(2 * UNITS));
                if is_open {
                    open.push(range);
                }
            }
            for range in open {
                counts.change(&range, |count| count - 1);
            }
            prop_assert!(counts.0.is_empty(), "{:?}", counts);
        }
    }

    /// The stretches of the window that this process can load, in units.
    fn readable() -> Vec<(u64, u64)> {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
        let inside = mappings(&maps).filter(|(range, rest)| {
            rest.starts_with('r') && range.start >= AT && range.end <= AT + UNITS * UNIT
        });
        inside.map(|(range, _)| ((range.start - AT) / UNIT, (range.end - AT) / UNIT)).collect()
    }

    #[test]
    fn what_is_open_can_be_loaded_and_nothing_else() {
        let file = memory_file(UNITS * UNIT);
        let part = Part { range: 0..UNITS * UNIT, writable: false };
        let mut mapping =
            Mapping::new(AT, &crate::map::Source { file: &file, off: 0, sync: false }, &[part]).expect("map");
        assert_eq!(readable(), [(0, UNITS)]);
        assert!(mapping.admit(&[(mapping.base(), 1)]).expect("nothing to admit").is_none());
        mapping.guard(UNIT..UNITS * UNIT, UNIT).expect("guard");
        assert_eq!(readable(), [(0, 1)]);

        let at = |unit: u64| mapping.base().wrapping_add(index(unit * UNIT)).cast_const();
        let two =
            mapping.admit(&[(at(5), 100), (at(3), 2 * UNIT), (at(9).wrapping_add(7), UNIT)]).expect("admit");
        assert_eq!(readable(), [(0, 1), (3, 6), (9, 11)]);
        assert!(mapping.is_open(at(3), 3 * UNIT) && !mapping.is_open(at(3), 3 * UNIT + 1));
        let one = mapping.admit(&[(at(4), 1), (at(6), 1)]).expect("admit");
        assert_eq!(readable(), [(0, 1), (3, 7), (9, 11)]);
        drop(two);
        assert_eq!(readable(), [(0, 1), (4, 5), (6, 7)]);
        assert_eq!(mapping.admit(&[(at(0), 1)]).expect_err("not protected").kind(), ErrorKind::Internal);
        mapping.prefault(UNIT..UNITS * UNIT, false).expect("prefault");
        assert_eq!(readable(), [(0, 1), (4, 5), (6, 7)]);
        // What outlives the window leaves alone what comes there next.
        drop(mapping);
        let part = Part { range: 0..UNITS * UNIT, writable: false };
        let again =
            Mapping::new(AT, &crate::map::Source { file: &file, off: 0, sync: false }, &[part]).expect("map");
        drop(one);
        assert_eq!(readable(), [(0, UNITS)]);
        drop(again);
    }

    #[test]
    fn pages_must_fit_a_unit() {
        assert!(check_pages(4 * KIB, 16 * KIB).is_ok() && check_pages(UNIT, UNIT).is_ok());
        let e = check_pages(64 * KIB, 16 * KIB).expect_err("too large");
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        assert!(e.message().contains("protect=yes") && e.message().contains("64.0 KiB"), "{e}");
    }
}
