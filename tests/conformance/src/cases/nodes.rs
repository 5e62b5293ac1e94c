//! Two nodes: the owner, and a borrower that reads.

use csm::{CoherenceStats, Context, ErrorKind, NodeState, Region, RegionStats};

use super::reader::{clear_up, reclaim, two_nodes};
use crate::fixture::small;
use crate::process::{Inside, Peer};
use crate::table::{assert_empty, assert_sound, open, publish_stamp, read_stamp, stamp_of};
use crate::{Fixture, Outcome, Scratch};

/// What a process that may not change a region is told.
fn assert_reads_only(region: &Region, kind: ErrorKind) {
    assert!(!region.info().expect("info").writable);
    assert_eq!(read_stamp(region, "t"), 6);
    region.wait("t", std::time::Duration::ZERO).expect("there");
    assert_eq!(region.tables().expect("tables").len(), 1);
    assert_sound(region);
    let stats = || RegionStats { coherence: CoherenceStats::default(), ..region.stats().expect("stats") };
    let before = stats();
    let kinds = [
        region.alloc(64, 64).map(drop),
        publish_stamp(region, "t", 10, 1).map(drop),
        publish_stamp(region, "u", 10, 1).map(drop),
        region.remove("t"),
        region.grow(1 << 30),
    ]
    .map(|result| result.expect_err("not a writer").kind());
    assert_eq!(kinds, [kind; 5]);
    assert_eq!(stats(), before);
    // Reading works as before, and its leases are seen.
    let table = open(region, "t").expect("open");
    assert_eq!(region.leases().expect("leases").len(), 1);
    assert_eq!(stamp_of(&table.record_batches().expect("batches")), Ok(6));
}

/// Stores into table "t" of region 0, which is mapped read-only here.
pub(super) fn store_role(inside: &mut Inside) {
    let region = Context::new().expect("context").open(inside.arg(0)).expect("open");
    let batches = open(&region, "t").expect("open table").record_batches().expect("batches");
    let address = batches[0].column(0).to_data().buffers()[0].as_ptr().cast_mut();
    inside.say("storing");
    // SAFETY: none; the page protection must end this process here.
    unsafe { address.write_volatile(1) };
    inside.say("stored");
}

/// A borrower's process died with a lease on a removed table. On one host that is known. Elsewhere its node has to
/// say so, and what the lease protects stays until then, whatever the owner does.
fn assert_returns(scratch: &Scratch<'_>, owner: &Region) {
    reclaim(owner);
    owner.reap().expect("reap");
    if !scratch.fixture.is_one_host() {
        let stats = owner.stats().expect("stats");
        assert_eq!((stats.retired, stats.leases), (1, 1), "{stats:?}");
        assert!(stats.live_bytes > 16_000, "{stats:?}");
        let node = &owner.nodes().expect("nodes")[1];
        assert_eq!((node.node, node.leases, node.retired_kept, node.members), (1, 1, 1, 1), "{node:?}");
        assert!(node.state != NodeState::Fenced, "{node:?}");
        clear_up(scratch, owner, 1);
    }
    let stats = owner.stats().expect("stats");
    assert_eq!((stats.live_bytes, stats.retired), (0, 0), "{stats:?}");
}

pub(super) fn borrower(fixture: &dyn Fixture) -> Outcome {
    two_nodes(fixture)?;
    let scratch = Scratch::new(fixture);
    let owner = scratch.create(&small(2));
    publish_stamp(&owner, "t", 1000, 6).expect("publish");
    drop(owner);
    let borrower = scratch.open("node=1");
    let info = borrower.info().expect("info");
    assert_eq!((info.node, info.owner_node, info.nodes), (1, 0, 2));
    assert_reads_only(&borrower, ErrorKind::NotOwner);
    drop(borrower);
    let mut peer = Peer::start("store", &[&scratch.with("node=1")]);
    peer.await_line("storing");
    peer.finish_by(libc::SIGSEGV);
    let owner = scratch.open("");
    owner.remove("t").expect("remove");
    assert_returns(&scratch, &owner);
    // Where one kernel sees all, the dead borrower's slot is still its node's to clear.
    clear_up(&scratch, &owner, 1);
    drop(owner);
    assert_empty(&scratch.open(""));
    Ok(())
}

pub(super) fn borrower_dies(fixture: &dyn Fixture) -> Outcome {
    two_nodes(fixture)?;
    let scratch = Scratch::new(fixture);
    let owner = scratch.create(&small(2));
    publish_stamp(&owner, "t", 1000, 6).expect("publish");
    let mut reader = Peer::start("lease", &[&scratch.with("node=1"), "t"]);
    reader.await_line("6");
    owner.remove("t").expect("remove");
    let leases = owner.leases().expect("leases");
    assert_eq!(leases.len(), 1);
    let lease = &leases[0];
    assert_eq!((lease.table.as_str(), lease.retired, lease.node, lease.alive), ("t", true, 1, true));
    assert_eq!(lease.pid, u64::from(reader.pid()));
    assert!(owner.stats().expect("stats").region_owned_bytes > 16_000);
    reader.say("look");
    reader.await_line("6");
    reader.kill();
    assert_returns(&scratch, &owner);
    // Its node clears up after it when somebody is there.
    drop(owner);
    let other = scratch.open("node=1");
    assert_eq!(other.members().expect("members").len(), 1);
    assert_empty(&other);
    drop(other);
    assert_empty(&scratch.open(""));
    Ok(())
}

pub(super) fn read_only(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create(&small(2));
    publish_stamp(&region, "t", 1000, 6).expect("publish");
    drop(region);
    let reader = scratch.open("access=ro");
    assert_reads_only(&reader, ErrorKind::ReadOnly);
    drop(reader);
    let mut peer = Peer::start("store", &[&scratch.with("access=ro")]);
    peer.await_line("storing");
    peer.finish_by(libc::SIGSEGV);
    // A reader's lease counts like any other, until it dies.
    let region = scratch.open("");
    let mut reader = Peer::start("lease", &[&scratch.with("access=ro"), "t"]);
    reader.await_line("6");
    region.remove("t").expect("remove");
    assert_eq!(region.stats().expect("stats").retired, 1);
    reader.kill();
    region.reap().expect("reap");
    assert_empty(&region);
    Ok(())
}
