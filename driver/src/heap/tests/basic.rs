use super::*;
use crate::error::ErrorKind;
use crate::heap::class::{BLOCK_MAX_BYTES, block_bytes, class_of};
use crate::region::layout::CHUNK_BYTES;

#[test]
fn what_is_allocated_is_aligned_and_can_be_freed_once() {
    let region = Region::new(16, 16);
    let heap = region.heap(0);
    for size in [1, 64, 128, 129, 5000, 100_000, BLOCK_MAX_BYTES, BLOCK_MAX_BYTES + 1, MIB] {
        for align in [1, 64, 128, 256, 4096, CHUNK_BYTES, 2 * CHUNK_BYTES, 2 * MIB] {
            let off = heap.alloc(size, align).expect("alloc");
            assert!((region.space.base() + off).is_multiple_of(align.max(128)), "{size} {align}");
            assert_eq!(heap.extent_of(off + size - 1).expect("extent").off, off);
            heap.free(off, Some(size)).expect("free");
            assert_eq!(kind_of(heap.free(off, Some(size))), ErrorKind::DoubleFree, "{size} {align}");
        }
    }
    region.assert_sound();
    assert_eq!(kind_of(heap.alloc(64, 3)), ErrorKind::BadAlignment);
    assert_eq!(kind_of(heap.alloc(64, 4 * MIB)), ErrorKind::BadAlignment);
}

#[test]
fn foreign_and_inner_pointers_and_wrong_sizes_are_refused_and_nothing_is_lost() {
    let region = Region::new(16, 16);
    let (mine, other) = (region.heap(0), region.heap(1));
    for size in [64, 200_000] {
        let off = mine.alloc(size, 64).expect("alloc");
        let theirs = other.alloc(size, 64).expect("alloc");
        assert_eq!(kind_of(mine.free(theirs, None)), ErrorKind::ForeignPointer);
        assert_eq!(kind_of(mine.realloc(theirs, size, 2 * size, 64)), ErrorKind::ForeignPointer);
        assert_eq!(kind_of(mine.retain(&[theirs])), ErrorKind::ForeignPointer);
        assert_eq!(kind_of(mine.free(off + 1, None)), ErrorKind::ForeignPointer);
        assert_eq!(kind_of(mine.free(0, None)), ErrorKind::ForeignPointer);
        assert_eq!(kind_of(mine.free(u64::MAX, None)), ErrorKind::ForeignPointer);
        assert_eq!(kind_of(mine.free(off, Some(10 * MIB))), ErrorKind::InvalidArgument);
        assert_eq!(kind_of(mine.realloc(off, 10 * MIB, 1, 64)), ErrorKind::InvalidArgument);
        mine.free(off, Some(size)).expect("still there");
        other.free(theirs, Some(size)).expect("still there");
    }
    let inside = mine.alloc(1024, 64).expect("alloc");
    assert_eq!(kind_of(mine.free(inside + 128, None)), ErrorKind::ForeignPointer);
    mine.free(inside, None).expect("free");
    assert_eq!(region.stats().live_bytes, 0);
}

#[test]
fn runs_grow_and_shrink_in_place() {
    let region = Region::new(16, 16);
    let heap = region.heap(0);
    let off = heap.alloc(MIB, 64).expect("alloc");
    region.bytes(off, MIB).fill(7);
    assert_eq!(heap.realloc(off, MIB, 8 * MIB, 64).expect("grow"), off);
    assert_eq!(region.stats().used_bytes, 8 * MIB);
    assert_eq!(heap.realloc(off, 8 * MIB, MIB, 64).expect("shrink"), off);
    assert_eq!(region.stats().used_bytes, MIB);
    assert_eq!(region.live_bytes(0), MIB);
    let behind = heap.alloc(MIB, 64).expect("alloc");
    assert_eq!(behind, off + MIB);
    let moved = heap.realloc(off, MIB, 2 * MIB, 64).expect("move");
    assert_ne!(moved, off);
    assert!(is_filled(region.bytes(moved, MIB), 7));
    let small = heap.realloc(moved, 2 * MIB, 1000, 64).expect("to a block");
    assert!(is_filled(region.bytes(small, 1000), 7));
    assert_eq!(heap.extent_of(small).expect("extent").len, block_bytes(class_of(1000)));
    region.assert_sound();
}

