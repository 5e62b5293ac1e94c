//! Copies where there are no stores past the caches: ordinary stores, a piece at a time, each written home while it
//! is still in the cache.

use super::{CacheOps, LINE_BYTES_MAX};
use crate::units::{KIB, index};

/// Less than a first-level cache holds of both sides.
const PIECE_BYTES: u64 = 8 * KIB;

/// # Safety
/// As [`CacheOps::copy_home`].
pub(super) unsafe fn copy(ops: &impl CacheOps, from: *const u8, to: *mut u8, len: u64) {
    let mut off = 0;
    while off < len {
        // Pieces end where lines end, or a line would be written home twice.
        let line_end = (to as u64 + off + PIECE_BYTES) / LINE_BYTES_MAX * LINE_BYTES_MAX;
        let bytes = (line_end - to as u64).min(len) - off;
        // SAFETY: a part of the caller's ranges.
        let piece = unsafe {
            let piece = to.add(index(off));
            std::ptr::copy_nonoverlapping(from.add(index(off)), piece, index(bytes));
            piece
        };
        ops.write_back(piece, bytes);
        off += bytes;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::arch::lines;

    struct Record(Mutex<Vec<u64>>);

    impl CacheOps for Record {
        fn line_bytes(&self) -> u64 {
            128
        }

        fn write_back(&self, address: *const u8, len: u64) {
            lines::for_each(address as u64, len, 128, |at| self.0.lock().unwrap().push(at));
        }

        fn invalidate(&self, _address: *const u8, _len: u64) {}

        fn fence(&self) {}

        unsafe fn copy_home(&self, from: *const u8, to: *mut u8, len: u64) {
            // SAFETY: the caller's promise.
            unsafe { copy(self, from, to, len) };
        }
    }

    #[test]
    fn every_byte_arrives_and_every_line_goes_home_once() {
        let from: Vec<u8> = (0..50_000_u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
        for (off, len) in [(0, 0), (5, 1), (0, 128), (120, 20), (7, 8 << 10), (127, 50_000), (0, 50_000)] {
            let (record, mut to) = (Record(Mutex::default()), vec![0; 50_200]);
            let start = to.as_ptr() as u64 + off;
            // SAFETY: `to` is longer than what is copied by more than `off`.
            unsafe { record.copy_home(from.as_ptr(), to.as_mut_ptr().add(index(off)), len) };
            assert!(to[index(off)..index(off + len)] == from[..index(len)], "{len} bytes at {off}");
            let mut expected = Vec::new();
            lines::for_each(start, len, 128, |at| expected.push(at));
            assert_eq!(record.0.into_inner().unwrap(), expected, "{len} bytes at {off}");
        }
    }
}
