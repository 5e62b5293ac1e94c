//! What memory a region is made of: page sizes, NUMA nodes, presence, rights, and what stays out of core dumps.

use std::os::unix::fs::PermissionsExt;

use csm::{Context, ErrorKind};

use crate::fixture::small;
use crate::process::{Inside, Peer};
use crate::table::{assert_empty, publish_stamp, read_stamp};
use crate::{Fixture, Outcome, Scratch};

/// Says the flags of region 0's mapping, as /proc/self/smaps shows them: steady only in a process with one thread.
pub(super) fn role(inside: &mut Inside) {
    let region = Context::new().expect("context").open(inside.arg(0)).expect("open");
    let base = region.info().expect("info").base;
    let maps = std::fs::read_to_string("/proc/self/smaps").expect("smaps");
    let start = format!("{base:x}-");
    let mut lines = maps.lines().skip_while(|line| !line.starts_with(&start));
    inside.say(lines.find_map(|line| line.strip_prefix("VmFlags:")).expect("the mapping and its flags"));
}

pub(super) fn asked_for(fixture: &dyn Fixture) -> Outcome {
    for options in ["prefault=yes", "hugepages=thp", "hugepages=thp&prefault=yes", "numa=0"] {
        let scratch = Scratch::new(fixture);
        let options = format!("{}&{options}", small(2));
        if scratch.deserved(&options, ErrorKind::Internal) == ErrorKind::BadUri {
            assert_eq!(scratch.try_create(&options).expect_err("no such option").kind(), ErrorKind::BadUri);
            continue;
        }
        let region = scratch.create(&options);
        publish_stamp(&region, "t", 100, 1).expect("publish");
        drop(region);
        let region = scratch.open("prefault=yes");
        assert_eq!(read_stamp(&region, "t"), 1, "{options}");
        region.remove("t").expect("remove");
        assert_empty(&region);
    }
    // What the machine does not have is said, and leaves nothing.
    let scratch = Scratch::new(fixture);
    let e = scratch.try_create(&format!("{}&numa=999", small(2))).expect_err("there is no such node");
    assert!(e.message().contains("999"), "{e}");
    match scratch.try_create(&format!("{}&hugepages=2M", small(2))) {
        Ok(region) => assert_empty(&region),
        Err(e) => {
            assert!(scratch.has("hugepages") || e.kind() == ErrorKind::BadUri, "{e}");
            assert!(e.message().contains("hugepages"), "{e}");
            assert_eq!(scratch.try_open("").expect_err("nothing").kind(), ErrorKind::RegionNotFound);
        }
    }
    Ok(())
}

pub(super) fn private(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    if !fixture.makes_windows() {
        let e = scratch.try_create(&format!("{}&mode=0624", small(2))).expect_err("the window has its mode");
        assert!(e.message().contains("mode"), "{e}");
        return Ok(());
    }
    let region = scratch.create(&format!("{}&mode=0624", small(2)));
    let mut peer = Peer::start("say-flags", &[&scratch.uri]);
    let flags = peer.hear();
    peer.finish();
    assert_empty(&region);
    assert!(flags.split_whitespace().any(|flag| flag == "dd"), "left out of core dumps: {flags}");
    if let Some(path) = fixture.file(&scratch.uri) {
        let mode = path.metadata().expect("stat").permissions().mode();
        assert_eq!(mode & 0o7777, 0o624, "whatever the umask says");
    }
    Ok(())
}
