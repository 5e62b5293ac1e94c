//! The loops that are measured: loads and stores of one width, in order or with a stride.
//!
//! Every access is one instruction of its width that the compiler can neither leave out nor join with another: volatile,
//! eight to a turn of the loop. What is counted is the elements that were asked for, not the lines that moved.
#![allow(unsafe_code, reason = "loads and stores of measured memory, by address")]

use std::time::{Duration, Instant};

/// Between two looks at the clock, in bytes of the range.
const BLOCK_BYTES: u64 = 1 << 20;
/// No thread works on one pass for longer: uncached memory is slow.
const PASS_MOST: Duration = Duration::from_millis(500);
const UNROLLED: u64 = 8;

/// Whether elements are loaded or stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

impl Access {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// An element that one instruction loads or stores.
trait Element: Copy {
    /// # Safety
    /// `at` is aligned and valid for reads.
    unsafe fn load(at: *const Self) -> u64;
    /// # Safety
    /// `at` is aligned and valid for writes.
    unsafe fn store(at: *mut Self, value: u64);
}

macro_rules! integers {
    ($($t:ty),*) => { $(
        impl Element for $t {
            #[inline(always)]
            unsafe fn load(at: *const Self) -> u64 {
                // SAFETY: the caller's contract.
                u64::from(unsafe { at.read_volatile() })
            }

            #[inline(always)]
            #[allow(clippy::cast_possible_truncation, reason = "any bits do")]
            unsafe fn store(at: *mut Self, value: u64) {
                // SAFETY: the caller's contract.
                unsafe { at.write_volatile(value as $t) };
            }
        }
    )* };
}
integers!(u8, u16, u32, u64);

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::__m128i as Wide;

#[cfg(target_arch = "x86_64")]
impl Element for Wide {
    #[inline(always)]
    #[allow(clippy::cast_sign_loss, reason = "any bits do")]
    unsafe fn load(at: *const Self) -> u64 {
        // SAFETY: the caller's contract; SSE2 is part of the instruction set.
        unsafe { std::arch::x86_64::_mm_cvtsi128_si64(at.read_volatile()) as u64 }
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_wrap, reason = "any bits do")]
    unsafe fn store(at: *mut Self, value: u64) {
        // SAFETY: as above.
        unsafe { at.write_volatile(std::arch::x86_64::_mm_set1_epi64x(value as i64)) };
    }
}

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::uint64x2_t as Wide;

#[cfg(target_arch = "aarch64")]
impl Element for Wide {
    #[inline(always)]
    unsafe fn load(at: *const Self) -> u64 {
        // SAFETY: the caller's contract; Neon is part of the instruction set.
        unsafe { std::arch::aarch64::vgetq_lane_u64::<0>(at.read_volatile()) }
    }

    #[inline(always)]
    unsafe fn store(at: *mut Self, value: u64) {
        // SAFETY: as above.
        unsafe { at.write_volatile(std::arch::aarch64::vdupq_n_u64(value)) };
    }
}

/// Works on `bytes` bytes at an address, every `stride`th element of them.
type Loop = unsafe fn(usize, u64, u64) -> u64;

unsafe fn read<T: Element>(address: usize, bytes: u64, stride: u64) -> u64 {
    let mut sum = 0_u64;
    // SAFETY: the caller's contract; each element is aligned, because the address is and the stride counts elements.
    unsafe { each::<T>(address, bytes, stride, |at| sum = sum.wrapping_add(T::load(at))) };
    sum
}

unsafe fn write<T: Element>(address: usize, bytes: u64, stride: u64) -> u64 {
    // SAFETY: as above.
    unsafe { each::<T>(address, bytes, stride, |at| T::store(at, bytes)) };
    bytes
}

/// # Safety
/// `bytes` bytes at `address` are mapped, and aligned to an element.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "machines are 64-bit")]
unsafe fn each<T: Element>(address: usize, bytes: u64, stride: u64, mut work: impl FnMut(*mut T)) {
    let step = stride * size_of::<T>() as u64;
    let (count, mut at) = (bytes / step, address);
    let pointer = |at: usize| std::ptr::with_exposed_provenance_mut::<T>(at);
    let step = step as usize;
    for _ in 0..count / UNROLLED {
        for nth in 0..UNROLLED as usize {
            work(pointer(at + nth * step));
        }
        at += UNROLLED as usize * step;
    }
    for nth in 0..(count % UNROLLED) as usize {
        work(pointer(at + nth * step));
    }
}

/// A width, with its loops.
#[derive(Clone, Copy)]
pub(super) struct Width {
    pub(super) name: &'static str,
    pub(super) bytes: u64,
    read: Loop,
    write: Loop,
}

/// The widths this machine has one instruction for.
pub(super) const WIDTHS: &[Width] = &[
    Width { name: "u8", bytes: 1, read: read::<u8>, write: write::<u8> },
    Width { name: "u16", bytes: 2, read: read::<u16>, write: write::<u16> },
    Width { name: "u32", bytes: 4, read: read::<u32>, write: write::<u32> },
    U64,
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    Width { name: "128-bit", bytes: 16, read: read::<Wide>, write: write::<Wide> },
];

pub(super) const U64: Width = Width { name: "u64", bytes: 8, read: read::<u64>, write: write::<u64> };

