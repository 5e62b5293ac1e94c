//! The one-writer map: which node writes which line.

use std::ops::Range;

/// Ranges of the window with the node that writes them, in order. What is in none is node 0's.
#[derive(Default)]
pub(super) struct Writers(Vec<(Range<u64>, u64)>);

impl Writers {
    pub(super) fn new(ranges: &[(Range<u64>, u64)]) -> Self {
        let mut ranges = ranges.to_vec();
        ranges.sort_by_key(|(range, _)| range.start);
        Self(ranges)
    }

    /// The parts of a range, each with its writer.
    pub(super) fn split(&self, range: Range<u64>) -> impl Iterator<Item = (Range<u64>, u64)> + '_ {
        let mut at = range.start;
        std::iter::from_fn(move || {
            if at >= range.end {
                return None;
            }
            let next = self.0.partition_point(|(known, _)| known.end <= at);
            let (end, writer) = match self.0.get(next) {
                Some((known, writer)) if known.start <= at => (known.end, *writer),
                Some((known, _)) => (known.start, 0),
                None => (range.end, 0),
            };
            let start = std::mem::replace(&mut at, end.min(range.end));
            Some((start..at, writer))
        })
    }

    /// Where the metadata ends: the last range is data.
    pub(super) fn metadata_bytes(&self) -> u64 {
        self.0.last().map_or(0, |(range, _)| range.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_split_by_its_writers() {
        let writers = Writers::new(&[(0..256, 0), (256..512, 1), (1024..2048, 2)]);
        let split = |range| writers.split(range).collect::<Vec<_>>();
        assert_eq!(split(128..1152), [(128..256, 0), (256..512, 1), (512..1024, 0), (1024..1152, 2)]);
        assert_eq!(split(1920..4096), [(1920..2048, 2), (2048..4096, 0)]);
        assert_eq!(split(300..300), []);
        assert_eq!(Writers::default().split(0..64).collect::<Vec<_>>(), [(0..64, 0)]);
        assert_eq!((writers.metadata_bytes(), Writers::default().metadata_bytes()), (1024, 0));
    }
}
