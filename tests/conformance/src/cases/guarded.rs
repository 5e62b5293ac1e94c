//! `protect=yes`: a process that only reads can load what it has open, and nothing else.

use arrow_array::{Array, RecordBatch};
use csm::{Context, ErrorKind, Region, Table};

use super::fork::in_child;
use super::reader::two_nodes;
use crate::fixture::small;
use crate::process::{Inside, Peer};
use crate::table::{assert_sound, open, publish, publish_stamp, read_stamp, stamp_of, stamped};
use crate::{Fixture, Outcome, Scratch, skip};

/// Where the values of a column of integers begin.
fn values(batch: &RecordBatch, column: usize) -> *const u8 {
    batch.column(column).to_data().buffers()[0].as_ptr()
}

fn read(table: &Table) -> Vec<RecordBatch> {
    let batches = table.record_batches().expect("batches");
    assert_eq!(stamp_of(&batches), Ok(6));
    batches
}

fn load(address: *const u8) -> u8 {
    // SAFETY: none where the page protection must end this process; else the caller has it open.
    unsafe { address.read_volatile() }
}

/// Opens region 0 and does what argument 1 says; says "closed" before a load that must end it, and "loaded" after.
pub(super) fn role(inside: &mut Inside) {
    let region = Context::new().expect("context").open(inside.arg(0)).expect("open");
    let address = match inside.arg(1) {
        "never opened" => {
            drop(read(&open(&region, "t").expect("open")));
            std::ptr::with_exposed_provenance(usize::try_from(inside.number(2)).expect("an address"))
        }
        "another column" => {
            let table = open(&region, "t").expect("open");
            let second = values(&read(&table)[0], 1);
            drop(table);
            let first = open(&region, "t").expect("open").select(&[0]).expect("column 0").record_batches();
            let first = first.expect("batches");
            load(values(&first[0], 0));
            std::mem::forget(first);
            second
        }
        "closed" => values(&read(&open(&region, "t").expect("open"))[0], 0),
        "closed twice" => {
            let (t, u) = (open(&region, "t").expect("open"), open(&region, "u").expect("open"));
            let address = values(&read(&t)[0], 0);
            assert_eq!(values(&u.record_batches().expect("batches")[0], 0), address, "the tables share it");
            drop(t);
            load(address);
            drop(u);
            address
        }
        "closed by a child" => {
            let (t, u) = (open(&region, "t").expect("open"), open(&region, "other").expect("open"));
            let batches = read(&t);
            let address = values(&batches[0], 0);
            let theirs = (t.clone(), batches.clone());
            in_child(move || {
                assert_eq!(u.record_batches().expect_err("the parent's").kind(), ErrorKind::Forked);
                drop(theirs);
                load(address);
            });
            assert_eq!(stamp_of(&batches), Ok(6));
            drop((t, batches));
            address
        }
        what => panic!("cannot do {what:?}"),
    };
    inside.say("closed");
    load(address);
    inside.say("loaded");
}

/// A region of that sort, with "t", and "u" which shares its first column, and an address in neither; None where pages
/// are too large.
fn guarded(scratch: &Scratch<'_>) -> Option<(Region, *const u8)> {
    let region = match scratch.try_create(&format!("{}&protect=yes", small(4))) {
        Err(e) if e.kind() == ErrorKind::Unsupported => return None,
        created => created.expect("create"),
    };
    let batch = region.copy_in(&stamped(1000, 6)).expect("copy in");
    let shared = RecordBatch::try_from_iter([("a", batch.column(0).clone())]).expect("a batch");
    publish(&region, "t", &[batch], false).expect("publish");
    publish(&region, "u", &[shared], false).expect("publish");
    publish_stamp(&region, "other", 10, 7).expect("publish");
    let other = values(&open(&region, "other").expect("open").record_batches().expect("batches")[0], 0);
    Some((region, other))
}