#[test]
fn a_full_region_asks_for_space_then_fails_with_numbers_and_returns_to_the_byte() {
    let region = Region::new(8, 8);
    let heap = region.heap(0);
    for size in [64, 3000, 50_000, 300_000] {
        let mut all = Vec::new();
        let full = loop {
            match heap.alloc(size, 64) {
                Ok(off) => all.push(off),
                Err(e) => break e,
            }
        };
        assert_eq!(full.kind(), ErrorKind::RegionFull);
        assert!(full.message().contains("longest free run"), "{full}");
        let class_bytes = if size > BLOCK_MAX_BYTES { 19 * CHUNK_BYTES } else { block_bytes(class_of(size)) };
        assert!(all.len() as u64 * class_bytes > 7 * MIB, "{} of {size}", all.len());
        assert_eq!(region.stats().live_bytes, all.len() as u64 * class_bytes);
        all.into_iter().for_each(|off| heap.free(off, Some(size)).expect("free"));
        assert_eq!(region.stats().free_bytes, 8 * MIB);
        let whole = heap.alloc(8 * MIB, 64).expect("the whole region, caches and bins emptied");
        heap.free(whole, None).expect("free");
    }
    let spare = std::sync::Mutex::new(Some(heap.alloc(6 * MIB, 64).expect("alloc")));
    let heap = Arc::new(heap);
    let weak = Arc::downgrade(&heap);
    heap.set_reclaim(move || {
        let spare = spare.lock().expect("spare").take();
        spare.is_some_and(|off| weak.upgrade().is_some_and(|heap| heap.free(off, None).is_ok()))
    });
    heap.alloc(7 * MIB, 64).expect("after the reclaim");
    assert_eq!(kind_of(heap.alloc(7 * MIB, 64)), ErrorKind::RegionFull);
    assert_eq!(kind_of(heap.alloc(u64::MAX, 64)), ErrorKind::RegionFull);
    region.assert_sound();
}

#[test]
fn growing_makes_new_chunks_usable_by_every_process() {
    let region = Region::new(8, 32);
    let (first, second) = (region.heap(0), region.heap(1));
    first.alloc(8 * MIB, 64).expect("all of it");
    assert_eq!(kind_of(second.alloc(MIB, 64)), ErrorKind::RegionFull);
    region.space.control(Control::Size).store(36 * MIB);
    first.extend().expect("extend");
    assert_eq!(region.stats().largest_free_bytes, 24 * MIB);
    second.alloc(16 * MIB, 64).expect("new chunks");
    first.alloc(8 * MIB, 64).expect("new chunks");
    region.assert_sound();
}

#[test]
fn leaving_returns_everything_and_later_calls_fail() {
    let region = Region::new(16, 16);
    let heap = region.heap(0);
    let off = heap.alloc(100, 64).expect("alloc");
    for size in [64, 64, 4096, 200_000, MIB] {
        heap.alloc(size, 64).expect("alloc");
    }
    heap.leave().expect("leave");
    heap.leave().expect("once more is nothing");
    assert_eq!(region.stats().used_bytes, 0);
    assert_eq!(kind_of(heap.alloc(64, 64)), ErrorKind::Closed);
    assert_eq!(kind_of(heap.free(off, None)), ErrorKind::Closed);
    assert_eq!(region.live_bytes(0), 0);
    region.assert_sound();
}

#[test]
fn threads_share_a_heap_and_their_caches_come_back() {
    let region = Region::new(64, 64);
    let heap = region.heap(0);
    let handed_over = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let thread = |seed: u64| {
            let (heap, region, handed_over) = (&heap, &region, &handed_over);
            scope.spawn(move || {
                let mut random = Random(seed);
                for round in 0..4000u64 {
                    let size = random.size(300_000);
                    let Ok(off) = heap.alloc(size, 64) else { continue };
                    let stamp = (seed << 32 | round).to_le_bytes();
                    region.bytes(off, size.min(8)).copy_from_slice(&stamp[..index(size.min(8))]);
                    let mut pool = handed_over.lock().expect("pool");
                    pool.push((off, size, stamp));
                    // Mostly what another thread allocated.
                    let at = index(random.below(pool.len() as u64));
                    let free_one = pool.len() > 40;
                    let taken = free_one.then(|| pool.swap_remove(at));
                    drop(pool);
                    if let Some((off, size, stamp)) = taken {
                        assert_eq!(region.bytes(off, size.min(8)), &stamp[..index(size.min(8))]);
                        heap.free(off, Some(size)).expect("free");
                    }
                }
            })
        };
        // Joined one by one: the end of the scope alone does not wait for what threads do as they end.
        let threads: Vec<_> = (0..4).map(thread).collect();
        threads.into_iter().for_each(|thread| thread.join().expect("thread"));
    });
    for (off, size, _) in handed_over.into_inner().expect("pool") {
        heap.free(off, Some(size)).expect("free");
    }
    assert_eq!(region.live_bytes(0), 0);
    heap.alloc(64 * MIB, 64).expect("the whole region: nothing is left in a cache");
    region.assert_sound();
}

fn index(value: u64) -> usize {
    usize::try_from(value).expect("index")
}
