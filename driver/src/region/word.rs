//! Words of shared metadata. Every store to a region's metadata goes through these two types, so that
//! the tests can kill the process at each of them (feature `crash-points`) and look at what is left.
//!
//! Stores are `Release` and loads `Acquire`: within a node that is all it takes; between nodes the
//! coherence room adds write-back, invalidation and fences.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// A 64-bit word of shared metadata: the unit in which records commit.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct Word(AtomicU64);

impl Word {
    #[inline]
    pub(crate) fn load(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn store(&self, value: u64) {
        crash_point();
        self.0.store(value, Ordering::Release);
    }

    /// Replaces `old` by `new` and says whether it was `old`. Only among processes of one node.
    #[inline]
    pub(crate) fn replace(&self, old: u64, new: u64) -> bool {
        crash_point();
        self.0.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Swaps in `value` and returns what was there. Only among processes of one node.
    #[inline]
    pub(crate) fn swap(&self, value: u64) -> u64 {
        crash_point();
        self.0.swap(value, Ordering::AcqRel)
    }

    /// Adds, wrapping, and returns what was there. Only among processes of one node.
    #[inline]
    pub(crate) fn add(&self, delta: u64) -> u64 {
        crash_point();
        self.0.fetch_add(delta, Ordering::AcqRel)
    }

    /// Adds to a word that only the calling thread writes: a statistic, so no crash point.
    #[inline]
    pub(crate) fn count(&self, delta: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(delta), Ordering::Relaxed);
    }

    /// The address, for a futex.
    pub(crate) fn as_ptr(&self) -> *const u64 {
        self.0.as_ptr()
    }
}

/// A byte of shared metadata.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct Byte(AtomicU8);

impl Byte {
    #[inline]
    pub(crate) fn load(&self) -> u8 {
        self.0.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn store(&self, value: u8) {
        crash_point();
        self.0.store(value, Ordering::Release);
    }
}

/// Where a test may kill the process; nothing in an ordinary build.
#[inline]
pub(crate) fn crash_point() {
    #[cfg(feature = "crash-points")]
    crash::visit();
}

/// The kill switch of the crash tests.
#[cfg(feature = "crash-points")]
pub mod crash {
    use std::sync::atomic::{AtomicU64, Ordering};

    static VISITED: AtomicU64 = AtomicU64::new(0);
    static KILL_AT: AtomicU64 = AtomicU64::new(u64::MAX);

    /// Kills this process just before its `n`-th metadata store from now on (the first is 0).
    pub fn arm(n: u64) {
        KILL_AT.store(VISITED.load(Ordering::SeqCst) + n, Ordering::SeqCst);
    }

    /// No kill from now on.
    pub fn disarm() {
        KILL_AT.store(u64::MAX, Ordering::SeqCst);
    }

    /// How many metadata stores this process has made.
    pub fn visited() -> u64 {
        VISITED.load(Ordering::SeqCst)
    }

    pub(super) fn visit() {
        if VISITED.fetch_add(1, Ordering::SeqCst) == KILL_AT.load(Ordering::SeqCst) {
            // As sudden as it gets: no destructor, no handler, no flush.
            crate::sys::kill_self();
        }
    }
}
