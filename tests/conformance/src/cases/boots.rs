//! A node that starts anew: its leases end with its former life, and what its caches held is lost.
//!
//! One host's start cannot be played here; a simulated node's is an option.

use csm::ErrorKind;

use super::reader::{Reader, reclaim, two_nodes};
use crate::fixture::small;
use crate::table::{assert_empty, publish_stamp, read_stamp};
use crate::{Fixture, Outcome, Scratch};

/// Where nodes are not started anew by an option: a host starts anew with everything on it.
fn no_such_option(scratch: &Scratch<'_>) -> Outcome {
    assert_eq!(scratch.try_open("node=1&boot=2").expect_err("an option").kind(), ErrorKind::BadUri);
    Ok(())
}

pub(super) fn borrower(fixture: &dyn Fixture) -> Outcome {
    two_nodes(fixture)?;
    let scratch = Scratch::new(fixture);
    let owner = scratch.create(&small(2));
    publish_stamp(&owner, "t", 1000, 1).expect("publish");
    let (first, second) = (scratch.with("node=1"), scratch.with("node=1&boot=2"));
    if !scratch.has("boot") {
        return no_such_option(&scratch);
    }
    let mut readers = [Reader::start(&first), Reader::start(&first)];
    for reader in &mut readers {
        reader.expect("open t", "Ok");
        reader.expect("read", "1");
    }
    let refused = Reader::refused(&second);
    assert!(refused.starts_with("InUse") && refused.contains("boot="), "{refused}");
    publish_stamp(&owner, "t", 1000, 2).expect("replace");
    let [one, two] = readers;
    one.0.kill();
    let refused = Reader::refused(&second);
    assert!(refused.starts_with("InUse"), "one of two is left: {refused}");
    two.0.kill();
    let before = owner.nodes().expect("nodes").remove(1);
    assert_eq!((before.leases, before.retired_kept), (2, 1), "{before:?}");

    let mut reader = Reader::start(&second);
    let after = owner.nodes().expect("nodes").remove(1);
    assert_eq!((after.leases, after.retired_kept), (0, 0), "the former life's are gone: {after:?}");
    assert!(after.incarnation > before.incarnation, "{after:?}");
    reclaim(&owner);
    assert_eq!(owner.stats().expect("stats").retired, 0);
    // And the new life's count.
    reader.expect("open t", "Ok");
    owner.remove("t").expect("remove");
    let node = owner.nodes().expect("nodes").remove(1);
    assert_eq!((node.leases, node.retired_kept), (1, 1), "{node:?}");
    super::fenced::scribble(&owner);
    reader.expect("read", "2");
    reader.expect("check", "Ok");
    // Without the option it is the start that it is.
    let mut beside = Reader::start(&first);
    beside.expect("open t", "NameNotFound");
    beside.leave();
    reader.leave();
    reclaim(&owner);
    drop(owner);
    assert_empty(&scratch.open(""));
    Ok(())
}

pub(super) fn owner(fixture: &dyn Fixture) -> Outcome {
    two_nodes(fixture)?;
    let scratch = Scratch::new(fixture);
    let owner = scratch.create(&small(2));
    if !scratch.has("boot") {
        return no_such_option(&scratch);
    }
    publish_stamp(&owner, "t", 1000, 1).expect("publish");
    let anew = scratch.with("node=0&boot=2");
    let refused = Reader::refused(&anew);
    assert!(refused.starts_with("InUse") && refused.contains("boot="), "{refused}");
    assert_eq!(read_stamp(&owner, "t"), 1);
    drop(owner);
    // What was in its caches alone is gone, whatever that was.
    let refused = Reader::refused(&anew);
    assert!(refused.starts_with("RegionLost") && refused.contains("destroy the region"), "{refused}");
    assert_eq!(scratch.try_open("").expect_err("it stays so").kind(), ErrorKind::RegionLost);
    scratch.context.destroy(&scratch.uri).expect("destroy");
    assert_empty(&scratch.create(&small(2)));
    Ok(())
}
