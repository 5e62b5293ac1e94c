//! Release and acquire over ranges: the only user of cache instructions.
//!
//! What is done follows from the region's report and this node's role, and nothing else is done: where hardware
//! keeps memory coherent these calls are empty, but for the fences that two steps need everywhere (a lease before the
//! second look, a retired word before the scan). A line has one writing node, so a node never invalidates its own
//! lines: nobody else can have changed them. Both calls are complete when they return. Neighbouring and
//! overlapping ranges are merged first, so a line moves once however many buffers it is part of.
//!
//! Law 6 (write grants) has no instance yet: the owner alone writes data, and its own newer stores cover what is left
//! of its temporaries in its caches.

mod step;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use step::{Part, Step};

use crate::arch::{self, CacheOps, Coherent};
use crate::device::{CoherenceReport, Device, Flaw};
use crate::error::{Error, ErrorKind, Result};
use crate::units::index;

/// What this process did for coherence, since it opened the region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoherenceStats {
    /// Cache lines written back.
    pub lines_written_back: u64,
    /// Cache lines invalidated.
    pub lines_invalidated: u64,
    /// Fences.
    pub fences: u64,
    /// Times that a table had changed at the second look, so that opening it began anew.
    pub retries: u64,
    /// Bytes copied into the region because they lay outside.
    pub bytes_copied: u64,
}

#[derive(Default)]
struct Counters {
    lines_written_back: AtomicU64,
    lines_invalidated: AtomicU64,
    fences: AtomicU64,
    retries: AtomicU64,
    bytes_copied: AtomicU64,
}

/// Release and acquire, for one region in one process.
pub(crate) struct Coherence {
    device: Arc<dyn Device>,
    cache: Box<dyn CacheOps>,
    /// Address of the window.
    base: u64,
    node: u64,
    write_back: bool,
    invalidate: bool,
    counters: Counters,
}

/// An address and a number of bytes.
pub(crate) type Bytes = (*const u8, u64);

/// Whether a part of a step is to be done: always, but for tests.
#[inline]
pub(crate) fn does(step: Step, part: Part) -> bool {
    #[cfg(feature = "test-hooks")]
    return crate::hooks::does(step, part);
    #[cfg(not(feature = "test-hooks"))]
    {
        let _ = (step, part);
        true
    }
}

/// Whether a check is passed. Tests can leave the check out; then it always is.
#[inline]
pub(crate) fn check(step: Step, passed: bool) -> bool {
    passed || !does(step, Part::Check)
}

#[inline]
fn visit(_step: Step, _at_fence: bool) {
    #[cfg(feature = "test-hooks")]
    crate::hooks::visit(_step, _at_fence);
}

impl Coherence {
    /// For the window of `device` mapped at `base`, on a link that is as `report` says, on `node` of a region that
    /// `owner` owns.
    ///
    /// # Errors
    /// When this machine has no instructions for what the link needs.
    pub(crate) fn new(
        device: Arc<dyn Device>,
        report: &CoherenceReport,
        base: *const u8,
        node: u64,
        owner: u64,
    ) -> Result<Self> {
        let write_back = report.writer_writes_back.of(node == owner);
        let invalidate = report.reader_invalidates.of(node == owner);
        let cache =
            if write_back || invalidate { device.cache_ops(base)? } else { Box::new(Coherent) as Box<_> };
        Ok(Self {
            device,
            cache,
            base: base as u64,
            node,
            write_back,
            invalidate,
            counters: Counters::default(),
        })
    }

    /// Whether loads of what other nodes wrote may be old until [`Coherence::acquire`].
    pub(crate) fn must_invalidate(&self) -> bool {
        self.invalidate
    }

    /// The node this process runs on.
    pub(crate) fn node(&self) -> u64 {
        self.node
    }

    /// Brings the lines of ranges that this node writes home.
    pub(crate) fn release(&self, step: Step, ranges: &[Bytes]) {
        self.start_release(step, ranges);
        if self.write_back {
            self.complete(step);
        }
    }

    /// Brings lines home, and keeps every later load behind that: also where hardware keeps memory coherent.
    pub(crate) fn release_before_loads(&self, step: Step, ranges: &[Bytes]) {
        self.start_release(step, ranges);
        self.complete(step);
    }

    /// Starts to bring lines home. It is complete with the next release by this thread.
    pub(crate) fn start_release(&self, step: Step, ranges: &[Bytes]) {
        visit(step, false);
        if self.write_back && does(step, Part::WriteBack) {
            let lines = self.each(ranges, |address, len| self.cache.write_back(address, len));
            self.counters.lines_written_back.fetch_add(lines, Ordering::Relaxed);
        }
    }

    /// Makes the next loads of ranges that `writer` writes see what is home.
    pub(crate) fn acquire(&self, step: Step, writer: u64, ranges: &[Bytes]) {
        visit(step, false);
        if self.invalidate && writer != self.node {
            self.bring_in(step, ranges);
        }
    }

    /// As [`Coherence::acquire`], for ranges of several writers behind one fence.
    pub(crate) fn acquire_of_each(&self, step: Step, ranges: impl Iterator<Item = (u64, Bytes)>) {
        visit(step, false);
        if self.invalidate {
            let foreign = ranges.filter(|(writer, _)| *writer != self.node).map(|(_, range)| range);
            self.bring_in(step, &foreign.collect::<Vec<_>>());
        }
    }

