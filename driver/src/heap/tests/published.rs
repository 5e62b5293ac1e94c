//! What happens to extents once descriptors list them.

use super::*;
use crate::error::ErrorKind;

const SIZES: [u64; 4] = [64, 5000, 128 * 1024, MIB];

#[test]
fn a_published_extent_outlives_its_free_until_the_last_reference() {
    let region = Region::new(16, 16);
    let (heap, other) = (region.heap(0), region.heap(1));
    for size in SIZES {
        let off = heap.alloc(size, 64).expect("alloc");
        let len = heap.extent_of(off).expect("extent").len;
        region.bytes(off, size).fill(9);
        heap.retain(&[off]).expect("retain");
        other.retain(&[off, off]).expect("anybody may publish what is published");
        assert_eq!(region.stats().live_bytes, len);
        heap.free(off, Some(size)).expect("free");
        assert_eq!(kind_of(heap.free(off, Some(size))), ErrorKind::DoubleFree);
        assert_eq!((region.live_bytes(0), region.stats().region_owned_bytes), (0, len));
        region.assert_sound();
        other.release(&[off]).expect("release");
        heap.release(&[off]).expect("release");
        assert!(is_filled(region.bytes(off, size), 9));
        assert_eq!(region.stats().live_bytes, len);
        other.release(&[off]).expect("the last");
        assert_eq!(region.stats().live_bytes, 0);
        assert_eq!(kind_of(heap.retain(&[off])), ErrorKind::ForeignPointer);
        region.assert_sound();
    }
    heap.alloc(16 * MIB, 64).expect("all of it is free again");
}

#[test]
fn an_extent_whose_tables_are_gone_is_its_process_s_again() {
    let region = Region::new(16, 16);
    let heap = region.heap(0);
    for size in SIZES {
        let off = heap.alloc(size, 64).expect("alloc");
        heap.retain(&[off]).expect("retain");
        heap.release(&[off]).expect("release");
        assert_eq!(region.live_bytes(0), heap.extent_of(off).expect("extent").len);
        heap.free(off, Some(size)).expect("free");
        assert_eq!(kind_of(heap.free(off, Some(size))), ErrorKind::DoubleFree);
        assert_eq!(region.live_bytes(0), 0);
        region.assert_sound();
    }
}

#[test]
fn reallocating_what_is_published_copies_it() {
    let region = Region::new(16, 16);
    let heap = region.heap(0);
    for size in SIZES {
        let off = heap.alloc(size, 64).expect("alloc");
        region.bytes(off, size).fill(3);
        heap.retain(&[off]).expect("retain");
        let moved = heap.realloc(off, size, size, 64).expect("realloc");
        assert_ne!(moved, off);
        region.bytes(moved, size).fill(4);
        assert!(is_filled(region.bytes(off, size), 3));
        heap.free(moved, Some(size)).expect("free");
        heap.release(&[off]).expect("release");
        assert_eq!(region.stats().live_bytes, 0);
    }
    region.assert_sound();
}

#[test]
fn retain_takes_all_or_nothing() {
    let region = Region::new(16, 16);
    let heap = region.heap(0);
    let off = heap.alloc(1000, 64).expect("alloc");
    let freed = heap.alloc(1000, 64).expect("alloc");
    heap.free(freed, None).expect("free");
    assert_eq!(kind_of(heap.retain(&[off, freed])), ErrorKind::ForeignPointer);
    assert_eq!(kind_of(heap.retain(&[off, off + 128])), ErrorKind::ForeignPointer);
    heap.free(off, None).expect("free");
    assert_eq!(region.stats().live_bytes, 0);
    region.assert_sound();
}

#[test]
fn the_dead_leave_their_tables_and_nothing_else() {
    let region = Region::new(16, 16);
    let survivor = region.heap(1);
    let mut published = Vec::new();
    {
        let dead = region.heap(0);
        for round in 0..200 {
            for size in SIZES.map(|size| if round == 0 { size } else { size.min(5000) }) {
                let off = dead.alloc(size, 64).expect("alloc");
                if round % 10 == 0 {
                    dead.retain(&[off]).expect("retain");
                    region.bytes(off, size).fill(5);
                    published.push((off, size));
                }
            }
        }
    }
    region.alive[0].store(false, Ordering::Relaxed);
    assert!(survivor.reap(0).expect("reap") > 0);
    assert_eq!(survivor.reap(0).expect("again"), 0);
    region.assert_sound();
    let owned: u64 = published.iter().map(|(off, _)| survivor.extent_of(*off).expect("extent").len).sum();
    let stats = region.stats();
    assert_eq!((stats.region_owned_bytes, stats.live_bytes), (owned, owned));
    assert!(stats.orphan_spans > 0);
    // Free blocks of the dead's spans are used before fresh ones.
    let used = stats.used_bytes;
    let blocks: Vec<u64> = (0..40).map(|_| survivor.alloc(5000, 64).expect("alloc")).collect();
    assert_eq!(region.stats().used_bytes, used);
    region.assert_sound();
    for (off, size) in &published {
        assert!(is_filled(region.bytes(*off, *size), 5));
        survivor.release(&[*off]).expect("release");
    }
    blocks.into_iter().for_each(|off| survivor.free(off, None).expect("free"));
    region.assert_sound();
    assert_eq!(region.stats().live_bytes, 0);
    survivor.alloc(16 * MIB, 64).expect("all of it");
}

