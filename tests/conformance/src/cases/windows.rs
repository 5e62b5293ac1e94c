//! Windows that are there already: what they held before is not lost by mistake, and never taken for this region's.

use std::os::unix::fs::FileExt;

use csm::ErrorKind;

use super::damage::file_of;
use super::reader::{Reader, clear_up, two_nodes};
use crate::fixture::small;
use crate::table::{publish_stamp, read_stamp};
use crate::{Fixture, Outcome, Scratch, skip};

fn window(fixture: &dyn Fixture) -> Outcome {
    if fixture.makes_windows() { skip("every region has a new window") } else { Ok(()) }
}

pub(super) fn not_lost(fixture: &dyn Fixture) -> Outcome {
    window(fixture)?;
    let scratch = Scratch::new(fixture);
    let (_, file) = file_of(&scratch)?;
    file.write_all_at(b"a letter", 1000).expect("write");
    let e = scratch.try_create(&small(2)).expect_err("there is something");
    assert!(e.kind() == ErrorKind::InvalidArgument && e.message().contains("overwrite=yes"), "{e}");
    assert_eq!(scratch.try_open("").expect_err("no region").kind(), ErrorKind::NotARegion);
    assert_eq!(scratch.context.destroy(&scratch.uri).expect_err("no region").kind(), ErrorKind::NotARegion);
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, 1000).expect("read");
    assert_eq!(&bytes, b"a letter");
    drop(scratch.create(&format!("{}&overwrite=yes", small(2))));
    let e = scratch.try_create(&format!("{}&overwrite=yes", small(2))).expect_err("a region is never lost");
    assert_eq!(e.kind(), ErrorKind::RegionExists);
    Ok(())
}

/// A file without a mark in its name that is no region is somebody's data.
pub(super) fn not_destroyed(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let Some(path) = scratch.uri.strip_prefix("file:").and_then(|rest| rest.split('?').next()) else {
        return skip("its names are regions' alone");
    };
    std::fs::write(path, vec![b'x'; 8 << 20]).expect("write");
    let e = scratch.context.destroy(&scratch.uri).expect_err("no region");
    assert_eq!(e.kind(), ErrorKind::NotARegion, "{e}");
    let e = scratch.try_create(&small(2)).expect_err("there is something");
    assert!(!e.message().contains("csm destroy"), "{e}");
    assert_eq!(std::fs::metadata(path).expect("still there").len(), 8 << 20);
    std::fs::remove_file(path).expect("remove");
    let missing = format!("file:/dev/csm-no-such-device?{}", small(2));
    let e = scratch.context.create(&missing).expect_err("no such device");
    assert!(e.kind() == ErrorKind::RegionNotFound && e.message().contains("driver"), "{e}");
    Ok(())
}

/// The two uses of a file do not see each other's processes, so one is never taken for the other.
pub(super) fn other_use(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let Some(path) = scratch.uri.strip_prefix("file:").and_then(|rest| rest.split('?').next()) else {
        return skip("a file alone has two uses");
    };
    drop(scratch.create(&small(2)));
    let (other, advice) = if fixture.makes_windows() {
        (format!("file:{path}?fixed=yes"), "leave fixed=yes out")
    } else {
        (format!("file:{path}"), "add fixed=yes")
    };
    for e in [
        scratch.context.open(&other).map(drop).expect_err("the other use"),
        scratch.context.destroy(&other).expect_err("the other use"),
    ] {
        assert!(e.kind() == ErrorKind::OptionMismatch && e.message().contains(advice), "{e}");
    }
    drop(scratch.open(""));
    Ok(())
}

pub(super) fn parts(fixture: &dyn Fixture) -> Outcome {
    window(fixture)?;
    let scratch = Scratch::new(fixture);
    for (options, kind, part) in [
        ("off=1", ErrorKind::BadAlignment, "off=1"),
        ("off=1T", ErrorKind::BadSize, "reach beyond"),
        ("len=1T", ErrorKind::BadSize, "reach beyond"),
        ("off=much", ErrorKind::BadSize, "off"),
        ("len=4097", ErrorKind::BadAlignment, "len=4097"),
        ("overwrite=perhaps", ErrorKind::InvalidArgument, "overwrite"),
    ] {
        if options.split('=').next().is_some_and(|option| scratch.uri.contains(&format!("{option}="))) {
            continue;
        }
        let e = scratch.try_create(&format!("{}&{options}", small(2))).expect_err(options);
        assert!(e.kind() == kind && e.message().contains(part), "{options}: {e:?}");
    }
    let e = scratch.try_create("size=32G").expect_err("longer than the window");
    assert!(e.kind() == ErrorKind::NoMemory && e.message().contains("32.0 GiB"), "{e}");
    Ok(())
}

/// What a node's caches had of a former region comes home in this one's time: its zone says whose it is.
pub(super) fn former_life(fixture: &dyn Fixture) -> Outcome {
    two_nodes(fixture)?;
    window(fixture)?;
    let scratch = Scratch::new(fixture);
    let (_, file) = file_of(&scratch)?;
    let owner = scratch.create(&small(2));
    publish_stamp(&owner, "t", 1000, 1).expect("publish");
    let mut reader = Reader::start(&scratch.with("node=1"));
    reader.expect("open t", "Ok");
    reader.expect("read", "1");
    let metadata = usize::try_from(owner.info().expect("info").metadata_bytes).expect("small");
    let mut before = vec![0; metadata];
    file.read_exact_at(&mut before, 0).expect("read");
    let e = scratch.context.destroy(&scratch.uri).expect_err("in use");
    assert_eq!(e.kind(), ErrorKind::InUse);
    reader.leave();
    drop(owner);
    scratch.context.destroy(&scratch.uri).expect("destroy");

    let owner = scratch.create(&small(2));
    publish_stamp(&owner, "t", 1000, 2).expect("publish");
    // Node 1's zone as it was: leases, members, an incarnation. Its offset is where the two lives differ from the owner's part.
    let zones = metadata / 2;
    let mut now = vec![0; metadata];
    file.read_exact_at(&mut now, 0).expect("read");
    let stride = 64 << 10;
    let node_1 = (zones..metadata).step_by(stride).find(|off| {
        before[*off..off + stride] != now[*off..off + stride]
            && now[*off..off + stride].iter().all(|byte| *byte == 0)
    });
    let node_1 = node_1.expect("the zone of node 1 is empty now and was not");
    file.write_all_at(&before[node_1..node_1 + stride], node_1 as u64).expect("write");
    let nodes: Vec<u64> = owner.nodes().expect("nodes").iter().map(|node| node.node).collect();
    assert_eq!(nodes, [0], "node 1 was never here");
    assert_eq!(owner.members().expect("members").len(), 1);
    assert!(owner.leases().expect("leases").is_empty());
    publish_stamp(&owner, "t", 1000, 3).expect("replace");
    assert_eq!(owner.stats().expect("stats").retired, 0, "nobody reads the replaced one");
    // And node 1 begins with empty leases.
    let mut reader = Reader::start(&scratch.with("node=1"));
    assert!(owner.leases().expect("leases").is_empty());
    reader.expect("open t", "Ok");
    reader.expect("read", "3");
    assert_eq!(owner.leases().expect("leases").len(), 1);
    reader.leave();
    clear_up(&scratch, &owner, 1);
    assert_eq!(read_stamp(&owner, "t"), 3);
    Ok(())
}
