//! A node that an operator declares off: what its leases kept is used anew, and it learns that it was.

use csm::{ErrorKind, NodeInfo, NodeState, Region};

use super::reader::{Reader, two_nodes};
use crate::fixture::small;
use crate::table::{assert_empty, publish_stamp};
use crate::{Fixture, Outcome, Scratch};

/// What `owner` knows of node 1.
fn node_1(owner: &Region) -> NodeInfo {
    owner.nodes().expect("nodes").into_iter().find(|node| node.node == 1).expect("it was there")
}

/// Writes over everything that is free.
pub(super) fn scribble(region: &Region) {
    let mut taken = Vec::new();
    for size in [1 << 20, 64 << 10, 4096, 128] {
        while let Ok(ptr) = region.alloc(size, 64) {
            // SAFETY: just allocated.
            unsafe { ptr.as_ptr().write_bytes(0xee, usize::try_from(size).expect("size")) };
            taken.push((ptr, size));
        }
    }
    for (ptr, size) in taken {
        // SAFETY: allocated above.
        unsafe { region.free(ptr, Some(size)) }.expect("free");
    }
}

pub(super) fn node(fixture: &dyn Fixture) -> Outcome {
    two_nodes(fixture)?;
    let scratch = Scratch::new(fixture);
    let owner = scratch.create(&small(2));
    let borrower = scratch.with("node=1");
    publish_stamp(&owner, "t", 1000, 1).expect("publish");
    let one = owner.stats().expect("stats").live_bytes;
    let mut reader = Reader::start(&borrower);
    reader.expect("open t", "Ok");
    reader.expect("read", "1");
    publish_stamp(&owner, "t", 1000, 2).expect("replace");
    let before = node_1(&owner);
    assert_eq!((before.state, before.leases, before.retired_kept), (NodeState::Present, 1, 1), "{before:?}");
    assert_eq!(owner.stats().expect("stats").retired, 1);

    owner.fence_node(1).expect("fence");
    let stats = owner.stats().expect("stats");
    assert_eq!((stats.retired, stats.live_bytes), (0, one), "the memory is back: {stats:?}");
    let after = node_1(&owner);
    assert_eq!((after.state, after.leases, after.retired_kept), (NodeState::Fenced, 0, 0), "{after:?}");
    assert_eq!(after.incarnation, before.incarnation);
    scribble(&owner);

    // The node was not off. It learns that it was taken for it, whatever it does.
    reader.expect("check", "Fenced");
    reader.expect("open t", "Fenced");
    let second = Reader::refused(&borrower);
    assert!(second.starts_with("Fenced") && second.contains("csm stat"), "{second}");
    // To fence it again changes nothing.
    owner.fence_node(1).expect("fence");
    reader.expect("open t", "Fenced");
    reader.leave();

    // With its last process gone it begins anew, and its leases count.
    let mut reader = Reader::start(&borrower);
    reader.expect("open t", "Ok");
    reader.expect("read", "2");
    reader.expect("check", "Ok");
    let anew = node_1(&owner);
    assert_eq!((anew.state, anew.leases), (NodeState::Present, 1), "{anew:?}");
    assert!(anew.incarnation > before.incarnation, "{anew:?}");
    owner.remove("t").expect("remove");
    assert_eq!(owner.stats().expect("stats").retired, 1);
    scribble(&owner);
    reader.expect("read", "2");
    reader.expect("check", "Ok");
    // Fenced as its second incarnation, with its process killed: nothing is in the way of the third.
    owner.fence_node(1).expect("fence");
    assert_eq!(owner.stats().expect("stats").retired, 0);
    reader.0.kill();
    publish_stamp(&owner, "t", 10, 3).expect("publish");
    let mut reader = Reader::start(&borrower);
    reader.expect("open t", "Ok");
    reader.expect("read", "3");
    reader.expect("check", "Ok");
    reader.leave();
    owner.remove("t").expect("remove");
    drop(owner);
    assert_empty(&scratch.open(""));
    Ok(())
}

pub(super) fn refusals(fixture: &dyn Fixture) -> Outcome {
    two_nodes(fixture)?;
    let scratch = Scratch::new(fixture);
    let owner = scratch.create("size=6M&catalog=8&nodes=3&members=8&leases=112");
    Reader::start(&scratch.with("node=1")).leave();
    for (node, what) in [(0, "owner"), (2, "never"), (3, "0 to 2"), (u64::MAX, "0 to 2")] {
        let e = owner.fence_node(node).expect_err(what);
        assert!(e.kind() == ErrorKind::InvalidArgument && e.message().contains(what), "node {node}: {e}");
    }
    drop(owner);
    for (options, kind) in [("node=1", ErrorKind::NotOwner), ("access=ro", ErrorKind::ReadOnly)] {
        let region = scratch.open(options);
        assert_eq!(region.fence_node(1).expect_err(options).kind(), kind);
        // Nothing came of it.
        assert_eq!(node_1(&region).state, NodeState::Present);
    }
    Ok(())
}
