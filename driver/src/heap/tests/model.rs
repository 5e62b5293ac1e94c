//! Random calls against a shadow of what must be there.

use std::collections::BTreeMap;

use super::*;

/// What the test believes is allocated: start to (bytes, pattern).
#[derive(Default)]
struct Shadow(BTreeMap<u64, (u64, u8)>);

impl Shadow {
    fn insert(&mut self, region: &Region, off: u64, size: u64, pattern: u8) {
        let before = self.0.range(..=off).next_back();
        assert!(before.is_none_or(|(start, (len, _))| start + len <= off), "overlap at {off:#x}");
        let after = self.0.range(off..).next();
        assert!(after.is_none_or(|(start, _)| off + size <= *start), "overlap at {off:#x}");
        region.bytes(off, size).fill(pattern);
        self.0.insert(off, (size, pattern));
    }

    fn remove(&mut self, region: &Region, off: u64) -> u64 {
        let (size, pattern) = self.0.remove(&off).expect("allocated");
        assert!(is_filled(region.bytes(off, size), pattern), "{off:#x} was overwritten");
        size
    }

    fn pick(&self, random: &mut Random) -> Option<u64> {
        let from = random.next() % (64 << 20);
        self.0.range(from..).next().or_else(|| self.0.iter().next()).map(|(off, _)| *off)
    }
}

#[test]
fn two_processes_allocate_at_random() {
    for seed in 0..6 {
        let region = Region::new(16, 16);
        let heaps = [region.heap(0), region.heap(1)];
        let mut shadows = [Shadow::default(), Shadow::default()];
        let mut random = Random(seed);
        for step in 0..6000u64 {
            let who = usize::from(random.below(2) == 0);
            let (heap, other) = (&heaps[who], &heaps[1 - who]);
            #[expect(clippy::cast_possible_truncation, reason = "any byte")]
            let pattern = step as u8;
            let size = random.size(MIB);
            match (random.below(5), shadows[who].pick(&mut random)) {
                (0..=1, _) | (_, None) => {
                    if let Ok(off) = heap.alloc(size, 64) {
                        // Overlap with the other process would be as bad.
                        shadows[who].insert(&region, off, size, pattern);
                    }
                }
                (2, Some(off)) => {
                    let (old_size, old_pattern) = shadows[who].0[&off];
                    if let Ok(moved) = heap.realloc(off, old_size, size, 64) {
                        let kept = region.bytes(moved, old_size.min(size));
                        assert!(is_filled(kept, old_pattern), "realloc lost bytes");
                        shadows[who].0.remove(&off);
                        shadows[who].insert(&region, moved, size, pattern);
                    }
                }
                (_, Some(off)) => {
                    let size = shadows[who].remove(&region, off);
                    assert!(other.free(off, Some(size)).is_err());
                    heap.free(off, Some(size)).expect("free");
                }
            }
        }
        region.assert_sound();
        for (heap, mut shadow) in heaps.iter().zip(shadows) {
            while let Some(off) = shadow.pick(&mut random) {
                let size = shadow.remove(&region, off);
                heap.free(off, Some(size)).expect("free");
            }
        }
        assert_eq!(region.stats().live_bytes, 0);
        heaps.iter().for_each(|heap| heap.leave().expect("leave"));
        assert_eq!(region.stats().used_bytes, 0);
        region.assert_sound();
    }
}