pub(super) fn loads(fixture: &dyn Fixture) -> Outcome {
    two_nodes(fixture)?;
    let scratch = Scratch::new(fixture);
    let Some((owner, other)) = guarded(&scratch) else { return skip("pages are larger than a chunk") };
    // Who writes loads everything, and what it allocates has pages of its own.
    load(other);
    let extents = [(); 8].map(|()| owner.alloc(100, 8).expect("alloc"));
    for extent in extents {
        assert!((extent.as_ptr() as u64).is_multiple_of(16 << 10), "{extent:?}");
        // SAFETY: nobody uses it.
        unsafe { owner.free(extent, Some(100)) }.expect("free");
    }
    drop(owner);
    let other = format!("{}", other as u64);
    for options in ["node=1", "access=ro"] {
        for what in ["closed", "closed twice", "closed by a child", "another column", "never opened"] {
            let mut peer = Peer::start("load", &[&scratch.with(options), what, &other]);
            peer.await_line("closed");
            peer.finish_by(libc::SIGSEGV);
        }
    }
    Ok(())
}

/// Whether this process can load a byte: only then can it be acquired.
fn is_open(region: &Region, address: *const u8) -> bool {
    match region.acquire(address, 1) {
        Ok(()) => {
            load(address);
            true
        }
        Err(e) => {
            assert_eq!(e.kind(), ErrorKind::ForeignPointer, "{e}");
            assert!(e.message().contains("protect=yes"), "{e}");
            false
        }
    }
}

pub(super) fn shared(fixture: &dyn Fixture) -> Outcome {
    two_nodes(fixture)?;
    let scratch = Scratch::new(fixture);
    let Some((owner, other)) = guarded(&scratch) else { return skip("pages are larger than a chunk") };
    assert!(is_open(&owner, other), "this process writes");
    drop(owner);
    assert_eq!(scratch.try_open("protect=no").expect_err("it is").kind(), ErrorKind::OptionMismatch);
    for options in ["node=1", "access=ro"] {
        // Everything else that reads does.
        let region = scratch.open(&format!("{options}&protect=yes&prefault=yes"));
        assert_eq!(region.tables().expect("tables").len(), 3);
        let table = open(&region, "t").expect("open");
        assert_eq!(region.leases().expect("leases").len(), 1);
        table.validate().expect("valid");
        assert_sound(&region);

        // An array keeps its pages, whatever else is closed, on whichever thread.
        let batches = read(&table);
        drop(table);
        let first = values(&batches[0], 0);
        assert!(is_open(&region, first) && !is_open(&region, other));
        std::thread::scope(|scope| {
            for name in ["t", "u", "t", "u"] {
                let (region, batch) = (&region, &batches[0]);
                scope.spawn(move || {
                    for _ in 0..50 {
                        let again = open(region, name).expect("open").record_batches().expect("batches");
                        assert_eq!(load(values(&again[0], 0)), 6);
                        assert!(is_open(region, values(batch, 0)));
                    }
                });
            }
        });
        assert_eq!(stamp_of(&batches), Ok(6));
        let text = batches[0].column(2).clone();
        drop(batches);
        assert!(is_open(&region, first), "the lease is one for all of a table");
        drop(text);
        assert!(!is_open(&region, first));
        assert_eq!((read_stamp(&region, "t"), read_stamp(&region, "other")), (6, 7));

        // Arrays keep the region open too.
        let table = open(&region, "other").expect("open");
        let batches = table.record_batches().expect("batches");
        drop(region);
        assert_eq!(stamp_of(&batches), Ok(7));
    }
    // The retired list leads through pages that nobody has open.
    let mut reader = Peer::start("lease", &[&scratch.with("node=1"), "t"]);
    reader.await_line("6");
    let owner = scratch.open("");
    owner.remove("t").expect("remove");
    drop(owner);
    for options in ["node=1", "access=ro"] {
        assert_sound(&scratch.open(options));
    }
    reader.say("look");
    reader.await_line("6");
    reader.kill();
    Ok(())
}
