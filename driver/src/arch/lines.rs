//! Ranges of bytes as cache lines: which lines a range touches, one after the other, and lists of ranges merged.
//!
//! Pure arithmetic on addresses, shared by every instruction set. A range touches every line it overlaps, an
//! empty one none. `line` is always a power of two, and no range goes round the end of the address space.

/// The lines that `len` bytes at `address` overlap: the first one's address, and the bytes of all.
#[inline]
pub(super) fn cover(address: u64, len: u64, line: u64) -> (u64, u64) {
    let first = address & !(line - 1);
    if len == 0 {
        return (first, 0);
    }
    (first, ((address + (len - 1)) | (line - 1)) - first + 1)
}

/// Calls `instruction` with the address of every line that `len` bytes at `address` overlap.
#[inline(always)]
pub(super) fn for_each(address: u64, len: u64, line: u64, mut instruction: impl FnMut(u64)) {
    let (first, bytes) = cover(address, len, line);
    let (mut at, end) = (first, first.wrapping_add(bytes));
    while at != end {
        instruction(at);
        at = at.wrapping_add(line);
    }
}

/// A list of ranges as `(first line's address, bytes)`: sorted, in whole lines, each line once. What overlaps or
/// touches is one range, what is empty is gone.
pub(crate) fn merge(ranges: impl IntoIterator<Item = (*const u8, u64)>, line: u64) -> Vec<(u64, u64)> {
    let ranges = ranges.into_iter().map(|(address, len)| cover(address as u64, len, line));
    let mut merged: Vec<(u64, u64)> = ranges.filter(|(_, bytes)| *bytes > 0).collect();
    merged.sort_unstable();
    merged.dedup_by(|(first, bytes), (before, before_bytes)| {
        let touches = *first <= *before + *before_bytes;
        if touches {
            *before_bytes = (*before_bytes).max(*first + *bytes - *before);
        }
        touches
    });
    merged
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::units::index;

    fn lines_of(address: u64, len: u64, line: u64) -> Vec<u64> {
        let mut lines = Vec::new();
        for_each(address, len, line, |at| lines.push(at));
        lines
    }

    #[test]
    fn a_range_touches_every_line_it_overlaps_and_an_empty_one_none() {
        assert_eq!(lines_of(0x1000, 0, 64), []);
        assert_eq!(lines_of(0x1001, 0, 64), []);
        assert_eq!(lines_of(0x1000, 64, 64), [0x1000]);
        assert_eq!(lines_of(0x103f, 1, 64), [0x1000]);
        assert_eq!(lines_of(0x103f, 2, 64), [0x1000, 0x1040]);
        assert_eq!(lines_of(0x1041, 0x80, 64), [0x1040, 0x1080, 0x10c0]);
        assert_eq!(lines_of(0x1041, 0x80, 128), [0x1000, 0x1080]);
    }

    proptest! {
        #[test]
        fn merged_ranges_are_the_same_lines_each_once(
            ranges in prop::collection::vec((0x1_0000_u64..0x1_2000, 0_u64..700), 0..40),
            line in prop::sample::select(&[8_u64, 64, 128][..]),
        ) {
            let touched: BTreeSet<u64> =
                ranges.iter().flat_map(|(at, len)| (*at..at + len).map(|byte| byte / line * line)).collect();
            let pointers = ranges.iter().map(|(at, len)| (std::ptr::without_provenance(index(*at)), *len));
            let merged = merge(pointers, line);
            let lines: Vec<u64> = merged.iter().flat_map(|(at, len)| lines_of(*at, *len, line)).collect();
            prop_assert_eq!(lines, touched.into_iter().collect::<Vec<_>>());
            // Sorted, with a gap between any two, or they would be one.
            prop_assert!(merged.windows(2).all(|pair| pair[0].0 + pair[0].1 < pair[1].0));
        }
    }
}
