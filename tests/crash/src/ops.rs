//! The operations: what a peer does up to the moment the kill is armed, and from then on.
//!
//! All of them are about table "t", stamped 1 by who prepares and 2 by the operation.

use std::any::Any;
use std::ptr::NonNull;

use arrow_array::RecordBatch;
use csm::{Context, Region, hooks};
use csm_conformance::process::Inside;
use csm_conformance::table::{open, publish, publish_stamp, stamp_of, stamped};

/// What an operation still holds when it is done; dropped when no kill is armed any more.
type Rest = Box<dyn Any>;

/// An operation.
pub struct Op {
    /// Its name.
    pub name: &'static str,
    /// How many regions it concerns.
    pub regions: usize,
    /// Names of operations that other processes complete first.
    pub before: &'static [&'static str],
    /// The stamp of table "t" if it is killed (one of these; `None` is no table), and last if it is not.
    pub stamps: &'static [Option<i64>],
    /// Opens what it needs, calls `arm`, and does the work.
    run: fn(&Uris, &dyn Fn()) -> Rest,
}

/// The URIs of the two regions.
pub struct Uris {
    home: String,
    other: String,
}

impl Uris {
    fn home(&self) -> Region {
        Context::new().expect("context").open(&self.home).expect("open")
    }

    fn both(&self) -> (Region, Region) {
        (self.home(), Context::new().expect("context").open(&self.other).expect("open"))
    }
}

const NONE: Option<i64> = None;
const OLD: Option<i64> = Some(1);
const NEW: Option<i64> = Some(2);
/// Rows that make columns of blocks, and of runs of their own.
const ROWS: i64 = 500;
const MANY_ROWS: i64 = 20_000;

/// Every operation.
pub const ALL: &[Op] = &[
    Op { name: "publish by copy", regions: 1, before: &[], stamps: &[NONE, NEW], run: publish_by_copy },
    Op { name: "publish in place", regions: 1, before: &[], stamps: &[NONE, NEW], run: publish_in_place },
    Op { name: "publish large in place", regions: 1, before: &[], stamps: &[NONE, NEW], run: publish_large },
    Op { name: "replace", regions: 1, before: &["old"], stamps: &[OLD, NEW], run: replace },
    Op { name: "replace one's own", regions: 1, before: &[], stamps: &[OLD, NEW], run: replace_own },
    Op { name: "replace a large one", regions: 1, before: &["old large"], stamps: &[OLD, NEW], run: replace },
    Op { name: "remove", regions: 1, before: &["old"], stamps: &[OLD, NONE], run: remove },
    Op { name: "remove one's own", regions: 1, before: &[], stamps: &[OLD, NONE], run: remove_own },
    Op { name: "open a table", regions: 1, before: &["old"], stamps: &[OLD, OLD], run: open_table },
    Op { name: "let the last reader go", regions: 1, before: &["old"], stamps: &[NONE, NONE], run: reclaim },
    Op { name: "allocate", regions: 1, before: &[], stamps: &[NONE, NONE], run: allocate },
    Op { name: "reallocate", regions: 1, before: &[], stamps: &[NONE, NONE], run: reallocate },
    Op { name: "free", regions: 1, before: &[], stamps: &[NONE, NONE], run: free },
    Op { name: "free what is published", regions: 1, before: &[], stamps: &[OLD, OLD], run: free_published },
    Op { name: "leave", regions: 1, before: &["old"], stamps: &[OLD, OLD], run: leave },
    Op {
        name: "enter after one died early",
        regions: 1,
        before: &["old", "die replacing at 8"],
        stamps: &[OLD, OLD],
        run: enter,
    },
    Op {
        name: "enter after one died in between",
        regions: 1,
        before: &["old", "die replacing at 18"],
        stamps: &[OLD, OLD],
        run: enter,
    },
    Op {
        name: "enter after one died late",
        regions: 1,
        before: &["old", "die replacing at 28"],
        stamps: &[NEW, NEW],
        run: enter,
    },
    Op {
        name: "enter after a dead reader",
        regions: 1,
        before: &["old", "die reading"],
        stamps: &[NONE, NONE],
        run: enter,
    },
    Op { name: "publish across regions", regions: 2, before: &[], stamps: &[NONE, NEW], run: publish_across },
    Op {
        name: "replace across regions",
        regions: 2,
        before: &["old across"],
        stamps: &[OLD, NEW],
        run: publish_across,
    },
    Op {
        name: "remove across regions",
        regions: 2,
        before: &["old across"],
        stamps: &[OLD, NONE],
        run: remove_across,
    },
];

