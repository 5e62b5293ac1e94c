//! Extents: who may free them, and what becomes of those nobody frees.

use std::ptr::NonNull;

use arrow_array::Array;
use csm::{Context, ErrorKind, PublishOptions, Region};

use crate::fixture::small;
use crate::process::{Inside, Peer};
use crate::table::{assert_empty, open, publish_stamp, read_stamp, stamp_of, stamped};
use crate::{Fixture, Outcome, Scratch, skip};

const SIZES: [u64; 6] = [1, 64, 5000, 100_000, 200_000, 500_000];

pub(super) fn errors(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create(&small(4));
    assert_eq!(region.alloc(0, 64).expect_err("nothing").kind(), ErrorKind::InvalidArgument);
    for align in [0, 3, 4 << 20] {
        assert_eq!(
            region.alloc(64, align).expect_err("alignment").kind(),
            ErrorKind::BadAlignment,
            "{align}"
        );
    }
    let too_much = region.alloc(1 << 40, 64).expect_err("too much");
    assert_eq!(too_much.kind(), ErrorKind::RegionFull);
    for size in SIZES {
        let ptr = region.alloc(size, 4096).expect("alloc");
        assert!(ptr.as_ptr().addr().is_multiple_of(4096) && region.contains(ptr.as_ptr()));
        let inside = NonNull::new(ptr.as_ptr().wrapping_add(128)).expect("not null");
        // SAFETY: each of these must be refused, and nobody uses the extent after it is freed.
        unsafe {
            ptr.as_ptr().write_bytes(0x5a, usize::try_from(size).expect("size"));
            let free = |ptr, size| region.free(ptr, size).map_err(|e| e.kind());
            assert!(
                matches!(free(inside, None), Err(ErrorKind::ForeignPointer | ErrorKind::DoubleFree)),
                "{size}"
            );
            assert_eq!(free(ptr, Some(1 << 30)), Err(ErrorKind::InvalidArgument));
            assert_eq!(free(ptr, Some(size)), Ok(()));
            assert_eq!(free(ptr, Some(size)), Err(ErrorKind::DoubleFree), "{size}");
            assert!(region.realloc(ptr, size, 64, 64).is_err());
        }
    }
    let on_the_heap = Box::new(7u64);
    // SAFETY: must be refused.
    let e = unsafe { region.free(NonNull::from(&*on_the_heap).cast(), None) }.expect_err("not ours");
    assert_eq!(e.kind(), ErrorKind::ForeignPointer);
    drop(region);
    assert_empty(&scratch.open(""));
    Ok(())
}

/// Takes extents of region 0, says their addresses, and stays until told.
pub(super) fn hoard_role(inside: &mut Inside) {
    let region = Context::new().expect("context").open(inside.arg(0)).expect("open");
    let addresses: Vec<String> = SIZES
        .iter()
        .map(|size| (region.alloc(*size, 64).expect("alloc").as_ptr() as u64).to_string())
        .collect();
    inside.say(addresses.join(" "));
    inside.await_line("leave");
}

pub(super) fn of_the_dead(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create(&small(4));
    for killed in [true, false] {
        let mut peer = Peer::start("hoard", &[&scratch.uri]);
        let theirs: Vec<u64> = peer.hear().split(' ').map(|text| text.parse().expect("an address")).collect();
        let live = region.stats().expect("stats").live_bytes;
        assert!(live >= SIZES.iter().sum(), "{live}");
        for address in theirs {
            let ptr = NonNull::new(std::ptr::with_exposed_provenance_mut(
                usize::try_from(address).expect("an address"),
            ));
            // SAFETY: must be refused.
            let e = unsafe { region.free(ptr.expect("not null"), None) }.expect_err("another process's");
            assert_eq!(e.kind(), ErrorKind::ForeignPointer);
        }
        if killed {
            peer.kill();
            let dead: Vec<_> =
                region.members().expect("members").into_iter().filter(|member| !member.alive).collect();
            assert_eq!(dead.len(), 1);
            let reaped = region.reap().expect("reap");
            assert!(reaped.len() == 1 && reaped[0].contains(&dead[0].pid.to_string()), "{reaped:?}");
        } else {
            peer.say("leave");
            peer.finish();
        }
        assert_eq!(region.members().expect("members").len(), 1);
        assert_empty(&region);
    }
    Ok(())
}

