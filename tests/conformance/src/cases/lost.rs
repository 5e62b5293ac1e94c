//! Memory that goes away while it is mapped.

use csm::{Context, ErrorKind};

use super::damage::file_of;
use crate::fixture::small;
use crate::process::{Inside, Peer};
use crate::table::{open, publish_stamp, stamp_of};
use crate::{Fixture, Outcome, Scratch};

/// Opens region 0 and a table, and reads it before and after the memory is gone; survives if argument 1 says so.
pub(super) fn role(inside: &mut Inside) {
    let context =
        if inside.arg(1) == "survive" { Scratch::surviving() } else { Context::new().expect("context") };
    let region = context.open(inside.arg(0)).expect("open");
    let table = open(&region, "t").expect("open table");
    let batches = table.record_batches().expect("batches");
    stamp_of(&batches).expect("whole");
    inside.say("ready");
    inside.await_line("lost");
    // The fault is here: what is read is zeroes, and from then on every call says that they are worth nothing.
    let _ = stamp_of(&batches);
    let kinds = [
        region.info().map(drop),
        region.stats().map(drop),
        region.alloc(64, 64).map(drop),
        region.tables().map(drop),
        open(&region, "t").map(drop),
        publish_stamp(&region, "u", 10, 1).map(drop),
        region.verify().map(drop),
        table.check(),
        table.validate(),
        table.is_current().map(drop),
    ]
    .map(|result| result.expect_err("the region is lost").kind());
    assert_eq!(kinds, [ErrorKind::RegionLost; 10]);
    drop((batches, table, region));
    // The address is free again.
    assert_ne!(context.open(inside.arg(0)).expect_err("truncated").kind(), ErrorKind::AddressTaken);
    inside.say("survived");
}

fn lose(scratch: &Scratch<'_>, how: &str) -> Result<Peer, crate::Skipped> {
    let region = scratch.create(&small(2));
    publish_stamp(&region, "t", 5000, 7).expect("publish");
    drop(region);
    let (_, file) = file_of(scratch)?;
    let mut peer = Peer::start("lost", &[&scratch.uri, how]);
    peer.await_line("ready");
    file.set_len(4096).expect("truncate");
    peer.say("lost");
    Ok(peer)
}

pub(super) fn survived(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let mut peer = lose(&scratch, "survive")?;
    peer.await_line("survived");
    peer.finish();
    Ok(())
}

pub(super) fn not_survived(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    lose(&scratch, "die")?.finish_by(libc::SIGBUS);
    Ok(())
}