#[test]
fn a_span_of_tables_alone_is_freed_without_its_process() {
    let region = Region::new(16, 16);
    let (idle, other) = (region.heap(0), region.heap(1));
    let offs: Vec<u64> = (0..5000).map(|_| idle.alloc(1024, 64).expect("alloc")).collect();
    idle.retain(&offs).expect("retain");
    offs.iter().for_each(|&off| idle.free(off, None).expect("free"));
    let used = region.stats().used_bytes;
    other.release(&offs).expect("release");
    assert_eq!(region.stats().live_bytes, 0);
    assert!(region.stats().used_bytes < used / 4, "{} of {used}", region.stats().used_bytes);
    region.assert_sound();
}

#[test]
fn a_recount_puts_counts_right_and_frees_what_nobody_has() {
    let region = Region::new(16, 16);
    let heap = region.heap(0);
    let offs: Vec<u64> = SIZES.iter().map(|&size| heap.alloc(size, 64).expect("alloc")).collect();
    let twice: Vec<u64> = offs.iter().chain(&offs).copied().collect();
    heap.retain(&twice).expect("retain");
    offs.iter().for_each(|&off| heap.free(off, None).expect("free"));
    // One of the two descriptors never committed.
    heap.recount(offs.iter().copied()).expect("recount");
    region.assert_sound();
    let live = region.stats().live_bytes;
    heap.release(&offs[1..]).expect("release");
    assert_eq!(region.stats().live_bytes, 128);
    assert!(live > 128);
    heap.recount(std::iter::empty()).expect("recount");
    assert_eq!(region.stats().live_bytes, 0);
    region.assert_sound();
    heap.alloc(16 * MIB, 64).expect("all of it");
}

#[test]
fn a_count_that_ran_full_waits_for_a_recount() {
    let region = Region::new(16, 16);
    let heap = region.heap(0);
    let off = heap.alloc(MIB, 64).expect("alloc");
    heap.retain(&[off; 300]).expect("retain");
    heap.free(off, None).expect("free");
    assert!(!heap.wants_recount());
    heap.release(&[off; 300]).expect("release");
    assert!(heap.wants_recount());
    assert_eq!(region.stats().live_bytes, MIB);
    heap.recount(std::iter::empty()).expect("recount");
    assert!(!heap.wants_recount());
    assert_eq!(region.stats().live_bytes, 0);
    region.assert_sound();
}

#[test]
fn blocks_of_one_span_wait_each_for_its_own_reference() {
    let region = Region::new(16, 16);
    let heap = region.heap(0);
    let [first, second] = [(); 2].map(|()| heap.alloc(4096, 64).expect("alloc"));
    heap.retain(&[first, second]).expect("retain");
    [first, second].iter().for_each(|&off| heap.free(off, None).expect("free"));
    heap.release(&[first]).expect("release");
    let mut fresh: Vec<u64> = std::iter::from_fn(|| heap.alloc(4096, 64).ok()).collect();
    assert!(fresh.contains(&first) && !fresh.contains(&second));
    heap.release(&[second]).expect("release");
    fresh.push(heap.alloc(4096, 64).expect("the block that was released last"));
    assert_eq!(fresh.last(), Some(&second));
    region.assert_sound();
}

#[test]
fn spans_of_the_living_are_not_adopted() {
    let region = Region::new(16, 16);
    let (dead, living, survivor) = (region.heap(0), region.heap(1), region.heap(2));
    // Who looks for an abandoned span begins behind the first chunk.
    survivor.alloc(MIB, 64).expect("alloc");
    let theirs: Vec<u64> = (0..10).map(|_| living.alloc(1024, 64).expect("alloc")).collect();
    let left = dead.alloc(1024, 64).expect("alloc");
    dead.retain(&[left]).expect("retain");
    region.alive[0].store(false, Ordering::Relaxed);
    survivor.reap(0).expect("reap");
    let mine: Vec<u64> = std::iter::from_fn(|| survivor.alloc(1024, 64).ok()).collect();
    assert!(mine.len() > 10_000 && !mine.contains(&left), "{}", mine.len());
    assert!(theirs.iter().all(|off| !mine.contains(off)));
    region.assert_sound();
}

#[test]
fn many_references_need_few_recounts() {
    const TABLES: usize = 1000;
    let region = Region::new(16, 16);
    let heap = region.heap(0);
    let off = heap.alloc(64, 64).expect("alloc");
    for _ in 0..TABLES {
        heap.retain(&[off]).expect("retain");
    }
    heap.free(off, None).expect("free");
    let mut recounts = 0;
    for left in (0..TABLES).rev() {
        heap.release(&[off]).expect("release");
        if heap.wants_recount() {
            heap.recount(std::iter::repeat_n(off, left)).expect("recount");
            recounts += 1;
        }
    }
    // One to learn the number, one when it can be counted again.
    assert_eq!(recounts, 2);
    assert_eq!(region.stats().live_bytes, 0);
    region.assert_sound();
}