/// Publishes with a seal in region 0, removes, and stores to what it gets then.
pub(super) fn reseal_role(inside: &mut Inside) {
    let region = Context::new().expect("context").open(inside.arg(0)).expect("open");
    for stamp in 0..3 {
        let batch = region.copy_in(&stamped(40_000, stamp)).expect("copy in");
        let options = PublishOptions { seal: true, replace: true };
        let published =
            region.publish_record_batches("t", batch.schema(), &[batch], &options).expect("publish");
        assert!(published.bytes_sealed > 600_000, "{published:?}");
        assert_eq!(read_stamp(&region, "t"), stamp);
        region.remove("t").expect("remove");
        for (size, grown) in [(64, 128), (5000, 5100), (100_000, 106_000), (150_000, 3 << 20)] {
            let ptr = region.alloc(size, 64).expect("alloc");
            // SAFETY: just allocated, and grown.
            unsafe {
                ptr.as_ptr().write_bytes(0x77, usize::try_from(size).expect("size"));
                let ptr = region.realloc(ptr, size, grown, 64).expect("grow");
                ptr.as_ptr().write_bytes(0x78, usize::try_from(grown).expect("size"));
                region.free(ptr, Some(grown)).expect("free");
            }
        }
    }
}

/// Whether the pages of this device are small enough for the tables of these cases to have some of their own.
fn seals(region: &Region) -> bool {
    let batch = region.copy_in(&stamped(40_000, 0)).expect("copy in");
    let options = PublishOptions { seal: true, ..PublishOptions::default() };
    let published =
        region.publish_record_batches("seals", batch.schema(), &[batch], &options).expect("publish");
    region.remove("seals").expect("remove");
    published.bytes_sealed > 0
}

/// Pages sealed at publish serve again once the table is gone.
pub(super) fn sealed(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    if !seals(&scratch.create(&small(4))) {
        return skip("pages are larger than a table");
    }
    Peer::start("reseal", &[&scratch.uri]).finish();
    assert_empty(&scratch.open(""));
    Ok(())
}

/// Stores into its own sealed table of region 0.
pub(super) fn store_sealed_role(inside: &mut Inside) {
    let region = Context::new().expect("context").open(inside.arg(0)).expect("open");
    let batch = region.copy_in(&stamped(40_000, 1)).expect("copy in");
    let address = batch.column(0).to_data().buffers()[0].as_ptr().cast_mut();
    let options = PublishOptions { seal: true, ..PublishOptions::default() };
    region.publish_record_batches("t", batch.schema(), &[batch], &options).expect("publish");
    inside.say("storing");
    // SAFETY: none; the seal must end this process here.
    unsafe { address.write_volatile(1) };
    inside.say("stored");
}

pub(super) fn store_sealed(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create(&small(4));
    if !seals(&region) {
        return skip("pages are larger than a table");
    }
    let mut peer = Peer::start("store-sealed", &[&scratch.uri]);
    peer.await_line("storing");
    peer.finish_by(libc::SIGSEGV);
    assert_eq!(read_stamp(&region, "t"), 1);
    Ok(())
}

pub(super) fn closed(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create(&small(2));
    publish_stamp(&region, "t", 1000, 9).expect("publish");
    let ptr = region.alloc(64, 64).expect("alloc");
    let table = open(&region, "t").expect("open");
    let batches = table.record_batches().expect("batches");
    let clone = region.clone();
    region.close();
    let kinds = [
        region.info().map(drop),
        clone.stats().map(drop),
        clone.alloc(64, 64).map(drop),
        clone.tables().map(drop),
        open(&clone, "t").map(drop),
        clone.remove("t"),
        clone.grow(1 << 30),
    ]
    .map(|result| result.expect_err("closed").kind());
    assert_eq!(kinds, [ErrorKind::Closed; 7]);
    // SAFETY: allocated above and not used any more.
    unsafe { clone.free(ptr, Some(64)) }.expect("what was allocated has a way back");
    drop((region, clone));
    // The arrays keep the region: it cannot be destroyed, and opening it shares the mapping.
    assert_eq!(stamp_of(&batches), Ok(9));
    table.check().expect("leased");
    assert_eq!(scratch.context.destroy(&scratch.uri).expect_err("in use").kind(), ErrorKind::InUse);
    let again = scratch.open("");
    again.remove("t").expect("remove");
    assert_eq!(stamp_of(&batches), Ok(9));
    drop((table, batches, again));
    assert_empty(&scratch.open(""));
    Ok(())
}