    fn bring_in(&self, step: Step, ranges: &[Bytes]) {
        if ranges.is_empty() {
            return;
        }
        if does(step, Part::Invalidate) {
            let lines = self.each(ranges, |address, len| self.cache.invalidate(address, len));
            self.counters.lines_invalidated.fetch_add(lines, Ordering::Relaxed);
        }
        self.fence_of(step);
    }

    /// Copies into memory that this node writes and that nobody else reads yet, past the caches where that is
    /// possible: home once the next release is complete, without being part of it.
    ///
    /// # Safety
    /// Both ranges are valid for `len` bytes and do not overlap.
    #[expect(unsafe_code, reason = "hands pointers through")]
    pub(crate) unsafe fn copy_home(&self, from: *const u8, to: *mut u8, len: u64) {
        self.counters.bytes_copied.fetch_add(len, Ordering::Relaxed);
        if self.write_back && does(Step::BuffersHome, Part::WriteBack) {
            // SAFETY: the caller's contract.
            unsafe { self.cache.copy_home(from, to, len) };
            let lines = self.lines_of((to.cast_const(), len));
            self.counters.lines_written_back.fetch_add(lines, Ordering::Relaxed);
        } else {
            // SAFETY: the caller's contract.
            unsafe { Coherent.copy_home(from, to, len) };
        }
    }

    /// Asks for lines that will be loaded soon. Not where what comes early may be stale.
    #[inline]
    pub(crate) fn prefetch(&self, address: *const u8, len: u64) {
        if !self.invalidate {
            arch::prefetch(address, len);
        }
    }

    /// Notes that an open began anew.
    pub(crate) fn note_retry(&self) {
        self.counters.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether everything in the ranges is home and this node's view of it new, as far as the device can tell (only a
    /// simulator can). `what` is what the ranges hold, for the message.
    ///
    /// # Errors
    /// [`ErrorKind::Incoherent`] that names the address and the step that is missing.
    pub(crate) fn audit(
        &self,
        what: fmt::Arguments<'_>,
        ranges: impl IntoIterator<Item = Bytes>,
    ) -> Result<()> {
        if self.is_lost() {
            // Nothing moves any more, whoever forgot what: the caller says so.
            return Ok(());
        }
        for (address, len) in ranges {
            let off = (address as u64).wrapping_sub(self.base);
            let Some(flaw) = self.device.audit(Range { start: off, end: off + len }) else { continue };
            let address = self.base.wrapping_add(flaw.off);
            return Err(Error::new(ErrorKind::Incoherent, self.explain(what, address, flaw)));
        }
        Ok(())
    }

    fn explain(&self, what: fmt::Arguments<'_>, address: u64, flaw: Flaw) -> String {
        let Flaw { writer, not_home, .. } = flaw;
        if not_home {
            format!(
                "{what}: node {writer} stored to {address:#x} and did not write it back: on a real link other nodes read what was there before. \
                 Missing step: the write-back of that store. A published table must not change; publish a new one in its place"
            )
        } else {
            format!(
                "{what}: node {} has an old copy of {address:#x} in its cache, which node {writer} wrote since. \
                 Missing step: open the table anew (or acquire the range)",
                self.node
            )
        }
    }

    /// Whether the link failed.
    pub(crate) fn is_lost(&self) -> bool {
        self.device.is_lost()
    }

    pub(crate) fn stats(&self) -> CoherenceStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CoherenceStats {
            lines_written_back: read(&self.counters.lines_written_back),
            lines_invalidated: read(&self.counters.lines_invalidated),
            fences: read(&self.counters.fences),
            retries: read(&self.counters.retries),
            bytes_copied: read(&self.counters.bytes_copied),
        }
    }

    /// Orders what came before, stores included, before every later load and store.
    pub(crate) fn fence(&self) {
        self.cache.fence();
        self.counters.fences.fetch_add(1, Ordering::Relaxed);
    }

    /// The fence of a step. Says whether it was made.
    fn fence_of(&self, step: Step) -> bool {
        let fences = does(step, Part::Fence);
        if fences {
            visit(step, true);
            self.fence();
        }
        fences
    }

    fn complete(&self, step: Step) {
        if self.fence_of(step) && self.write_back {
            self.device.drain();
        }
    }

    /// Does something to the lines of all ranges, each line once. Returns how many there are.
    fn each(&self, ranges: &[Bytes], mut operate: impl FnMut(*const u8, u64)) -> u64 {
        if let [range] = ranges {
            operate(range.0, range.1);
            return self.lines_of(*range);
        }
        let line = self.cache.line_bytes();
        let merged = arch::merge(ranges.iter().copied(), line);
        let mut lines = 0;
        for (start, bytes) in merged {
            operate(ranges[0].0.with_addr(index(start)), bytes);
            lines += bytes / line;
        }
        lines
    }

    fn lines_of(&self, (address, len): Bytes) -> u64 {
        let line = self.cache.line_bytes();
        let start = address as u64 / line;
        if len == 0 { 0 } else { (address as u64 + len).div_ceil(line) - start }
    }
}
