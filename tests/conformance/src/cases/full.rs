//! What runs out: names, leases, members, space. Each is an error, and nothing is lost.

use csm::{Context, ErrorKind, Region};

use crate::fixture::small;
use crate::process::{Inside, Peer};
use crate::table::{assert_empty, assert_sound, open, publish_stamp, read_stamp};
use crate::{Fixture, Outcome, Scratch};

pub(super) fn catalog(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create("size=6M&catalog=5&nodes=2&members=8&leases=112");
    let name = |i: i64| format!("t{i}");
    for i in 0..5 {
        publish_stamp(&region, &name(i), 10, i).expect("publish");
    }
    let full = region.stats().expect("stats");
    let e = publish_stamp(&region, "one more", 10, 9).expect_err("full");
    assert!(e.kind() == ErrorKind::CatalogFull && e.message().contains('5'), "{e}");
    assert_eq!(region.stats().expect("stats").live_bytes, full.live_bytes, "nothing of it stays");
    publish_stamp(&region, "t3", 10, 33).expect("replacing needs no room");
    // Every entry is used again and again, removed ones included.
    for round in 0..50 {
        let i = round % 5;
        region.remove(&name(i)).expect("remove");
        assert_eq!(open(&region, &name(i)).expect_err("removed").kind(), ErrorKind::NameNotFound);
        publish_stamp(&region, &name(i), 10, round).expect("publish");
        assert_eq!(
            publish_stamp(&region, "one more", 10, 9).expect_err("full").kind(),
            ErrorKind::CatalogFull
        );
    }
    assert_eq!(region.tables().expect("tables").len(), 5);
    (0..5).for_each(|i| region.remove(&name(i)).expect("remove"));
    assert_eq!(region.remove("t0").expect_err("removed").kind(), ErrorKind::NameNotFound);
    drop(region);
    assert_empty(&scratch.open(""));
    Ok(())
}

pub(super) fn leases(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    // One block: the first process that reads has it.
    let region = scratch.create("size=6M&catalog=8&nodes=2&members=8&leases=56");
    publish_stamp(&region, "t", 10, 1).expect("publish");
    let mut other = Peer::start("lease", &[&scratch.uri, "t"]);
    other.await_line("1");
    let e = open(&region, "t").expect_err("no lease left");
    assert!(e.kind() == ErrorKind::LeasesFull && e.message().contains("56"), "{e}");
    other.kill();
    region.reap().expect("reap");
    let mut tables: Vec<_> =
        (0..56).map(|i| open(&region, "t").unwrap_or_else(|e| panic!("lease {i}: {e}"))).collect();
    assert_eq!(open(&region, "t").expect_err("all taken").kind(), ErrorKind::LeasesFull);
    assert_eq!(region.stats().expect("stats").leases, 56);
    tables.truncate(55);
    tables.push(open(&region, "t").expect("one is free"));
    publish_stamp(&region, "t", 10, 2).expect("publishing needs none");
    drop(tables);
    assert_eq!(read_stamp(&region, "t"), 2);
    assert_eq!(region.stats().expect("stats").retired, 0);
    Ok(())
}

pub(super) fn members(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create("size=6M&catalog=8&nodes=2&members=2&leases=112");
    let mut second = Peer::start("open", &[&scratch.uri]);
    assert!(!second.hear().contains("Full"));
    let mut third = Peer::start("open", &[&scratch.uri]);
    let said = third.hear();
    assert!(said.starts_with("MembersFull") && said.contains('2'), "{said}");
    third.finish();
    // Slots are a node's own.
    if fixture.nodes() > 1 {
        let mut borrower = Peer::start("open", &[&scratch.with("node=1")]);
        assert!(!borrower.hear().contains("Full"));
        borrower.say("leave");
        borrower.finish();
    }
    second.kill();
    // The dead makes room without anybody's doing.
    let mut fourth = Peer::start("open", &[&scratch.uri]);
    let said = fourth.hear();
    assert!(!said.contains("Full"), "{said}");
    fourth.say("leave");
    fourth.finish();
    assert_empty(&region);
    Ok(())
}

pub(super) fn all_dead(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    drop(scratch.create("size=8M&catalog=8&nodes=2&members=1&leases=112"));
    for stamp in 1..4 {
        let mut publisher = Peer::start("publish", &[&scratch.uri, &format!("t{stamp}"), &stamp.to_string()]);
        publisher.hear();
        publisher.kill();
        let mut hoarder = Peer::start("hoard", &[&scratch.uri]);
        hoarder.hear();
        hoarder.kill();
    }
    let region = scratch.open("");
    assert_sound(&region);
    for stamp in 1..4 {
        assert_eq!(read_stamp(&region, &format!("t{stamp}")), stamp);
        region.remove(&format!("t{stamp}")).expect("remove");
    }
    assert_empty(&region);
    Ok(())
}

/// Allocates in steps of `size` until the region is full.
fn fill(region: &Region, size: u64) -> u64 {
    let mut count = 0;
    loop {
        match region.alloc(size, 64) {
            Ok(_) => count += 1,
            Err(e) if e.kind() == ErrorKind::RegionFull => return count,
            Err(e) => panic!("{e}"),
        }
    }
}

/// Fills region 0 and stays until told.
pub(super) fn fill_role(inside: &mut Inside) {
    let region = Context::new().expect("context").open(inside.arg(0)).expect("open");
    inside.say(fill(&region, 65_536) + fill(&region, 128));
    inside.await_line("leave");
}

pub(super) fn region(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create(&small(4));
    // The memory of the dead.
    let mut filler = Peer::start("fill", &[&scratch.uri]);
    assert!(filler.hear().parse::<u64>().expect("a number") > 50);
    let e = region.alloc(65_536, 64).expect_err("full");
    assert!(e.kind() == ErrorKind::RegionFull && e.message().contains("MiB"), "{e}");
    let e = publish_stamp(&region, "t", 10, 1).expect_err("full");
    assert_eq!(e.kind(), ErrorKind::RegionFull);
    filler.kill();
    let ptr = region.alloc(3 << 20, 64).expect("the dead had it");
    // SAFETY: just allocated.
    unsafe { region.free(ptr, None) }.expect("free");
    assert_empty(&region);

    // What only a reader kept.
    publish_stamp(&region, "big", 60_000, 1).expect("publish");
    let mut reader = Peer::start("lease", &[&scratch.uri, "big"]);
    reader.await_line("1");
    region.remove("big").expect("remove");
    assert_eq!(region.alloc(3 << 20, 64).expect_err("kept").kind(), ErrorKind::RegionFull);
    reader.say("look");
    reader.await_line("1");
    reader.kill();
    region.alloc(3 << 20, 64).expect("nobody reads it any more");
    drop(region);
    assert_empty(&scratch.open(""));
    Ok(())
}
