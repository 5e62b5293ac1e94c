//! Every kill.

use csm_conformance::harness::{Test, run_tests};
use csm_crash::{every, life, ops, random};

fn main() {
    let each = ops::ALL.iter().flat_map(|op| {
        [(true, "with a survivor"), (false, "with nobody left")].map(|(survivor, how)| -> Test {
            (format!("{}, {how}", op.name), Box::new(move || every::run(op, survivor)))
        })
    });
    let others: [Test; 3] = [
        ("create".to_owned(), Box::new(life::create)),
        ("grow".to_owned(), Box::new(life::grow)),
        ("random kills".to_owned(), Box::new(random::kills)),
    ];
    run_tests(
        each.chain(others).collect(),
        &[
            ("op", ops::role),
            ("create", life::create_role),
            ("grow", life::grow_role),
            ("worker", random::worker_role),
            ("reader", random::reader_role),
        ],
    )
}
