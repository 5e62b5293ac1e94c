//! Memory that this machine does not cache, as a BAR that is mapped uncached or write-combining.
//!
//! There is nothing to write back or to drop. Stores are posted: they are home when a load that followed them on the
//! same way has come back, since nothing on that way overtakes a posted store.

use std::sync::atomic::{Ordering, fence};

use super::CacheOps;
use crate::units::index;

/// The fence of a window that is not cached, mapped where the pointer says.
pub(crate) struct ReadBack {
    /// The window's first word.
    word: *const u64,
}

// SAFETY: the pointer is only loaded from, and what it points to outlives this: the coherence room keeps the mapping.
unsafe impl Send for ReadBack {}
// SAFETY: as above.
unsafe impl Sync for ReadBack {}

impl ReadBack {
    /// For the window mapped at `base`, which is aligned to a page and outlives this.
    pub(crate) fn new(base: *const u8) -> Self {
        Self { word: base.cast() }
    }
}

impl CacheOps for ReadBack {
    fn line_bytes(&self) -> u64 {
        64
    }

    fn write_back(&self, _address: *const u8, _len: u64) {}

    fn invalidate(&self, _address: *const u8, _len: u64) {}

    fn fence(&self) {
        // Empties the write-combining buffers (mfence, hwsync, dmb).
        fence(Ordering::SeqCst);
        // SAFETY: mapped and aligned, as `new` was promised.
        unsafe { self.word.read_volatile() };
        fence(Ordering::SeqCst);
    }

    unsafe fn copy_home(&self, from: *const u8, to: *mut u8, len: u64) {
        // SAFETY: the caller's promise.
        unsafe { std::ptr::copy_nonoverlapping(from, to, index(len)) };
    }
}
