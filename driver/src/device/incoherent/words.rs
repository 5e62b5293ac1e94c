//! Files of the link as atomic words: programs store to what is being moved, at any time.
#![allow(unsafe_code, reason = "views of mapped memory as atomics")]

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{Advice, MmapRaw};

use super::super::shm_file::ShmFile;
use crate::error::{Error, Result};
use crate::units::index;

/// How often a line is read again because somebody stores to it. A line that changes faster than it can be read is a
/// counter or a lock, of which each word counts alone.
const TRIES: u32 = 1000;
const LINE_WORDS_MAX: usize = 16;

/// A file, mapped wherever there is room, for loads and stores.
pub(super) struct Words(MmapRaw);

impl Words {
    /// Maps all of a file that is not empty.
    pub(super) fn map(file: &ShmFile) -> Result<Self> {
        let failed = |e: std::io::Error| {
            Error::system(format_args!("mmap({})", file.path.display()), e.raw_os_error().unwrap_or(0))
        };
        let map = MmapRaw::map_raw(&file.file).map_err(failed)?;
        map.advise(Advice::DontDump).map_err(failed)?;
        Ok(Self(map))
    }

    pub(super) fn len_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    /// The words in a range of bytes, as far as they are mapped.
    pub(super) fn get(&self, range: Range<u64>) -> &[AtomicU64] {
        let end = range.end.min(self.len_bytes()) / 8;
        let start = (range.start / 8).min(end);
        #[expect(clippy::cast_ptr_alignment, reason = "a mapping begins at a page")]
        let first = self.0.as_ptr().cast::<AtomicU64>();
        // SAFETY: inside the mapping, which `self` keeps; others may change the words at any time, as atomics may.
        unsafe { std::slice::from_raw_parts(first.wrapping_add(index(start)), index(end - start)) }
    }
}

/// Byte offset of the first difference between two ranges, as far as both reach.
pub(super) fn first_difference(a: &[AtomicU64], b: &[AtomicU64]) -> Option<u64> {
    let differs = |(a, b): (&AtomicU64, &AtomicU64)| a.load(Ordering::Relaxed) != b.load(Ordering::Relaxed);
    let at = a.iter().zip(b).position(differs)?;
    // Meanwhile they may have become equal; then it is the word's first byte.
    let bits = a[at].load(Ordering::Relaxed) ^ b[at].load(Ordering::Relaxed);
    Some(at as u64 * 8 + if bits == 0 { 0 } else { u64::from(bits.trailing_zeros() / 8) })
}

/// Moves a line. It is taken as it is at one moment, and arrives from its last word to its first: what commits a
/// record is its first word.
pub(super) fn copy_line(from: &[AtomicU64], to: &[AtomicU64]) {
    let mut line = [0; LINE_WORDS_MAX];
    for (word, value) in from.iter().zip(&mut line) {
        *value = word.load(Ordering::Acquire);
    }
    for _ in 0..TRIES {
        let mut same = true;
        for (word, value) in from.iter().zip(&mut line) {
            let now = word.load(Ordering::Acquire);
            same &= now == *value;
            *value = now;
        }
        if same {
            break;
        }
    }
    for (word, value) in to.iter().zip(&line).rev() {
        word.store(*value, Ordering::Release);
    }
}
