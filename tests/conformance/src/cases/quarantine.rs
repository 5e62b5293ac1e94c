//! A node that falls silent: what it leased is kept, and it is right when the node comes back.

use std::time::{Duration, Instant};

use csm::{NodeInfo, NodeState, Region};

use super::fenced::scribble;
use super::reader::{Reader, reclaim, two_nodes};
use crate::fixture::small;
use crate::process::DEADLINE;
use crate::table::{assert_empty, assert_sound, publish_stamp};
use crate::{Fixture, Outcome, Scratch};

/// Waits until `owner` says that of node 1.
fn await_state(owner: &Region, state: NodeState) -> NodeInfo {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let node =
            owner.nodes().expect("nodes").into_iter().find(|node| node.node == 1).expect("it was there");
        if node.state == state {
            return node;
        }
        assert!(Instant::now() < deadline, "not {state:?}: {node:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(super) fn silent(fixture: &dyn Fixture) -> Outcome {
    two_nodes(fixture)?;
    let scratch = Scratch::new(fixture);
    let owner = scratch.create(&small(2));
    publish_stamp(&owner, "t", 1000, 1).expect("publish");
    let mut reader = Reader::start(&scratch.with("node=1"));
    reader.expect("open t", "Ok");
    publish_stamp(&owner, "t", 1000, 2).expect("replace");
    reader.0.signal(libc::SIGSTOP);
    if fixture.is_one_host() {
        // The kernel knows that it lives; no sign of life is needed, and none is missing.
        let node = await_state(&owner, NodeState::Present);
        assert_eq!((node.silent_ns, node.leases), (0, 1), "{node:?}");
    } else {
        let node = await_state(&owner, NodeState::Silent);
        assert!(node.silent_ns >= 5_000_000_000, "{node:?}");
        assert_eq!((node.leases, node.retired_kept, node.members), (1, 1, 1), "{node:?}");
    }
    // Silence is no proof: whatever the owner does, what the node leased stays.
    for _ in 0..3 {
        reclaim(&owner);
        owner.reap().expect("reap");
        scribble(&owner);
    }
    assert_sound(&owner);
    assert_eq!(owner.stats().expect("stats").retired, 1);
    reader.0.signal(libc::SIGCONT);
    reader.expect("read", "1");
    reader.expect("check", "Ok");
    let node = await_state(&owner, NodeState::Present);
    assert_eq!((node.leases, node.retired_kept), (1, 1), "{node:?}");
    reader.expect("drop", "Ok");
    reader.leave();
    owner.remove("t").expect("remove");
    drop(owner);
    assert_empty(&scratch.open(""));
    Ok(())
}
