//! Metadata overwritten with garbage: an error, or nothing worse than a refusal.

use super::*;
use crate::region::layout::{CHUNK_BYTES, CONTROL_OFF};

/// Runs every operation; what they answer does not matter, that they do does.
fn use_everything(region: &Region) {
    let mut held = Vec::new();
    let heap = region.heap(0);
    for size in [64, 5000, 100_000, 200_000, MIB] {
        if let Ok(off) = heap.alloc(size, 64) {
            let _ = heap.retain(&[off]);
            let _ = heap.realloc(off, size, 2 * size, 64).map(|off| held.push(off));
        }
    }
    for off in (0..24 * MIB).step_by(100_000) {
        let _ = heap.extent_of(off);
        let _ = heap.release(&[off]);
        let _ = heap.free(off, None);
    }
    held.iter().for_each(|&off| drop(heap.free(off, None)));
    let _ = heap.recount(held.into_iter());
    let _ = heap.reap(1);
    region.faults();
    region.stats();
    let _ = heap.leave();
}

fn filled() -> (Region, Vec<u64>) {
    let region = Region::new(16, 16);
    let heap = region.heap(1);
    let offs: Vec<u64> = [64, 64, 5000, 100_000, 200_000, MIB]
        .iter()
        .map(|&size| heap.alloc(size, 64).expect("alloc"))
        .collect();
    heap.retain(&offs[1..]).expect("retain");
    (region, offs)
}

#[test]
fn garbage_in_any_entry_or_note_is_survived() {
    let mut random = Random(1);
    let layout = *filled().0.space.layout();
    let entries = (0..80).map(|chunk| layout.entries_off + chunk * 8);
    let notes = (0..8).map(|i| CONTROL_OFF + Control::HeapHint as u64 * 8 + i * 8);
    let bitmap = (0..4).map(|i| layout.bitmap_off + i * 8);
    let refs = (0..8).map(|i| layout.refs_off + i * 1024);
    for off in entries.chain(notes).chain(bitmap).chain(refs) {
        for word in [u64::MAX, 0, 1, 2 << 32 | 2, 9 << 32 | 3, 1 << 32 | 1, random.next(), random.next()] {
            let (region, _) = filled();
            region.space.word(off).store(word);
            use_everything(&region);
        }
    }
}

#[test]
fn all_of_it_overwritten_is_survived() {
    let mut random = Random(2);
    for _ in 0..40 {
        let (region, _) = filled();
        let layout = region.space.layout();
        let mask = if random.below(2) == 0 { u64::MAX } else { 0x0000_003f_00ff_0fff };
        for off in (layout.bitmap_off..layout.refs_off + 64 * 1024).step_by(8) {
            region.space.word(off).store(random.next() & mask);
        }
        use_everything(&region);
    }
}

#[test]
fn each_damage_is_found() {
    let entry = |region: &Region, off: u64| {
        let chunk = (off - region.space.layout().data_off) / CHUNK_BYTES;
        region.space.layout().entries_off + chunk * 8
    };
    type Harm<'a> = &'a dyn Fn(&Region, &[u64]);
    let harms: [Harm<'_>; 8] = [
        &|region, offs| region.space.word(entry(region, offs[0])).store(u64::MAX),
        &|region, offs| region.space.word(entry(region, offs[5])).store(0),
        &|region, offs| region.space.word(entry(region, offs[5]) + 8).store(0),
        &|region, _| region.space.word(region.space.layout().bitmap_off).store(u64::MAX),
        &|region, _| region.space.word(region.space.layout().refs_off + 8).store(1),
        &|region, _| region.space.word(region.space.layout().refs_off + 100_000).store(1),
        &|region, _| region.space.control(Control::RegionOwned).store(77),
        &|region, _| region.alive[1].store(false, Ordering::Relaxed),
    ];
    for (i, harm) in harms.iter().enumerate() {
        let (region, offs) = filled();
        region.assert_sound();
        harm(&region, &offs);
        assert!(!region.faults().is_empty(), "harm {i} was not found");
    }
}

#[test]
fn a_bitmap_that_calls_taken_chunks_free_hands_nothing_out_twice() {
    let (region, _) = filled();
    let bitmap = region.space.layout().bitmap_off;
    region.space.word(bitmap).store(u64::MAX);
    region.space.word(bitmap + 8).store(u64::MAX);
    region.space.word(CONTROL_OFF + Control::HeapHint as u64 * 8).store(0);
    let heap = region.heap(0);
    assert_eq!(kind_of(heap.alloc(64, 64)), crate::error::ErrorKind::Corrupt);
    assert_eq!(kind_of(heap.alloc(MIB, 64)), crate::error::ErrorKind::Corrupt);
}

#[test]
fn a_repair_that_fails_is_tried_again() {
    let (region, offs) = filled();
    let entry =
        region.space.layout().entries_off + (offs[5] - region.space.layout().data_off) / CHUNK_BYTES * 8;
    let sound = region.space.word(entry).load();
    region.space.word(entry).store(u64::MAX);
    // Member 2 died with the lock in hand.
    region.alive[2].store(false, Ordering::Relaxed);
    region.space.control(Control::HeapLock).store(1 << 32 | 3);
    let heap = region.heap(0);
    for _ in 0..2 {
        assert_eq!(kind_of(heap.alloc(MIB, 64)), crate::error::ErrorKind::Corrupt);
    }
    region.space.word(entry).store(sound);
    heap.alloc(MIB, 64).expect("repaired");
    region.assert_sound();
}
