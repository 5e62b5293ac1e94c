//! Memory that goes away while it is mapped: a file that is truncated, or a link that fails after so many lines.

use csm::{Context, ErrorKind, Region};

use super::damage::file_of;
use crate::fixture::small;
use crate::process::{Inside, Peer};
use crate::table::{assert_empty, open, publish, publish_stamp, read_stamp, stamp_of, stamped};
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
    if !scratch.fixture.makes_windows() {
        return Err(crate::Skipped("a window keeps its length".to_owned()));
    }
    let mut peer = Peer::start("lost", &[&scratch.uri, how]);
    peer.await_line("ready");
    file.set_len(4096).expect("truncate");
    peer.say("lost");
    Ok(peer)
}

/// Everything a reader does, batch by batch: what it sees is right, or there is an error.
fn read_all(region: &Region) -> csm::Result<()> {
    region.info()?;
    assert_eq!(region.tables()?.len(), 1);
    let table = open(region, "t")?;
    assert_eq!(table.batches(), usize::try_from(BATCHES).expect("small"));
    for (i, batch) in table.reader()?.enumerate() {
        let batch = batch.map_err(|e| match e {
            arrow_schema::ArrowError::ExternalError(e) => *e.downcast::<csm::Error>().expect("ours"),
            e => panic!("batch {i}: {e}"),
        })?;
        assert_eq!(stamp_of(&[batch]), Ok(7), "batch {i}");
    }
    table.check()?;
    region.stats().map(drop)
}

const BATCHES: u64 = 4;

/// Reads on a link that fails after `lines` lines: every error says so, and so does every call after it. True if it
/// failed.
fn read_until_lost(scratch: &Scratch<'_>, node: u64, lines: u64) -> bool {
    let assert_lost =
        |e: &csm::Error| assert_eq!(e.kind(), ErrorKind::RegionLost, "after {lines} lines: {e}");
    let region = match scratch.try_open(&format!("node={node}&loss={lines}")) {
        Ok(region) => region,
        Err(e) => {
            assert_lost(&e);
            return true;
        }
    };
    let Err(e) = read_all(&region) else { return false };
    assert_lost(&e);
    for result in [
        region.info().map(drop),
        region.stats().map(drop),
        region.members().map(drop),
        region.leases().map(drop),
        region.nodes().map(drop),
        region.alloc(64, 64).map(drop),
        region.tables().map(drop),
        open(&region, "t").map(drop),
        publish_stamp(&region, "u", 10, 1).map(drop),
        region.verify().map(drop),
    ] {
        assert_lost(&result.expect_err("the link is lost"));
    }
    true
}

/// The link fails at each line in turn, for a reader of each node.
fn link_fails(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let owner = scratch.create(&small(2));
    let batches: Vec<_> = (0..BATCHES).map(|_| stamped(20, 7)).collect();
    publish(&owner, "t", &batches, false).expect("publish");
    let report = owner.info().expect("info").coherence;
    drop(owner);
    for (node, moves) in [(0, report.writer_writes_back.owner), (1, report.reader_invalidates.borrower)] {
        let lost = (0..).take_while(|lines| read_until_lost(&scratch, node, *lines)).count();
        assert!(if moves { lost > 10 } else { lost == 0 }, "lost {lost} times, node {node}");
    }
    // The next lease of the node takes the place of those that could not be given back.
    let borrower = scratch.open("node=1");
    assert_eq!(read_stamp(&borrower, "t"), 7);
    drop(borrower);
    let owner = scratch.open("");
    owner.remove("t").expect("remove");
    drop(owner);
    assert_empty(&scratch.open(""));
    Ok(())
}

/// The link fails at each line that publishing moves: what was published is whole for others, what was not is not
/// there.
pub(super) fn publisher(fixture: &dyn Fixture) -> Outcome {
    for lines in 0.. {
        let scratch = Scratch::new(fixture);
        let region = scratch.create(&small(2));
        publish_stamp(&region, "t", 50, 1).expect("publish");
        let owner_caches = region.info().expect("info").coherence.writer_writes_back.owner;
        drop(region);
        if !scratch.has("loss") {
            assert_eq!(scratch.try_open("loss=1").expect_err("an option").kind(), ErrorKind::BadUri);
            return Ok(());
        }
        let published = scratch
            .try_open(&format!("loss={lines}"))
            .and_then(|region| publish_stamp(&region, "t", 50, 2).and_then(|_| region.info()));
        let borrower = scratch.open("node=1");
        let seen = read_stamp(&borrower, "t");
        match published {
            Ok(_) => {
                assert_eq!(seen, 2);
                assert!(if owner_caches { lines > 10 } else { lines == 0 }, "{lines} lines");
                return Ok(());
            }
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::RegionLost, "after {lines} lines: {e}");
                assert!([1, 2].contains(&seen), "after {lines} lines: {seen}");
            }
        }
    }
    unreachable!("it ends with the lines")
}

pub(super) fn survived(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    if scratch.has("loss") {
        return link_fails(fixture);
    }
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