/// What others do before.
type Preparation = (&'static str, fn(&Uris));

const PREPARATIONS: &[Preparation] = &[
    ("old", |uris| {
        publish_stamp(&uris.home(), "t", ROWS, 1).expect("publish");
    }),
    ("old large", |uris| {
        publish_stamp(&uris.home(), "t", MANY_ROWS, 1).expect("publish");
    }),
    ("old across", |uris| {
        let (home, other) = uris.both();
        publish(&home, "t", &[across(&home, &other, 1)], true).expect("publish");
    }),
    ("scribble", scribble),
    ("die replacing at 8", |uris| die_replacing(uris, 8)),
    ("die replacing at 18", |uris| die_replacing(uris, 18)),
    ("die replacing at 28", |uris| die_replacing(uris, 28)),
    ("die reading", |uris| {
        let region = uris.home();
        let _table = open(&region, "t").expect("open");
        region.remove("t").expect("remove");
        region.alloc(5000, 64).expect("alloc");
        hooks::arm(0);
        region.remove("t").expect_err("killed");
    }),
];

/// Writes over all memory that is free, after clearing up after the dead as everybody does who opens.
fn scribble(uris: &Uris) {
    let region = uris.home();
    for size in [1 << 20, 64 << 10, 4096, 128] {
        while let Ok(ptr) = region.alloc(size, 64) {
            // SAFETY: just allocated.
            unsafe { ptr.as_ptr().write_bytes(0xee, usize::try_from(size).expect("size")) };
        }
    }
}

/// Is killed with both locks in hand, before or after the commit word.
fn die_replacing(uris: &Uris, n: u64) {
    let region = uris.home();
    let batch = region.copy_in(&stamped(ROWS, 2)).expect("copy in");
    hooks::arm(n);
    publish(&region, "t", &[batch], true).expect("publish");
    panic!("it was to be killed");
}

/// Does the operation or preparation of argument 2 in the regions of arguments 0 and 1; is killed at the store
/// of argument 3, if there is one.
pub fn role(inside: &mut Inside) {
    let uris = Uris { home: inside.arg(0).to_owned(), other: inside.arg(1).to_owned() };
    let name = inside.arg(2);
    if let Some((_, prepare)) = PREPARATIONS.iter().find(|(known, _)| *known == name) {
        return prepare(&uris);
    }
    let op = ALL.iter().find(|op| op.name == name).expect("an operation");
    let n = inside.number(3);
    let rest = (op.run)(&uris, &|| hooks::arm(n));
    hooks::disarm();
    drop(rest);
}

fn publish_by_copy(uris: &Uris, arm: &dyn Fn()) -> Rest {
    let region = uris.home();
    arm();
    publish_stamp(&region, "t", ROWS, 2).expect("publish");
    Box::new(region)
}

fn in_place(uris: &Uris, rows: i64, arm: &dyn Fn()) -> Rest {
    let region = uris.home();
    let batch = region.copy_in(&stamped(rows, 2)).expect("copy in");
    arm();
    publish(&region, "t", std::slice::from_ref(&batch), true).expect("publish");
    Box::new((batch, region))
}

fn publish_in_place(uris: &Uris, arm: &dyn Fn()) -> Rest {
    in_place(uris, ROWS, arm)
}

fn publish_large(uris: &Uris, arm: &dyn Fn()) -> Rest {
    in_place(uris, MANY_ROWS, arm)
}

fn replace(uris: &Uris, arm: &dyn Fn()) -> Rest {
    publish_by_copy(uris, arm)
}

fn replace_own(uris: &Uris, arm: &dyn Fn()) -> Rest {
    let region = uris.home();
    publish_stamp(&region, "t", ROWS, 1).expect("publish");
    arm();
    publish_stamp(&region, "t", ROWS, 2).expect("replace");
    Box::new(region)
}

fn remove(uris: &Uris, arm: &dyn Fn()) -> Rest {
    let region = uris.home();
    arm();
    region.remove("t").expect("remove");
    Box::new(region)
}

fn remove_own(uris: &Uris, arm: &dyn Fn()) -> Rest {
    let region = uris.home();
    let batch = region.copy_in(&stamped(ROWS, 1)).expect("copy in");
    publish(&region, "t", std::slice::from_ref(&batch), true).expect("publish");
    arm();
    region.remove("t").expect("remove");
    drop(batch);
    Box::new(region)
}

fn open_table(uris: &Uris, arm: &dyn Fn()) -> Rest {
    let region = uris.home();
    arm();
    let table = open(&region, "t").expect("open");
    assert_eq!(stamp_of(&table.record_batches().expect("batches")), Ok(1));
    drop(table);
    Box::new(region)
}

fn reclaim(uris: &Uris, arm: &dyn Fn()) -> Rest {
    let region = uris.home();
    let table = open(&region, "t").expect("open");
    region.remove("t").expect("remove");
    arm();
    drop(table);
    Box::new(region)
}

const SIZES: [u64; 6] = [64, 100, 3000, 40_000, 150_000, 400_000];

fn extents(region: &Region) -> Vec<NonNull<u8>> {
    SIZES.iter().map(|size| region.alloc(*size, 64).expect("alloc")).collect()
}

fn allocate(uris: &Uris, arm: &dyn Fn()) -> Rest {
    let region = uris.home();
    arm();
    extents(&region);
    Box::new(region)
}

fn reallocate(uris: &Uris, arm: &dyn Fn()) -> Rest {
    let region = uris.home();
    let before = extents(&region);
    arm();
    for (ptr, size) in before.into_iter().zip(SIZES) {
        // SAFETY: ours, and only the pointer that comes back is used.
        unsafe {
            let larger = region.realloc(ptr, size, size * 3, 64).expect("grow");
            let smaller = region.realloc(larger, size * 3, size / 2, 64).expect("shrink");
            region.realloc(smaller, size / 2, 300_000, 64).expect("grow");
        }
    }
    Box::new(region)
}

fn free(uris: &Uris, arm: &dyn Fn()) -> Rest {
    let region = uris.home();
    let (first, second) = (extents(&region), extents(&region));
    arm();
    for ptr in first.into_iter().chain(second) {
        // SAFETY: ours, and not used any more.
        unsafe { region.free(ptr, None) }.expect("free");
    }
    Box::new(region)
}

fn free_published(uris: &Uris, arm: &dyn Fn()) -> Rest {
    let region = uris.home();
    let small = region.copy_in(&stamped(ROWS, 1)).expect("copy in");
    let large = region.copy_in(&stamped(MANY_ROWS, 1)).expect("copy in");
    let batches = [small, large];
    publish(&region, "t", &batches, true).expect("publish");
    arm();
    drop(batches);
    Box::new(region)
}

fn leave(uris: &Uris, arm: &dyn Fn()) -> Rest {
    let region = uris.home();
    extents(&region);
    let batch = region.copy_in(&stamped(ROWS, 5)).expect("copy in");
    publish(&region, "mine", std::slice::from_ref(&batch), true).expect("publish");
    let table = open(&region, "t").expect("open");
    region.remove("mine").expect("remove");
    arm();
    drop((table, batch, region));
    Box::new(())
}

fn enter(uris: &Uris, arm: &dyn Fn()) -> Rest {
    arm();
    let region = uris.home();
    drop(region);
    Box::new(())
}

/// A batch whose last column lies in the other region.
fn across(home: &Region, other: &Region, stamp: i64) -> RecordBatch {
    let here = home.copy_in(&stamped(ROWS, stamp)).expect("copy in");
    let there = other.copy_in(&stamped(ROWS, stamp)).expect("copy in");
    let columns = vec![here.column(0).clone(), here.column(1).clone(), there.column(2).clone()];
    RecordBatch::try_new(here.schema(), columns).expect("a batch")
}

fn publish_across(uris: &Uris, arm: &dyn Fn()) -> Rest {
    let (home, other) = uris.both();
    let batch = across(&home, &other, 2);
    arm();
    publish(&home, "t", std::slice::from_ref(&batch), true).expect("publish");
    Box::new((batch, home, other))
}

fn remove_across(uris: &Uris, arm: &dyn Fn()) -> Rest {
    let both = uris.both();
    arm();
    both.0.remove("t").expect("remove");
    Box::new(both)
}
