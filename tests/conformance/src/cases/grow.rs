//! Growing.

use csm::{Context, ErrorKind};

use crate::process::{Inside, Peer};
use crate::table::{assert_empty, assert_sound, publish, read_stamp, stamped};
use crate::{Fixture, Outcome, Scratch, skip};

const START: &str = "size=6M&max=64M&catalog=8&nodes=2&members=8&leases=112";

/// Has region 0 open while it grows: says its size, then what it can do in the new part.
pub(super) fn role(inside: &mut Inside) {
    let region = Context::new().expect("context").open(inside.arg(0)).expect("open");
    inside.say(region.info().expect("info").size_bytes);
    inside.await_line("grown");
    inside.say(region.info().expect("info").size_bytes);
    inside.say(read_stamp(&region, "t"));
    if region.info().expect("info").writable {
        let batch = region.copy_in(&stamped(200_000, 2)).expect("room");
        publish(&region, "theirs", &[batch], false).expect("publish");
    }
    inside.say("done");
    inside.await_line("leave");
}

pub(super) fn seen(fixture: &dyn Fixture) -> Outcome {
    if !fixture.grows() {
        return skip("regions of this device do not grow");
    }
    let scratch = Scratch::new(fixture);
    let region = scratch.create(START);
    let mut uris = vec![scratch.uri.clone()];
    if fixture.nodes() > 1 {
        uris.push(scratch.with("node=1"));
    }
    let mut others: Vec<Peer> = uris.iter().map(|uri| Peer::start("watch-growth", &[uri])).collect();
    for other in &mut others {
        other.await_line(&(6u64 << 20).to_string());
    }
    assert_eq!(region.alloc(8 << 20, 64).expect_err("not yet").kind(), ErrorKind::RegionFull);
    region.grow(48 << 20).expect("grow");
    let stats = region.stats().expect("stats");
    assert_eq!((stats.size_bytes, stats.free_bytes), (48 << 20, stats.data_bytes));
    assert_eq!(stats.largest_free_bytes, stats.data_bytes);
    let batch = region.copy_in(&stamped(200_000, 1)).expect("room");
    publish(&region, "t", &[batch], false).expect("publish");
    for other in &mut others {
        other.say("grown");
        other.await_line(&(48u64 << 20).to_string());
        other.await_line("1");
        other.await_line("done");
    }
    assert_eq!(read_stamp(&region, "theirs"), 2);
    assert_sound(&region);
    for mut other in others {
        other.say("leave");
        other.finish();
    }
    // As it was created is how it is named.
    drop(region);
    let region = scratch.open(START);
    assert_eq!(region.info().expect("info").size_bytes, 48 << 20);
    region.grow(64 << 20).expect("grow to the limit");
    region.remove("t").expect("remove");
    region.remove("theirs").expect("remove");
    drop(region);
    assert_empty(&scratch.open(""));
    Ok(())
}

pub(super) fn limits(fixture: &dyn Fixture) -> Outcome {
    if !fixture.grows() {
        return skip("regions of this device do not grow");
    }
    let scratch = Scratch::new(fixture);
    let region = scratch.create(START);
    for size in [0, 4 << 20, 6 << 20, (8 << 20) + 4096, 66 << 20, u64::MAX] {
        assert_eq!(region.grow(size).expect_err("no size").kind(), ErrorKind::BadSize, "{size}");
    }
    assert_eq!(region.info().expect("info").size_bytes, 6 << 20);
    drop(region);
    let fixed = Scratch::new(fixture);
    let region = fixed.create("size=6M&catalog=8&nodes=2&members=8&leases=112");
    assert_eq!(region.grow(8 << 20).expect_err("no max").kind(), ErrorKind::BadSize);
    Ok(())
}
