//! What a process holds and does, counted in its member's statistics lines: a line a thread, while there
//! are any, so that counting shares nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::cache;
use super::private::Private;
use crate::member::Stat;
use crate::region::layout::MEMBER_STAT_SHARDS;

impl Private {
    /// Counts a change of what this process holds, and an allocation or a free.
    pub(super) fn count(self: &Arc<Self>, live_delta: u64, what: Stat) {
        let counted = cache::with(self, |cache| {
            cache.count(Stat::LiveBytes, live_delta);
            cache.count(what, 1);
        });
        if counted.is_none() {
            let line = self.process.shard(cache::SHARED_SHARD);
            line[Stat::LiveBytes as usize].add(live_delta);
            line[what as usize].add(1);
        }
    }

    pub(super) fn add_live(self: &Arc<Self>, delta: u64) {
        if cache::with(self, |cache| cache.count(Stat::LiveBytes, delta)).is_none() {
            self.process.shard(cache::SHARED_SHARD)[Stat::LiveBytes as usize].add(delta);
        }
    }

    /// Keeps the peak: exact but for what threads allocate from their caches.
    pub(super) fn note_peak(&self) {
        let live = |shard| self.process.shard(shard)[Stat::LiveBytes as usize].load();
        let live = (0..MEMBER_STAT_SHARDS).fold(0u64, |sum, shard| sum.wrapping_add(live(shard)));
        let peak = &self.process.shard(0)[Stat::PeakBytes as usize];
        if live > peak.load() && live <= self.space.data_bytes() {
            peak.store(live);
        }
    }

    /// A statistics line for a thread: its own while there are any.
    pub(super) fn take_shard(&self) -> u64 {
        for shard in 0..cache::SHARED_SHARD {
            if self.shards.fetch_or(1 << shard, Ordering::Relaxed) >> shard & 1 == 0 {
                return shard;
            }
        }
        cache::SHARED_SHARD
    }

    pub(super) fn return_shard(&self, shard: u64) {
        if shard != cache::SHARED_SHARD {
            self.shards.fetch_and(!(1 << shard), Ordering::Release);
        }
    }
}
