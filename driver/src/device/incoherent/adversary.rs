//! The adversary: what a cache may do unasked, drawn from a seed.
//!
//! A cache may write a dirty line back early and fetch a line again at any time, and the instructions that are asked
//! for may be done at once, in parts, in any order, until the fence. It does so where that hurts: near the lines
//! that were named lately, and in the metadata. Seed 0 is no adversary: everything waits for the fence, in order.

use std::ops::Range;

use crate::units::index;

/// One in so many instructions is done at once, and one in so many in two parts.
const AT_ONCE: u64 = 4;
/// One in so many instructions and fences brings something that nobody asked for.
const UNASKED: u64 = 4;
const UNASKED_IDLE: u64 = 64;
const UNASKED_MOST: u64 = 4;
const NEAR_LINES: u64 = 4;
const RECENT: usize = 8;

/// A small generator (splitmix64): good enough to be unpredictable for a protocol.
pub(super) struct Adversary {
    state: u64,
    recent: [u64; RECENT],
    next: usize,
}

/// What becomes of an instruction.
pub(super) enum Timing {
    AtTheFence,
    AtOnce,
    /// The part before this offset at once, or the part from it on.
    Partly(u64, bool),
}

impl Adversary {
    /// None for seed 0. `stream` is the thread's number, so that no two do the same.
    pub(super) fn new(seed: u64, node: u64, stream: u64) -> Option<Self> {
        let mut adversary = Self { state: seed ^ node << 48 ^ stream << 32, recent: [0; RECENT], next: 0 };
        adversary.draw();
        (seed != 0).then_some(adversary)
    }

    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, most: u64) -> u64 {
        if most == 0 { 0 } else { self.draw() % most }
    }

    /// When an instruction on `range` is done.
    pub(super) fn timing(&mut self, range: &Range<u64>, line_bytes: u64) -> Timing {
        self.recent[self.next % RECENT] = if self.below(2) == 0 { range.start } else { range.end };
        self.next += 1;
        let lines = (range.end - range.start) / line_bytes;
        match self.below(AT_ONCE) {
            0 => Timing::AtOnce,
            1 if lines > 1 => {
                let cut = range.start + (1 + self.below(lines - 1)) * line_bytes;
                Timing::Partly(cut, self.below(2) == 0)
            }
            _ => Timing::AtTheFence,
        }
    }

    /// How many lines move unasked now.
    pub(super) fn unasked(&mut self, idle: bool) -> u64 {
        let one_in = if idle { UNASKED_IDLE } else { UNASKED };
        if self.below(one_in) == 0 { 1 + self.below(UNASKED_MOST) } else { 0 }
    }

    /// The offset of a line: near one that was named lately, or anywhere in the metadata.
    pub(super) fn line(&mut self, metadata_bytes: u64, line_bytes: u64) -> u64 {
        let known = self.next.min(RECENT) as u64;
        let off = if known == 0 || self.below(4) == 0 {
            self.below(metadata_bytes)
        } else {
            let recent = self.below(known);
            let near = self.recent[index(recent)] + self.below(2 * NEAR_LINES) * line_bytes;
            near.saturating_sub(NEAR_LINES * line_bytes)
        };
        off / line_bytes * line_bytes
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1);
            items.swap(last, index(other));
        }
    }
}
