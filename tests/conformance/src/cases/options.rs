//! Options at open: checked when given, refused when they mean nothing.

use std::collections::BTreeSet;

use csm::ErrorKind;
use csm::uri::{OPTIONS, Sort, Uri};

use crate::{Fixture, Outcome, Scratch};

/// Checked options, what the region is created with, and another value.
const CHECKED: &[(&str, &str, &str)] = &[
    ("size", "16M", "14M"),
    ("max", "32M", "64M"),
    ("slot", "11", "12"),
    ("base", "0x400000000000", "0x410000000000"),
    ("catalog", "77", "78"),
    ("nodes", "3", "2"),
    ("members", "9", "10"),
    ("leases", "60", "56"),
    ("protect", "no", "yes"),
];

pub(super) fn checked(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let scheme = Uri::parse(&scratch.uri).expect("a URI").scheme();
    let listed: BTreeSet<_> = OPTIONS
        .iter()
        .filter(|(name, sort, ..)| *sort == Sort::Checked && scheme.has(name))
        .map(|(name, ..)| *name)
        .collect();
    let checked: Vec<_> = CHECKED.iter().chain(fixture.checked()).collect();
    let known: BTreeSet<_> = checked.iter().map(|(name, ..)| *name).collect();
    assert_eq!(listed, known, "every checked option is tested here");

    let all = checked.iter().map(|(name, value, _)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    let region = scratch.context.create(&scratch.with(&all)).expect("create");
    let check = |when: &str| {
        drop(scratch.open(&all));
        for (name, value, other) in &checked {
            drop(
                scratch
                    .try_open(&format!("{name}={value}"))
                    .unwrap_or_else(|e| panic!("{when}, {name}: {e}")),
            );
            let e = scratch.try_open(&format!("{name}={other}")).expect_err(name);
            assert_eq!(e.kind(), ErrorKind::OptionMismatch, "{when}: {e}");
            assert!(e.message().contains(name) && e.message().contains(scratch.label()), "{e}");
        }
    };
    check("open already");
    drop(region);
    check("not open");
    Ok(())
}

pub(super) fn refused(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create("size=16M&nodes=3");
    let check = || {
        for (options, kind) in [
            ("mode=0600", ErrorKind::InvalidArgument),
            ("numa=0", ErrorKind::InvalidArgument),
            ("node=3", ErrorKind::InvalidArgument),
            ("node=x", ErrorKind::InvalidArgument),
            ("access=wr", ErrorKind::InvalidArgument),
            ("owner=me", ErrorKind::InvalidArgument),
            ("owner=4711", ErrorKind::NotYours),
            ("base=4096", ErrorKind::OptionMismatch),
            ("colour=red", ErrorKind::BadUri),
        ] {
            let e = scratch.try_open(options).expect_err(options);
            assert_eq!(e.kind(), scratch.deserved(options, kind), "{options}: {e}");
        }
    };
    check();
    // One membership a process: it cannot be two nodes, or both a reader and a writer.
    for options in ["node=1", "access=ro"] {
        assert_eq!(scratch.try_open(options).expect_err(options).kind(), ErrorKind::OptionMismatch);
    }
    drop(region);
    check();
    drop(scratch.open("node=1"));
    drop(scratch.open("access=ro"));
    Ok(())
}
