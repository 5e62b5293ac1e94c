//! The lock among processes of one node, kept in a region's own memory.
//!
//! One word: 0, or who holds it (member slot and epoch) with a flag for waiters. It is taken over
//! from a holder that proof of life calls dead; whoever takes it over is told, and repairs what the
//! lock protects. It is never used between nodes.

use std::time::{Duration, Instant};

use super::word::Word;
use crate::error::{Error, ErrorKind, Result};
use crate::sys::futex;

/// Who takes locks: a member's slot and epoch, and a way to tell whether another one lives.
pub(crate) trait Holder {
    /// This member's slot number and epoch.
    fn identity(&self) -> (u16, u32);
    /// Whether the member in `slot` of this node still lives in `epoch`.
    fn is_alive(&self, slot: u16, epoch: u32) -> bool;
    /// A few words about that member for an error, as `process 4711 (csm)`.
    fn describe(&self, slot: u16) -> String;
}

const WAITERS: u64 = 1 << 31;
const SPINS: u32 = 200;
const NAP: Duration = Duration::from_millis(2);

/// A held lock; dropping it releases.
#[must_use]
pub(crate) struct Guard<'a> {
    word: &'a Word,
    /// The holder before died with the lock in hand: what it protects may be half changed.
    pub(crate) recovered: bool,
}

/// Takes the lock in `word` for `me`, waiting at most `patience` for a living holder.
pub(crate) fn lock<'a>(word: &'a Word, me: &dyn Holder, patience: Duration) -> Result<Guard<'a>> {
    let (slot, epoch) = me.identity();
    let mine = u64::from(epoch) << 32 | (u64::from(slot) + 1);
    if word.replace(0, mine) {
        return Ok(Guard { word, recovered: false });
    }
    let (mut spins, deadline) = (0, Instant::now() + patience);
    loop {
        let seen = word.load();
        if seen == 0 {
            // Another may wait still: keep the flag, at the price of one needless wake.
            if word.replace(0, mine | WAITERS) {
                return Ok(Guard { word, recovered: false });
            }
            continue;
        }
        if spins < SPINS {
            spins += 1;
            std::hint::spin_loop();
            continue;
        }
        let (holder_slot, holder_epoch) = holder_of(seen);
        if !me.is_alive(holder_slot, holder_epoch) {
            if word.replace(seen, mine | WAITERS) {
                return Ok(Guard { word, recovered: true });
            }
            continue;
        }
        let now = Instant::now();
        if now >= deadline {
            let text = format!(
                "{} holds a lock of the region and does not let go; wait for it, continue it, or end it",
                me.describe(holder_slot)
            );
            return Err(Error::new(ErrorKind::TimedOut, text));
        }
        if seen & WAITERS != 0 || word.replace(seen, seen | WAITERS) {
            futex::wait_low(word.as_ptr(), seen | WAITERS, NAP.min(deadline - now));
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "fields are cut out of the word")]
fn holder_of(word: u64) -> (u16, u32) {
    ((word as u16).wrapping_sub(1), (word >> 32) as u32)
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.word.swap(0) & WAITERS != 0 {
            futex::wake_low(self.word.as_ptr(), 1);
        }
    }
}
