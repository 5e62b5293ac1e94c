//! A kill at every store of an operation.
//!
//! On the simulated link what a killed process had stored stays in its node's cache, home or not: besides the processes
//! of the owner's node, who see it, a reader of another node looks at what came home.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use csm::{Region, Table};
use csm_conformance::fixture::small;
use csm_conformance::process::{Peer, ROLE, this_program};
use csm_conformance::table::{assert_empty, open, stamp_of};
use csm_conformance::{Fixture, Outcome, Scratch};

use crate::ops::Op;

/// More stores than any operation makes: reaching it, the operation does not end.
pub const STORES_MAX: u64 = 20_000;

/// Starts this program in `role` and says whether it was killed; anything else than that and a good end fails.
#[must_use]
pub fn was_killed(role: &str, args: &[&str]) -> bool {
    let status =
        this_program().args(args).env(ROLE, role).stdin(Stdio::null()).status().expect("starting a peer");
    let killed = status.signal() == Some(libc::SIGKILL);
    assert!(killed || status.success(), "{role} {args:?} ended with {status}");
    killed
}

/// Which stores are killed at.
#[derive(Clone, Copy)]
pub struct Stores {
    /// The first.
    pub first: u64,
    /// One in so many.
    pub step: usize,
}

/// Does `op` with a kill at every store, or at some. A survivor has the regions open all along, or else nobody has.
pub fn run(op: &Op, fixture: &dyn Fixture, survivor: bool, stores: Stores) -> Outcome {
    let scratches: Vec<Scratch<'_>> = (0..op.regions).map(|_| Scratch::new(fixture)).collect();
    let regions: Vec<Region> = scratches.iter().map(|scratch| scratch.create(&small(4))).collect();
    let keeper = survivor.then_some(regions);
    let mut borrower = (!fixture.is_one_host()).then(|| Borrower::start(&scratches));
    // The other region's URI is given in any case.
    let (home, other) = (&scratches[0].uri, &scratches[op.regions - 1].uri);
    for n in (stores.first..STORES_MAX).step_by(stores.step) {
        for before in op.before {
            let _ = was_killed("op", &[home, other, before]);
        }
        // The survivor reads the old table all the while.
        let old = keeper.as_ref().and_then(|regions| open(&regions[0], "t").ok());
        let stamp = |table: &Table| stamp_of(&table.record_batches().expect("batches"));
        let expected = old.as_ref().map(stamp);
        let killed = was_killed("op", &[home, other, op.name, &n.to_string()]);
        let when = if killed { format!("killed at store {n}") } else { "not killed".to_owned() };
        if let Some(borrower) = &mut borrower {
            // Whole, or not there: which of the tables it is depends on what came home.
            let stamp = borrower.stamp();
            assert!(matches!(stamp, None | Some(1 | 2)), "{when}: the table is {stamp:?} on another node");
        }
        let regions =
            keeper.clone().unwrap_or_else(|| scratches.iter().map(|scratch| scratch.open("")).collect());
        if let Some(old) = old {
            assert!(!was_killed("op", &[home, other, "scribble"]));
            old.check().unwrap_or_else(|e| panic!("{when}: {e}"));
            assert!(Some(stamp(&old)) == expected, "{when}: what was being read changed");
        }
        check(op, &regions, borrower.as_mut(), killed, &when);
        if !killed {
            return Ok(());
        }
    }
    panic!("{STORES_MAX} stores, and it is not done");
}

/// A process of another node that reads.
struct Borrower(Peer);

impl Borrower {
    fn start(scratches: &[Scratch<'_>]) -> Self {
        let uris: Vec<String> = scratches.iter().map(|scratch| scratch.with("node=1")).collect();
        let mut peer = Peer::start("reader", &uris.iter().map(String::as_str).collect::<Vec<_>>());
        peer.await_line("ready");
        Self(peer)
    }

    fn ask(&mut self, what: &str) -> String {
        self.0.say(what);
        self.0.hear()
    }

    /// The stamp of table "t" as it is home.
    fn stamp(&mut self) -> Option<i64> {
        match self.ask("open t").as_str() {
            "Ok" => {
                let stamp = self.ask("read").parse().expect("a stamp");
                assert_eq!([self.ask("check"), self.ask("drop")], ["Ok", "Ok"]);
                Some(stamp)
            }
            "NameNotFound" => None,
            other => panic!("on another node: {other}"),
        }
    }
}

fn check(op: &Op, regions: &[Region], borrower: Option<&mut Borrower>, killed: bool, when: &str) {
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
    if let Some(borrower) = borrower {
        assert_eq!(borrower.stamp(), stamp, "{when}: what there is has come home");
    }
    for table in home.tables().expect("tables") {
        home.remove(&table.name).unwrap_or_else(|e| panic!("{when}: {e}"));
    }
    regions.iter().for_each(assert_empty);
}
