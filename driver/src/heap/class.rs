//! Size classes: how a small request becomes a block, and how long the span of such blocks is.
//!
//! Multiples of 128 bytes up to 2 KiB, then eight classes a doubling up to 128 KiB: never more than one
//! ninth of a block above 1 KiB is waste. Half of what Arrow asks for lies between 16 and 256 KiB, so
//! coarser classes would cost real memory.

#![expect(
    clippy::cast_possible_truncation,
    reason = "sizes and tables of at most 128 KiB, some in constants"
)]

use crate::region::layout::{CHUNK_BYTES, GRANULE_BYTES};

/// Number of classes.
pub(super) const CLASSES: usize = 64;
/// Larger requests get a run of chunks of their own.
pub(super) const BLOCK_MAX_BYTES: u64 = 128 * 1024;

/// The smallest class whose blocks hold `size` bytes; `size` is 1 to [`BLOCK_MAX_BYTES`].
#[inline]
pub(super) const fn class_of(size: u64) -> usize {
    let last_granule = (size - 1) / GRANULE_BYTES;
    let shift = if last_granule < 16 { 0 } else { last_granule.ilog2() as u64 - 3 };
    (8 * shift + (last_granule >> shift)) as usize
}

/// Bytes of a block of `class`.
#[inline]
pub(super) const fn block_bytes(class: usize) -> u64 {
    BLOCK_BYTES[class % CLASSES] as u64
}

const BLOCK_BYTES: [u32; CLASSES] = {
    let mut table = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        let shift = if class < 16 { 0 } else { class / 8 - 1 };
        let last_granule = class - 8 * shift;
        table[class] = ((last_granule as u32 + 1) << shift) * GRANULE_BYTES as u32;
        class += 1;
    }
    table
};

/// The smallest class whose blocks hold `size` bytes and all begin at multiples of `align`, a power of
/// two, unless `size` is above `block_max`. Spans begin at chunks, so that a block size which is a multiple of `align`
/// is enough.
#[inline]
pub(super) fn class_for(size: u64, align: u64, block_max: u64) -> Option<usize> {
    if size > block_max || align > CHUNK_BYTES {
        return None;
    }
    let class = class_of(size);
    if align <= GRANULE_BYTES {
        return Some(class);
    }
    (class..CLASSES).find(|&class| block_bytes(class).is_multiple_of(align))
}

/// Chunks of the shortest span of `class` that wastes at most one part in sixteen behind its last block.
pub(super) const fn span_chunks(class: usize) -> u64 {
    SPAN_CHUNKS[class % CLASSES] as u64
}

const SPAN_CHUNKS: [u8; CLASSES] = {
    let mut table = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        let block = block_bytes(class);
        let mut chunks = block.div_ceil(CHUNK_BYTES);
        while (chunks * CHUNK_BYTES) % block * 16 > chunks * CHUNK_BYTES {
            chunks += 1;
        }
        table[class] = chunks as u8;
        class += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_gets_the_smallest_block_that_holds_it() {
        for size in 1..=BLOCK_MAX_BYTES {
            let class = class_of(size);
            assert!(class < CLASSES && block_bytes(class) >= size, "{size} -> {class}");
            assert!(class == 0 || block_bytes(class - 1) < size, "{size} -> {class}");
        }
        assert_eq!(block_bytes(CLASSES - 1), BLOCK_MAX_BYTES);
    }

    #[test]
    fn little_is_wasted() {
        for class in 1..CLASSES {
            let (smaller, block) = (block_bytes(class - 1), block_bytes(class));
            assert!(block - smaller <= GRANULE_BYTES || (block - smaller) * 8 <= smaller, "{class}");
            let span = span_chunks(class) * CHUNK_BYTES;
            assert!(
                span >= block && span <= 16 * CHUNK_BYTES && (span % block) * 16 <= span,
                "{class}: {span}"
            );
        }
    }

    #[test]
    fn aligned_classes_are_aligned() {
        for align in (0..=14).map(|bits| 1u64 << bits) {
            for size in [1, 64, 100, 4096, 5000, 16384, 100_000, BLOCK_MAX_BYTES] {
                let class = class_for(size, align, BLOCK_MAX_BYTES).expect("a class");
                assert!(block_bytes(class) >= size);
                assert!(align <= GRANULE_BYTES || block_bytes(class).is_multiple_of(align));
            }
        }
        assert_eq!(class_for(1, 2 * CHUNK_BYTES, BLOCK_MAX_BYTES), None);
        assert_eq!(class_for(BLOCK_MAX_BYTES + 1, 64, BLOCK_MAX_BYTES), None);
        assert_eq!(class_for(1, 1, 0), None);
    }
}
