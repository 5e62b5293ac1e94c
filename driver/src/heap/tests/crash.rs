//! A kill at every metadata store, then recovery by another process, itself killed at every store.
//!
//! A child process runs a script of every operation and is killed at its n-th store. The parent finds it dead
//! and does what the rooms above do: reap, then recount from the committed descriptors (kept here in the
//! region's catalog zone, a word an extent). Afterwards everything checks, every committed extent has its
//! bytes, and all else is free.

use super::*;
use crate::hooks;
use crate::region::layout::CATALOG_OFF;

const SLOTS: usize = 8;
const SIZES: [u64; SLOTS] = [64, 64, 5000, 120_000, 200_000, MIB, 128, 300_000];

fn committed(region: &Region) -> &[Word] {
    region.space.words(CATALOG_OFF, SLOTS as u64)
}

fn listed(region: &Region) -> impl Iterator<Item = u64> {
    committed(region).iter().map(|word| word.load()).filter(|&off| off != 0)
}

/// Publishes an extent as the table room does: references first, then the commit word.
fn publish(region: &Region, heap: &Heap, slot: usize, off: u64) {
    region.bytes(off, SIZES[slot]).fill(0x40 + u8::try_from(slot).expect("slot"));
    heap.retain(&[off]).expect("retain");
    committed(region)[slot].store(off);
}

fn unpublish(region: &Region, heap: &Heap, slot: usize) {
    let off = committed(region)[slot].swap(0);
    heap.release(&[off]).expect("release");
}

/// Every operation, with blocks and runs, published and not, kept and freed.
fn script(region: &Region) {
    let heap = region.heap(0);
    let offs: Vec<u64> = SIZES.iter().map(|&size| heap.alloc(size, 64).expect("alloc")).collect();
    offs.iter().take(6).enumerate().for_each(|(slot, &off)| publish(region, &heap, slot, off));
    heap.free(offs[0], None).expect("free a published block");
    heap.free(offs[4], None).expect("free a published run");
    unpublish(region, &heap, 0);
    unpublish(region, &heap, 4);
    unpublish(region, &heap, 1);
    heap.free(offs[1], None).expect("free a block that was published");
    unpublish(region, &heap, 5);
    heap.free(offs[5], None).expect("free a run that was published");
    let run = heap.realloc(offs[7], SIZES[7], 2 * MIB, 64).expect("grow");
    let run = heap.realloc(run, 2 * MIB, 200_000, 64).expect("shrink");
    let run = heap.realloc(run, 200_000, 1000, 64).expect("to a block");
    heap.free(run, None).expect("free");
    // What the parent left behind is adopted and released.
    let adopted: Vec<u64> = (0..300).map(|_| heap.alloc(1024, 64).expect("alloc")).collect();
    adopted.iter().for_each(|&off| heap.free(off, None).expect("free"));
    // A publish that never commits leaves a count too high.
    heap.retain(&[offs[2], offs[6]]).expect("retain");
    heap.free(offs[6], None).expect("free");
    heap.recount(listed(region)).expect("recount");
    heap.free(offs[2], None).expect("free");
    heap.leave().expect("leave");
}

/// Runs `f` in a child that is killed at its `n`-th store, if it makes so many. Says whether it was killed.
fn in_child(n: u64, f: impl FnOnce()) -> bool {
    // SAFETY: the child runs `f`, which needs no other thread, and ends without returning.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork");
    if child == 0 {
        hooks::arm(n);
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
        // SAFETY: ends the child here and now.
        unsafe { libc::_exit(i32::from(ended.is_err())) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    let killed = libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGKILL;
    assert!(killed || status == 0, "the child failed at store {n}: status {status:#x}");
    killed
}

/// A region in which a process left an abandoned span before.
fn prepared() -> (Region, u64) {
    let region = Region::new(16, 16);
    let earlier = region.heap(3);
    let kept = earlier.alloc(1024, 64).expect("alloc");
    earlier.retain(&[kept]).expect("retain");
    committed(&region)[7].store(kept);
    earlier.leave().expect("leave");
    (region, kept)
}

fn recover(region: &Region, heap: &Heap, dead: &[u16]) {
    for &slot in dead {
        region.alive[usize::from(slot)].store(false, Ordering::Relaxed);
    }
    for &slot in dead {
        heap.reap(slot).expect("reap");
    }
    heap.recount(listed(region)).expect("recount");
}

fn check(region: &Region, heap: &Heap, kept: u64, what: &str) {
    let faults = region.faults();
    assert!(faults.is_empty(), "{what}: {faults:#?}");
    let mut owned = 0;
    for (slot, word) in committed(region).iter().enumerate() {
        let off = word.load();
        if off == 0 {
            continue;
        }
        owned += heap.extent_of(off).expect("a committed extent").len;
        let pattern = 0x40 + u8::try_from(slot).expect("slot");
        assert!(off == kept || is_filled(region.bytes(off, SIZES[slot]), pattern), "{what}: slot {slot}");
    }
    let stats = region.stats();
    assert_eq!((stats.live_bytes, stats.region_owned_bytes), (owned, owned), "{what}");
    for word in committed(region) {
        let off = word.swap(0);
        if off != 0 {
            heap.release(&[off]).expect("release");
        }
    }
    let stats = region.stats();
    assert_eq!((stats.live_bytes, stats.used_bytes, stats.largest_free_bytes), (0, 0, 16 * MIB), "{what}");
    assert!(region.faults().is_empty(), "{what}: {:#?}", region.faults());
}

#[test]
fn a_kill_at_every_store_is_recovered() {
    let mut n = 0;
    loop {
        let (region, kept) = prepared();
        let killed = in_child(n, || script(&region));
        let heap = region.heap(1);
        recover(&region, &heap, &[0]);
        check(&region, &heap, kept, &format!("killed at store {n}"));
        if !killed {
            break;
        }
        n += 1;
    }
    assert!(n > 100, "the script makes only {n} stores");
}

#[test]
fn a_kill_at_every_store_of_the_recovery_is_recovered() {
    for n in (0..).step_by(17) {
        let mut killed = false;
        for m in 0.. {
            let (region, kept) = prepared();
            killed = in_child(n, || script(&region));
            region.alive[0].store(false, Ordering::Relaxed);
            let helper_killed = in_child(m, || recover(&region, &region.heap(2), &[0]));
            let heap = region.heap(1);
            recover(&region, &heap, &[0, 2]);
            check(&region, &heap, kept, &format!("killed at store {n}, its recovery at {m}"));
            if !helper_killed {
                break;
            }
        }
        if !killed {
            break;
        }
    }
}