/// A range of mapped memory that nobody has references to, for as long as whoever made this keeps it mapped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    address: usize,
    pub(super) bytes: u64,
}

impl Span {
    /// # Safety
    /// The range stays mapped, readable and writable, while this or a copy of it is used, and is aligned to 16 bytes.
    pub(super) unsafe fn new(start: *mut u8, bytes: u64) -> Self {
        Self { address: start.expose_provenance(), bytes }
    }

    /// Equal parts, of whole lines.
    fn parts(self, count: u64) -> impl Iterator<Item = Self> {
        let bytes = self.bytes / count / 128 * 128;
        (0..count).map(move |part| Self { address: self.address + at(part * bytes), bytes })
    }

    /// The word at an offset, loaded.
    fn next(self, off: u64) -> u64 {
        assert!(off + 8 <= self.bytes && off.is_multiple_of(8));
        // SAFETY: inside the range, as just checked; `new`'s contract.
        unsafe { std::ptr::with_exposed_provenance::<u64>(self.address + at(off)).read_volatile() }
    }

    /// Stores the word at an offset.
    pub(super) fn set(self, off: u64, value: u64) {
        assert!(off + 8 <= self.bytes && off.is_multiple_of(8));
        // SAFETY: as above.
        unsafe { std::ptr::with_exposed_provenance_mut::<u64>(self.address + at(off)).write_volatile(value) };
    }

    /// Follows a chain of offsets for so many steps: each load's address is the one before it.
    pub(super) fn chase(self, steps: u64) -> u64 {
        (0..steps).fold(0, |off, _| self.next(off))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "machines are 64-bit")]
fn at(off: u64) -> usize {
    off as usize
}

/// Loads or stores a range with several threads, each its part. Returns bytes of elements a second, or 0 for nothing.
pub(super) fn pass(span: Span, access: Access, width: Width, stride: u64, threads: u64) -> f64 {
    let work = match access {
        Access::Read => width.read,
        Access::Write => width.write,
    };
    let together = std::sync::Barrier::new(at(threads));
    let part = |part: Span| {
        together.wait();
        let started = Instant::now();
        let mut done = 0;
        while done < part.bytes && started.elapsed() < PASS_MOST {
            let bytes = BLOCK_BYTES.min(part.bytes - done);
            // SAFETY: inside the part, whose pieces are whole lines; `Span::new`'s contract.
            std::hint::black_box(unsafe { work(part.address + at(done), bytes, stride) });
            done += bytes;
        }
        (started, Instant::now(), done)
    };
    let runs: Vec<(Instant, Instant, u64)> = std::thread::scope(|scope| {
        let running: Vec<_> = span.parts(threads).map(|span| scope.spawn(move || part(span))).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let first = runs.iter().map(|(started, ..)| *started).min();
    let last = runs.iter().map(|(_, ended, _)| *ended).max();
    let (Some(first), Some(last)) = (first, last) else { return 0.0 };
    // The bytes of every stride-th element.
    let elements = runs.iter().map(|(.., done)| done / stride).sum::<u64>();
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = elements as f64 / (last - first).as_secs_f64().max(1e-9);
    rate
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(words: &mut [u64]) -> Span {
        // SAFETY: the vector outlives the uses below; loads and stores go through this address alone meanwhile.
        unsafe { Span::new(words.as_mut_ptr().cast(), words.len() as u64 * 8) }
    }

    /// The smallest slice of a vector that begins at a multiple of 16 bytes.
    fn aligned(words: &mut [u64]) -> &mut [u64] {
        let skip = usize::from(!words.as_ptr().addr().is_multiple_of(16));
        &mut words[skip..]
    }

    #[test]
    fn a_write_reaches_every_element_and_a_strided_one_no_other() {
        for width in WIDTHS {
            for (stride, part) in [(1, 1), (4, 4)] {
                let mut words = vec![0; 1025];
                let words = aligned(&mut words);
                let words = &mut words[..1024];
                pass(span(words), Access::Write, *width, stride, 2);
                let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
                let written = bytes
                    .chunks(at(width.bytes))
                    .filter(|element| element.iter().any(|byte| *byte != 0))
                    .count();
                // Each of two threads stores the number of bytes of its block, 4096, which u8 has not.
                let expected = if width.bytes == 1 { 0 } else { bytes.len() / at(width.bytes) / part };
                assert_eq!(written, expected, "{} every {stride}", width.name);
            }
        }
    }

    #[test]
    fn a_read_loads_every_element() {
        let mut words = vec![1; 129];
        let words = aligned(&mut words);
        let span = span(&mut words[..128]);
        // SAFETY: the range of the span.
        assert_eq!(unsafe { (U64.read)(span.address, span.bytes, 1) }, 128);
        // SAFETY: as above.
        assert_eq!(unsafe { (U64.read)(span.address, span.bytes, 32) }, 4);
        // SAFETY: as above.
        assert_eq!(unsafe { (WIDTHS[0].read)(span.address, span.bytes, 8) }, 128);
    }

    #[test]
    fn a_chase_follows_the_chain() {
        let mut words = vec![0; 32];
        let span = span(&mut words);
        for (from, to) in [(0, 64), (64, 8), (8, 0)] {
            span.set(from, to);
        }
        assert_eq!([1, 2, 3, 4].map(|steps| span.chase(steps)), [64, 8, 0, 64]);
    }
}
