//! Tables with buffers in two regions.

use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use arrow_array::RecordBatch;
use csm::{Context, ErrorKind, Region};

use crate::fixture::small;
use crate::process::{Inside, Peer};
use crate::table::{assert_empty, assert_sound, open, publish, read_stamp, stamp_of, stamped};
use crate::{Fixture, Outcome, Scratch};

/// A batch whose first two columns lie in `home` and whose third lies in `other`.
fn across(home: &Region, other: &Region, stamp: i64) -> RecordBatch {
    let here = home.copy_in(&stamped(2000, stamp)).expect("copy in");
    let there = other.copy_in(&stamped(2000, stamp)).expect("copy in");
    let columns = vec![here.column(0).clone(), here.column(1).clone(), there.column(2).clone()];
    RecordBatch::try_new(here.schema(), columns).expect("a batch")
}

pub(super) fn two_regions(fixture: &dyn Fixture) -> Outcome {
    let (one, two) = (Scratch::new(fixture), Scratch::new(fixture));
    let (home, other) = (one.create(&small(4)), two.create(&small(4)));
    let batch = across(&home, &other, 4);
    assert_eq!(publish(&home, "t", &[batch], false).expect("publish").bytes_copied, 0);
    // What keeps the buffers in the other region is not a table of it.
    assert_eq!((other.tables().expect("tables").len(), other.stats().expect("stats").tables), (0, 0));
    assert!(other.stats().expect("stats").live_bytes > 2000);
    assert_sound(&home);
    assert_sound(&other);
    assert_eq!(read_stamp(&home, "t"), 4);

    // A reader needs both regions open, and says so.
    let mut reader = Peer::start("lease", &[&one.uri, "t"]);
    reader.await_line("RegionNotFound");
    let mut reader = Peer::start("verify-anchors", &[&one.uri, &two.uri]);
    reader.await_line("4");
    publish(&home, "t", &[across(&home, &other, 5)], true).expect("replace");
    assert_eq!(home.stats().expect("stats").retired, 1);
    reader.say("look");
    reader.await_line("4");
    reader.say("leave");
    reader.finish();
    assert_eq!(home.stats().expect("stats").retired, 0);
    home.remove("t").expect("remove");
    for region in [&home, &other] {
        assert_sound(region);
        assert_eq!(region.stats().expect("stats").live_bytes, 0);
    }
    drop((home, other));
    assert_empty(&one.open(""));
    assert_empty(&two.open(""));
    Ok(())
}

pub(super) fn one_closed(fixture: &dyn Fixture) -> Outcome {
    let (one, two) = (Scratch::new(fixture), Scratch::new(fixture));
    let (home, other) = (one.create(&small(4)), two.create(&small(4)));
    publish(&home, "t", &[across(&home, &other, 4)], false).expect("publish");
    drop((home, other));
    // Removed by somebody who has only one of them: the bytes of the other stay until somebody has both.
    let home = one.open("");
    assert_eq!(open(&home, "t").expect_err("half of it").kind(), ErrorKind::RegionNotFound);
    home.remove("t").expect("remove");
    assert_sound(&home);
    drop(home);
    let other = two.open("");
    assert_sound(&other);
    assert!(other.stats().expect("stats").live_bytes > 2000);
    let home = one.open("");
    assert_sound(&home);
    publish(&home, "u", &[stamped(1, 1)], false).expect("publish");
    home.remove("u").expect("remove");
    assert_sound(&other);
    drop((home, other));
    assert_empty(&one.open(""));
    assert_empty(&two.open(""));
    Ok(())
}

/// Opens both regions and reads table "t" of the first, again when told to look. With a third argument it
/// does not read, but verifies both until told to stop.
pub(super) fn verify_role(inside: &mut Inside) {
    let context = Context::new().expect("context");
    let (home, other) =
        (context.open(inside.arg(0)).expect("open"), context.open(inside.arg(1)).expect("open"));
    if inside.has(2) {
        inside.say("ready");
        let stop = inside.told();
        while !stop.load(Ordering::Relaxed) {
            assert_sound(&other);
            assert_sound(&home);
        }
        return;
    }
    let batches = open(&home, "t").expect("open table").record_batches().expect("batches");
    loop {
        inside.say(stamp_of(&batches).expect("whole"));
        if inside.hear() != "look" {
            break;
        }
    }
}

pub(super) fn verify_while_publishing(fixture: &dyn Fixture) -> Outcome {
    let (one, two) = (Scratch::new(fixture), Scratch::new(fixture));
    // The other region's lock is only tried when anchors are dropped, and the verifier has it most of the time:
    // there is room for every anchor.
    let options = "size=12M&catalog=400&nodes=2&members=8&leases=112";
    let (home, other) = (one.create(options), two.create(options));
    let mut verifier = Peer::start("verify-anchors", &[&one.uri, &two.uri, "verify"]);
    verifier.await_line("ready");
    for stamp in 0..fixture.scaled(1000).min(150).cast_signed() {
        publish(&home, "t", &[across(&home, &other, stamp)], true).expect("publish");
        // Whoever gets memory of the other region now must not get the table's.
        let taken: Vec<NonNull<u8>> = (0..3).map(|_| other.alloc(20_000, 64).expect("room")).collect();
        for ptr in taken {
            // SAFETY: just allocated, 20 000 bytes.
            unsafe {
                ptr.as_ptr().write_bytes(0xee, 20_000);
                other.free(ptr, None).expect("free");
            }
        }
        assert_eq!(read_stamp(&home, "t"), stamp);
    }
    verifier.say("stop");
    verifier.finish();
    home.remove("t").expect("remove");
    drop((home, other));
    assert_empty(&one.open(""));
    assert_empty(&two.open(""));
    Ok(())
}
