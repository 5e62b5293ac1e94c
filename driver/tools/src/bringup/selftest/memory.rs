//! The window as words: the loads and stores of the tests, and what a step may do to make them seen.
//!
//! Every access is volatile: another host stores to this memory, and a test that the compiler shortens tests nothing.
//! Steps that look for faults of the memory itself are generic over [`Cells`], so that their tests run on memory that is
//! broken in a known way.
#![allow(unsafe_code, reason = "loads and stores of memory that other hosts store to")]

use std::ops::Range;

use csm::Window;

/// Bytes of a word.
pub(super) const WORD: u64 = 8;
/// The longest line that a link moves at once, and what one node at a time writes, in bytes.
pub(super) const LINE: u64 = 128;

/// Memory by offset, in words of 8 bytes.
pub(super) trait Cells {
    /// Loads the word at an offset.
    fn load(&self, off: u64) -> u64;
    /// Stores the word at an offset.
    fn store(&self, off: u64, value: u64);
    /// Brings a range home: this is complete, and has arrived, when it returns.
    fn release(&self, range: Range<u64>);
    /// Makes the next loads of a range come from home.
    fn acquire(&self, range: Range<u64>);
}

/// A mapped window.
pub(crate) struct Memory(pub(crate) Window);

impl Memory {
    fn at(&self, off: u64) -> *mut u64 {
        assert!(
            off.is_multiple_of(WORD) && off + WORD <= self.0.len_bytes(),
            "{off:#x} is no word of the window"
        );
        #[expect(clippy::cast_possible_truncation, reason = "machines are 64-bit")]
        self.0.as_ptr().wrapping_add(off as usize).cast()
    }
}

impl Cells for Memory {
    #[inline]
    fn load(&self, off: u64) -> u64 {
        // SAFETY: a word of the mapping, which `self` keeps; any bits are a number.
        unsafe { self.at(off).read_volatile() }
    }

    #[inline]
    fn store(&self, off: u64, value: u64) {
        // SAFETY: as above; nobody has a reference to this memory.
        unsafe { self.at(off).write_volatile(value) }
    }

    fn release(&self, range: Range<u64>) {
        self.0.write_back(range);
        self.0.fence();
        self.0.drain();
    }

    fn acquire(&self, range: Range<u64>) {
        self.0.invalidate(range);
        self.0.fence();
    }
}

/// The words of a range, by offset.
pub(super) fn words(range: Range<u64>) -> impl Iterator<Item = u64> {
    let step = 8_usize;
    range.step_by(step)
}

/// Scatters the bits of a number (splitmix64): what is stored differs in about half of the bits from one word to the
/// next, and is known wherever the seed and the offset are.
pub(super) fn mix(seed: u64, number: u64) -> u64 {
    let mut z = seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Every offset of `range` that is a power of two from `base`, the ends of the range, and a pair for the bit of `base`
/// itself: between them, each two that differ in one address bit alone are named.
pub(super) fn powers_of_two(range: &Range<u64>) -> Vec<u64> {
    let base = range.start;
    let mut offs = vec![base, range.end / LINE * LINE - WORD];
    for bit in WORD.trailing_zeros()..u64::BITS - 1 {
        let other = 1 << bit;
        // A range that begins at a power of two lacks what differs in that bit: one bit higher it is there.
        let from = if base ^ other < base { base * 2 } else { base };
        offs.extend([from, from ^ other].into_iter().filter(|off| range.contains(off)));
    }
    offs.retain(|off| off + WORD <= range.end);
    offs.sort_unstable();
    offs.dedup();
    offs
}
