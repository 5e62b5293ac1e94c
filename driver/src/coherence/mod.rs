//! Release and acquire over ranges: the only user of cache instructions.
//!
//! What the link needs follows from the device's report and this node's role; nothing else is done.
//! Release brings lines home, acquire makes the next load fetch them; both are complete when they
//! return. The fences are there on coherent memory too, because two of the protocol's steps (lease
//! before the second look, retired word before the scan) need a store to be seen before a later load.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::arch::{self, CacheOps};
use crate::device::Device;

/// Which side of the region this node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The node that owns the region: it allocates and publishes.
    Owner,
    /// Any other node: it reads.
    Borrower,
}

/// What this process did for coherence, since it opened the region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoherenceStats {
    /// Cache lines written back.
    pub lines_written_back: u64,
    /// Cache lines invalidated.
    pub lines_invalidated: u64,
    /// Fences.
    pub fences: u64,
}

/// Release and acquire, for one region in one process.
pub(crate) struct Coherence {
    device: Arc<dyn Device>,
    cache: Box<dyn CacheOps>,
    write_back: bool,
    invalidate: bool,
    lines_written_back: AtomicU64,
    lines_invalidated: AtomicU64,
    fences: AtomicU64,
}

impl Coherence {
    pub(crate) fn new(device: Arc<dyn Device>, role: Role) -> Self {
        let report = device.coherence();
        let pick = |roles: crate::device::Roles| match role {
            Role::Owner => roles.owner,
            Role::Borrower => roles.borrower,
        };
        Self {
            cache: device.cache_ops(),
            device,
            write_back: pick(report.writer_writes_back),
            invalidate: pick(report.reader_invalidates),
            lines_written_back: AtomicU64::new(0),
            lines_invalidated: AtomicU64::new(0),
            fences: AtomicU64::new(0),
        }
    }

    /// Whether loads may be stale until [`Coherence::acquire`].
    pub(crate) fn must_invalidate(&self) -> bool {
        self.invalidate
    }

    /// Brings the lines of every `(address, bytes)` home. Complete when it returns.
    pub(crate) fn release(&self, ranges: impl IntoIterator<Item = (*const u8, u64)>) {
        if self.write_back {
            let mut lines = 0;
            for (address, len) in ranges {
                self.cache.write_back(address, len);
                lines += self.lines_of(address, len);
            }
            self.lines_written_back.fetch_add(lines, Ordering::Relaxed);
        }
        self.fence();
        if self.write_back {
            self.device.drain();
        }
    }

    /// Makes the next loads of every `(address, bytes)` see what is home. Complete when it returns.
    pub(crate) fn acquire(&self, ranges: impl IntoIterator<Item = (*const u8, u64)>) {
        if !self.invalidate {
            // Loads of metadata words are acquire loads already.
            return;
        }
        let mut lines = 0;
        for (address, len) in ranges {
            self.cache.invalidate(address, len);
            lines += self.lines_of(address, len);
        }
        self.lines_invalidated.fetch_add(lines, Ordering::Relaxed);
        self.fence();
    }

    /// Asks for lines that will be loaded soon. Not where what comes early may be stale.
    #[inline]
    pub(crate) fn prefetch(&self, address: *const u8, len: u64) {
        if !self.invalidate {
            arch::prefetch(address, len);
        }
    }

    /// Orders what came before, stores included, before every later load and store.
    pub(crate) fn fence(&self) {
        self.cache.fence();
        self.fences.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> CoherenceStats {
        CoherenceStats {
            lines_written_back: self.lines_written_back.load(Ordering::Relaxed),
            lines_invalidated: self.lines_invalidated.load(Ordering::Relaxed),
            fences: self.fences.load(Ordering::Relaxed),
        }
    }

    fn lines_of(&self, address: *const u8, len: u64) -> u64 {
        let line = self.cache.line_bytes();
        let start = address as u64 / line;
        if len == 0 { 0 } else { (address as u64 + len).div_ceil(line) - start }
    }
}
