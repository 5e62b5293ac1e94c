//! Cache instructions behind one trait, one file an instruction set.
//!
//! Only the coherence room calls these, and `afu` for the zone of a link that is no part of a region. [`native`] gives the instructions of this machine, [`Coherent`] is for
//! memory that the hardware keeps coherent: it orders and moves nothing. A range touches every line that it
//! overlaps, an empty one none. Nothing here is privileged, so what drops a line (`invalidate`) writes a dirty
//! one home first: a node must not hold dirty lines where another node writes.
//!
//! What an instruction set has is asked of the machine at run time; what it lacks is an error, never replaced
//! by something weaker. Addresses are numbers here: an instruction on a line accesses no memory that the program
//! can see.

#![allow(unsafe_code, reason = "cache instructions")]

mod lines;
#[cfg(any(test, target_arch = "aarch64", target_arch = "powerpc64"))]
mod pieces;
mod read_back;
mod report;
mod spread;

#[cfg(target_arch = "aarch64")]
#[path = "aarch64.rs"]
mod native;
#[cfg(not(any(target_arch = "aarch64", target_arch = "powerpc64", target_arch = "x86_64")))]
#[path = "none.rs"]
mod native;
#[cfg(target_arch = "powerpc64")]
#[path = "powerpc64.rs"]
mod native;
#[cfg(target_arch = "x86_64")]
#[path = "x86_64.rs"]
mod native;

#[cfg(test)]
mod tests;

use std::sync::atomic::{Ordering, fence};

use crate::error::{Error, ErrorKind, Result};
use crate::units::{MIB, index};

pub(crate) use lines::merge;
pub(crate) use read_back::ReadBack;
pub use report::{ArchReport, arch_report};

/// The shortest line that the copies are made for, and the longest that a region's layout is: one writer a line of
/// 128 bytes.
const LINE_BYTES_MIN: u64 = 16;
const LINE_BYTES_MAX: u64 = 128;

/// What a machine can do about the cache lines of a range.
///
/// `write_back`, `invalidate` and `copy_home` may be queued by the machine, and belong to the thread that calls
/// them: they are complete at that thread's next `fence`, which also keeps later loads from running ahead of
/// an invalidation.
pub(crate) trait CacheOps: Send + Sync {
    /// Bytes of a cache line: the step of the operations below.
    fn line_bytes(&self) -> u64;
    /// Starts writing the lines of `len` bytes at `address` home. They may stay in the cache.
    fn write_back(&self, address: *const u8, len: u64);
    /// Starts dropping the lines of `len` bytes at `address`, so that the next load fetches them.
    fn invalidate(&self, address: *const u8, len: u64);
    /// Completes what was started; orders everything before it before every later load and store.
    fn fence(&self);
    /// Copies `len` bytes to memory that is about to be released, past the caches where the machine can; what it
    /// leaves in the cache (head, tail, or all of it where there are no such stores) it starts to write home itself.
    ///
    /// # Safety
    /// Both ranges are valid and do not overlap, and until this thread's next `fence` no other thread looks at `to`.
    unsafe fn copy_home(&self, from: *const u8, to: *mut u8, len: u64);
}

/// The instructions of this machine. `choice` (the URI option flush=) forces one of [`choices`], for tests.
///
/// # Errors
/// [`ErrorKind::Unsupported`] where the processor lacks the instruction or its lines are longer than a region's
/// layout allows; [`ErrorKind::InvalidArgument`] for a choice that this instruction set does not have.
pub(crate) fn native(choice: Option<&str>) -> Result<Box<dyn CacheOps>> {
    if let Some(choice) = choice
        && !choices().contains(&choice)
    {
        let known = if choices().is_empty() { "none".to_owned() } else { choices().join(", ") };
        let text = format!(
            "flush={choice}: no such cache instruction on {}; known: {known}",
            std::env::consts::ARCH
        );
        return Err(Error::new(ErrorKind::InvalidArgument, text));
    }
    native::detect(choice)
}

/// The names `choice` can have on this machine's instruction set, best first. The processor may lack some.
pub(crate) fn choices() -> &'static [&'static str] {
    native::CHOICES
}

/// A line size as the machine reports it, if the operations and a region's layout can work with it.
#[cfg_attr(
    not(any(target_arch = "aarch64", target_arch = "powerpc64", target_arch = "x86_64")),
    expect(dead_code)
)]
fn checked_line_bytes(bytes: u64, source: &str) -> Result<u64> {
    if bytes.is_power_of_two() && (LINE_BYTES_MIN..=LINE_BYTES_MAX).contains(&bytes) {
        return Ok(bytes);
    }
    let text = format!(
        "cache lines of {bytes} bytes ({source}): a region needs a power of two from {LINE_BYTES_MIN} to {LINE_BYTES_MAX}; \
         use memory that the hardware keeps coherent on this machine"
    );
    Err(Error::new(ErrorKind::Unsupported, text))
}

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

/// From here on a copy goes past the caches also in coherent memory: it would not stay in them, and an ordinary store
/// fetches its line first. A copy and a scan of it took 1.35 to 1.5 times as long through the caches,
/// for buffers of 4 to 64 MiB (EPYC, Zen 4, L3 32 MiB); a table of 1 MiB in one buffer took 0.84.
const PAST_CACHES_MIN_BYTES: u64 = 4 * MIB;

/// Memory that hardware keeps coherent: nothing to write back, nothing to drop. A copy is complete when it returns.
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

    unsafe fn copy_home(&self, from: *const u8, to: *mut u8, len: u64) {
        if len < PAST_CACHES_MIN_BYTES {
            // SAFETY: the caller's promise.
            unsafe { std::ptr::copy_nonoverlapping(from, to, index(len)) };
        } else {
            // SAFETY: the caller's promise.
            unsafe { spread::copy(self, from, to, len, copy_past_caches) };
            // Such stores are ordered by a fence alone, and nobody else makes one for coherent memory.
            self.fence();
        }
    }
}

#[cfg(target_arch = "x86_64")]
use native::copy_past_caches;

/// Where there are no such stores: an ordinary copy, by several threads.
///
/// # Safety
/// As [`CacheOps::copy_home`].
#[cfg(not(target_arch = "x86_64"))]
unsafe fn copy_past_caches(_: &Coherent, from: *const u8, to: *mut u8, len: u64) {
    // SAFETY: the caller's promise.
    unsafe { std::ptr::copy_nonoverlapping(from, to, index(len)) };
}
