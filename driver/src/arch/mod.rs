//! Cache instructions behind one trait, one file an instruction set.
//!
//! Only the coherence room calls these. A device whose memory the hardware keeps coherent uses
//! [`Coherent`], which orders and moves nothing; the instruction sets' own files come with the first
//! device that needs them.

#![allow(unsafe_code, reason = "cache instructions")]

use std::sync::atomic::{Ordering, fence};

use crate::units::index;

/// Asks for the lines of a range early, where the instruction set has a hint for it. Nothing depends on it.
#[inline]
pub(crate) fn prefetch(address: *const u8, len: u64) {
    #[cfg(target_arch = "x86_64")]
    for off in (0..len).step_by(64) {
        // SAFETY: a hint: it reads nothing that the program can see, and faults nowhere.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(
                address.wrapping_add(index(off)).cast(),
            )
        };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (address, len);
}

/// What a machine can do about the cache lines of a range.
///
/// `write_back` and `invalidate` may be queued by the machine; they are complete at the next `fence`,
/// which also keeps later loads from running ahead of an invalidation.
pub(crate) trait CacheOps: Send + Sync {
    /// Bytes of a cache line: the step of the two operations below.
    fn line_bytes(&self) -> u64;
    /// Starts writing the lines of `len` bytes at `address` home.
    fn write_back(&self, address: *const u8, len: u64);
    /// Starts dropping the lines of `len` bytes at `address`, so that the next load fetches them.
    fn invalidate(&self, address: *const u8, len: u64);
    /// Completes what was started, before any later load or store.
    fn fence(&self);
}

/// Memory that hardware keeps coherent: nothing to write back, nothing to drop.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Coherent;

impl CacheOps for Coherent {
    fn line_bytes(&self) -> u64 {
        64
    }

    fn write_back(&self, _address: *const u8, _len: u64) {}

    fn invalidate(&self, _address: *const u8, _len: u64) {}

    fn fence(&self) {
        fence(Ordering::SeqCst);
    }
}
