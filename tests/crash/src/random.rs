//! Kills at any moment among processes at work.
//!
//! Two workers publish, replace, remove, read, allocate and free; a reader reads. One of them after another is
//! killed and replaced, while the others go on. A worker fills what it has with its own bytes and looks at them
//! before it lets go, so memory given out twice would show.

use std::ptr::NonNull;
use std::time::Duration;

use csm::{Context, ErrorKind, Region};
use csm_conformance::devices::SHM;
use csm_conformance::process::{Inside, Peer};
use csm_conformance::random::Random;
use csm_conformance::table::{assert_empty, open, publish, publish_stamp, stamp_of, stamped};
use csm_conformance::{Outcome, Scratch};

const NAMES: u64 = 5;

fn name(random: &mut Random) -> String {
    format!("table {}", random.below(NAMES))
}

/// Fails unless the table of that name is whole or not there.
fn assert_whole(region: &Region, name: &str) {
    match open(region, name) {
        Ok(table) => {
            stamp_of(&table.record_batches().expect("batches")).expect("a whole table");
            table.check().expect("the lease holds");
        }
        Err(e) => assert_eq!(e.kind(), ErrorKind::NameNotFound, "{e}"),
    }
}

struct Extent {
    ptr: NonNull<u8>,
    size: u64,
    byte: u8,
}

impl Extent {
    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: allocated with that size, and this process's alone.
        unsafe {
            std::slice::from_raw_parts_mut(self.ptr.as_ptr(), usize::try_from(self.size).expect("size"))
        }
    }

    fn give_back(mut self, region: &Region) {
        let byte = self.byte;
        assert!(self.bytes().iter().all(|found| *found == byte), "somebody else has this memory too");
        // SAFETY: ours, and not used any more.
        unsafe { region.free(self.ptr, Some(self.size)) }.expect("free");
    }
}

/// Works in region 0 with the seed of argument 1 until it is killed.
pub fn worker_role(inside: &mut Inside) {
    let region = Context::new().expect("context").open(inside.arg(0)).expect("open");
    let mut random = Random(inside.number(1));
    let mut extents: Vec<Extent> = Vec::new();
    let mut tables = Vec::new();
    inside.say("at work");
    loop {
        let stamp = i64::from(u32::try_from(random.below(1 << 31)).expect("31 bits"));
        let done = match random.below(10) {
            0 | 1 => publish_stamp(&region, &name(&mut random), 1 + stamp % 700, stamp).map(drop),
            2 => region
                .copy_in(&stamped(1 + stamp % 9000, stamp))
                .and_then(|batch| publish(&region, &name(&mut random), &[batch], true).map(drop)),
            3 => region.remove(&name(&mut random)),
            4 => {
                assert_whole(&region, &name(&mut random));
                Ok(())
            }
            5 => open(&region, &name(&mut random)).map(|table| tables.push(table)),
            6 => {
                tables.truncate(usize::try_from(random.below(4)).expect("small"));
                Ok(())
            }
            7 | 8 if extents.len() < 20 => {
                let (size, byte) = (random.size(200_000), random.number().to_le_bytes()[0]);
                region.alloc(size, 64).map(|ptr| {
                    let mut extent = Extent { ptr, size, byte };
                    extent.bytes().fill(byte);
                    extents.push(extent);
                })
            }
            _ => {
                if !extents.is_empty() {
                    extents.swap_remove(random.index(extents.len())).give_back(&region);
                }
                Ok(())
            }
        };
        if let Err(e) = done {
            let expected =
                matches!(e.kind(), ErrorKind::NameNotFound | ErrorKind::RegionFull | ErrorKind::LeasesFull);
            assert!(expected, "{e:?}");
        }
    }
}

/// Reads whatever there is in region 0 until it is killed.
pub fn reader_role(inside: &mut Inside) {
    let region = Context::new().expect("context").open(inside.arg(0)).expect("open");
    let mut random = Random(inside.number(1));
    inside.say("at work");
    loop {
        assert_whole(&region, &name(&mut random));
    }
}

/// Kills `CSM_KILLS` peers, or 200.
pub fn kills() -> Outcome {
    let count: u64 = std::env::var("CSM_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    let scratch = Scratch::new(&SHM);
    let region = scratch.create("size=20M&catalog=16&nodes=2&members=8&leases=560");
    let mut random = Random(count);
    let start = |role: &str, random: &mut Random| {
        let uri = if role == "reader-of-all" { scratch.with("node=1") } else { scratch.uri.clone() };
        let mut peer = Peer::start(role, &[&uri, &random.number().to_string()]);
        peer.await_line("at work");
        peer
    };
    const ROLES: [&str; 3] = ["worker", "worker", "reader-of-all"];
    let mut peers: Vec<Peer> = ROLES.iter().map(|role| start(role, &mut random)).collect();
    for kill in 0..count {
        // Some work first; how much decides nothing but where the kill strikes.
        std::thread::sleep(Duration::from_micros(random.below(3000)));
        let i = random.index(ROLES.len());
        for (role, peer) in ROLES.iter().zip(&mut peers) {
            assert!(peer.is_running(), "kill {kill}: a {role} failed; see its message above");
        }
        let successor = start(ROLES[i], &mut random);
        std::mem::replace(&mut peers[i], successor).kill();
        let report = region.verify().unwrap_or_else(|e| panic!("kill {kill}: {e}"));
        assert!(report.problems.is_empty(), "kill {kill}: {:#?}", report.problems);
        for table in region.tables().expect("tables") {
            assert_whole(&region, &table.name);
        }
    }
    peers.into_iter().for_each(Peer::kill);
    let report = region.verify().expect("verify");
    assert!(report.problems.is_empty(), "{:#?}", report.problems);
    for table in region.tables().expect("tables") {
        assert_whole(&region, &table.name);
        region.remove(&table.name).expect("remove");
    }
    drop(region);
    // A reader of the other node is cleared up after by its own node.
    drop(scratch.open("node=1"));
    assert_empty(&scratch.open(""));
    Ok(())
}
