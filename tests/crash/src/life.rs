//! A kill at every store of what a region goes through: creation and growth.

use std::path::Path;

use csm::{Context, ErrorKind, hooks};
use csm_conformance::devices::SHM;
use csm_conformance::fixture::small;
use csm_conformance::process::Inside;
use csm_conformance::table::{assert_empty, publish_stamp, read_stamp};
use csm_conformance::{Outcome, Scratch};

use crate::every::{STORES_MAX, was_killed};

const GROWING: &str = "size=6M&max=16M&catalog=8&nodes=2&members=8&leases=112";

/// Creates the region of argument 0, killed at the store of argument 1.
pub fn create_role(inside: &mut Inside) {
    let context = Context::new().expect("context");
    hooks::arm(inside.number(1));
    let region = context.create(inside.arg(0)).expect("create");
    hooks::disarm();
    drop(region);
}

/// Every file that belongs to the region.
fn files_of(scratch: &Scratch<'_>) -> Vec<String> {
    let path = scratch.fixture.file(&scratch.uri).expect("a file");
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.strip_prefix("csm."))
        .expect("a name");
    let entries = std::fs::read_dir(path.parent().unwrap_or(Path::new("/"))).expect("a directory");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|file| file.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))).collect()
}

/// A killed creation leaves no region, or a whole one; and the name can be used again.
pub fn create() -> Outcome {
    for n in 0..STORES_MAX {
        let scratch = Scratch::new(&SHM);
        let killed = was_killed("create", &[&scratch.to_create(&small(2)), &n.to_string()]);
        match scratch.try_open("") {
            Ok(region) => assert_empty(&region),
            Err(e) => {
                assert!(killed && e.kind() == ErrorKind::RegionNotFound, "killed at store {n}: {e}");
                assert_empty(&scratch.create(&small(2)));
            }
        }
        scratch.context.destroy(&scratch.uri).expect("destroy");
        assert_eq!(files_of(&scratch), Vec::<String>::new(), "killed at store {n}");
        if !killed {
            return Ok(());
        }
    }
    panic!("{STORES_MAX} stores, and it is not created");
}

/// Grows the region of argument 0, killed at the store of argument 1.
pub fn grow_role(inside: &mut Inside) {
    let region = Context::new().expect("context").open(inside.arg(0)).expect("open");
    hooks::arm(inside.number(1));
    region.grow(16 << 20).expect("grow");
    region.alloc(9 << 20, 64).expect("room");
    hooks::disarm();
}

/// A killed growth leaves the region as it was or grown, and it grows again.
pub fn grow() -> Outcome {
    for survivor in [true, false] {
        for n in 0..STORES_MAX {
            let scratch = Scratch::new(&SHM);
            let region = scratch.create(GROWING);
            publish_stamp(&region, "t", 100, 1).expect("publish");
            let keeper = survivor.then_some(region);
            let killed = was_killed("grow", &[&scratch.uri, &n.to_string()]);
            let region = keeper.unwrap_or_else(|| scratch.open(""));
            let report = region.verify().expect("verify");
            assert!(report.problems.is_empty(), "killed at store {n}: {:#?}", report.problems);
            let size = region.info().expect("info").size_bytes;
            assert!(size == 16 << 20 || killed && size == 6 << 20, "killed at store {n}: {size} bytes");
            if size == 6 << 20 {
                region.grow(16 << 20).expect("grow");
            }
            let ptr = region.alloc(9 << 20, 64).expect("room");
            // SAFETY: just allocated.
            unsafe {
                ptr.as_ptr().write_bytes(1, 9 << 20);
                region.free(ptr, None).expect("free");
            }
            assert_eq!(read_stamp(&region, "t"), 1);
            region.remove("t").expect("remove");
            drop(region);
            assert_empty(&scratch.open(""));
            if !killed {
                break;
            }
        }
    }
    Ok(())
}
