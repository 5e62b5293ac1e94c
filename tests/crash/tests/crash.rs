//! Every kill, and who stores where.

use csm_conformance::cases;
use csm_conformance::devices::{LINK, SHM, Shm};
use csm_conformance::harness::{Test, run_tests};
use csm_conformance::process::Role;
use csm_crash::every::Stores;
use csm_crash::{every, life, ops, random, writers};

/// With every store on a simulated link the suite would take twice as long; the kinds of stores are the same.
const ONE_IN: usize = 4;

fn main() {
    let each = ops::ALL.iter().flat_map(|op| {
        [(true, "with a survivor"), (false, "with nobody left")].map(|(survivor, how)| -> Test {
            let all = Stores { first: 0, step: 1 };
            (format!("{}, {how}", op.name), Box::new(move || every::run(op, &SHM, survivor, all)))
        })
    });
    let on_link = ops::ALL.iter().enumerate().map(|(i, op)| -> Test {
        let some = Stores { first: (i % ONE_IN) as u64, step: ONE_IN };
        (format!("{}, on a simulated link", op.name), Box::new(move || every::run(op, &LINK, true, some)))
    });
    let others: [Test; 5] = [
        ("create".to_owned(), Box::new(life::create)),
        ("grow".to_owned(), Box::new(life::grow)),
        ("random kills".to_owned(), Box::new(random::kills)),
        ("one writer a line, on one host".to_owned(), Box::new(|| writers::run(&Shm("coherence=lc")))),
        ("one writer a line, on a simulated link".to_owned(), Box::new(|| writers::run(&LINK))),
    ];
    let own: [(&str, Role); 7] = [
        ("op", ops::role),
        ("create", life::create_role),
        ("grow", life::grow_role),
        ("worker", random::worker_role),
        ("reader-of-all", random::reader_role),
        ("chores", writers::chores_role),
        ("chores-left", writers::chores_left_role),
    ];
    run_tests(each.chain(on_link).chain(others).collect(), &[&own, cases::ROLES].concat())
}
