//! A kill at every store of an operation.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use csm::{Region, Table};
use csm_conformance::fixture::{SHM, small};
use csm_conformance::process::ROLE;
use csm_conformance::table::{assert_empty, open, stamp_of};
use csm_conformance::{Outcome, Scratch};

use crate::ops::Op;

/// More stores than any operation makes: reaching it, the operation does not end.
pub const STORES_MAX: u64 = 20_000;

/// Starts this program in `role` and says whether it was killed; anything else than that and a good end fails.
#[must_use]
pub fn was_killed(role: &str, args: &[&str]) -> bool {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    let status = command.args(args).env(ROLE, role).stdin(Stdio::null()).status().expect("starting a peer");
    let killed = status.signal() == Some(libc::SIGKILL);
    assert!(killed || status.success(), "{role} {args:?} ended with {status}");
    killed
}

/// Does `op` with a kill at every store. A survivor has the regions open all along, or else nobody has.
pub fn run(op: &Op, survivor: bool) -> Outcome {
    let scratches: Vec<Scratch<'_>> = (0..op.regions).map(|_| Scratch::new(&SHM)).collect();
    let regions: Vec<Region> = scratches.iter().map(|scratch| scratch.create(&small(4))).collect();
    let keeper = survivor.then_some(regions);
    // The other region's URI is given in any case.
    let (home, other) = (&scratches[0].uri, &scratches[op.regions - 1].uri);
    for n in 0..STORES_MAX {
        for before in op.before {
            let _ = was_killed("op", &[home, other, before]);
        }
        // The survivor reads the old table all the while.
        let old = keeper.as_ref().and_then(|regions| open(&regions[0], "t").ok());
        let stamp = |table: &Table| stamp_of(&table.record_batches().expect("batches"));
        let expected = old.as_ref().map(stamp);
        let killed = was_killed("op", &[home, other, op.name, &n.to_string()]);
        let when = if killed { format!("killed at store {n}") } else { "not killed".to_owned() };
        let regions =
            keeper.clone().unwrap_or_else(|| scratches.iter().map(|scratch| scratch.open("")).collect());
        if let Some(old) = old {
            assert!(!was_killed("op", &[home, other, "scribble"]));
            old.check().unwrap_or_else(|e| panic!("{when}: {e}"));
            assert!(Some(stamp(&old)) == expected, "{when}: what was being read changed");
        }
        check(op, &regions, killed, &when);
        if !killed {
            return Ok(());
        }
    }
    panic!("{STORES_MAX} stores, and it is not done");
}

fn check(op: &Op, regions: &[Region], killed: bool, when: &str) {
    let home = &regions[0];
    for region in regions {
        let report = region.verify().unwrap_or_else(|e| panic!("{when}: {e}"));
        assert!(report.problems.is_empty(), "{when}: {:#?}", report.problems);
    }
    let stamp = match open(home, "t") {
        Ok(table) => Some(
            stamp_of(&table.record_batches().expect("batches")).unwrap_or_else(|e| panic!("{when}: {e}")),
        ),
        Err(e) if e.kind() == csm::ErrorKind::NameNotFound => None,
        Err(e) => panic!("{when}: {e}"),
    };
    let (done, or_else) = op.stamps.split_last().expect("a stamp");
    assert!(stamp == *done || killed && or_else.contains(&stamp), "{when}: the table is {stamp:?}");
    for table in home.tables().expect("tables") {
        home.remove(&table.name).unwrap_or_else(|e| panic!("{when}: {e}"));
    }
    regions.iter().for_each(assert_empty);
}
