//! Words of shared metadata, in two types: a [`Word`] lies in a line that this node writes, a [`RemoteWord`] in one
//! that any node may write, and can only be looked at. One writer a line is thereby a matter of types, and of
//! page protection where pages allow. Every store to a region's metadata goes through `Word` and `Byte`, so that
//! tests can kill the process at each of them (feature `test-hooks`) and look at what is left.
//!
//! Stores are `Release` and loads `Acquire`: within a node that is all it takes; between nodes the
//! coherence room adds write-back, invalidation and fences.

use std::ops::Deref;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// A 64-bit word that another node may write: it is as new as the last acquire made it.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct RemoteWord(AtomicU64);

impl RemoteWord {
    #[inline]
    pub(crate) fn load(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// The address, for a futex.
    pub(crate) fn as_ptr(&self) -> *const u64 {
        self.0.as_ptr()
    }
}

/// A 64-bit word of shared metadata that this node writes: the unit in which records commit.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct Word(RemoteWord);

/// What can be written here can be looked at as what others write.
impl Deref for Word {
    type Target = RemoteWord;

    #[inline]
    fn deref(&self) -> &RemoteWord {
        &self.0
    }
}

impl Word {
    #[inline]
    pub(crate) fn store(&self, value: u64) {
        before_store(self);
        self.0.0.store(value, Ordering::Release);
    }

    /// Replaces `old` by `new` and says whether it was `old`. Only among processes of one node.
    #[inline]
    pub(crate) fn replace(&self, old: u64, new: u64) -> bool {
        before_store(self);
        self.0.0.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Swaps in `value` and returns what was there. Only among processes of one node.
    #[inline]
    pub(crate) fn swap(&self, value: u64) -> u64 {
        before_store(self);
        self.0.0.swap(value, Ordering::AcqRel)
    }

    /// Adds, wrapping, and returns what was there. Only among processes of one node.
    #[inline]
    pub(crate) fn add(&self, delta: u64) -> u64 {
        before_store(self);
        self.0.0.fetch_add(delta, Ordering::AcqRel)
    }

    /// Adds to a word that only the calling thread writes: a statistic, so no crash point.
    #[inline]
    pub(crate) fn count(&self, delta: u64) {
        self.0.0.store(self.0.0.load(Ordering::Relaxed).wrapping_add(delta), Ordering::Relaxed);
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
        before_store(self);
        self.0.store(value, Ordering::Release);
    }
}

/// What a test wants to know or do before a store; nothing in an ordinary build.
#[inline]
fn before_store<T>(_at: *const T) {
    #[cfg(feature = "test-hooks")]
    crate::hooks::before_store(_at as u64);
}
