//! Protection of what has no lease (`protect=yes`): what an open, a first value of each column and a close cost with
//! it and without, in turn, on links that need nothing and that need invalidation.
//!
//! Taking access away and giving it back costs by the page that the process has present: with `prefault=yes` that is all
//! of them, which is the most it costs, and without it the few that this touches.
#![allow(clippy::expect_used, reason = "a benchmark stops at the first error")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, PrimitiveArray, RecordBatch};
use csm::{Context, OpenOptions, PublishOptions, Region};
use csm_bench::Scratch;
use csm_bench::series::{Series, interleaved, quick, rounds};

const MIB: usize = 1 << 20;

/// Publishes three columns of 64-bit integers, `bytes` together.
fn publish(region: &Region, name: &str, bytes: usize) {
    let column = |seed: i64| -> ArrayRef {
        let rows = bytes / 3 / 8;
        let mut values = region.vec::<i64>(rows).expect("room");
        values.resize(rows, seed).expect("room");
        Arc::new(PrimitiveArray::<Int64Type>::new(values.freeze(), None))
    };
    let batch = RecordBatch::try_from_iter([("a", column(1)), ("b", column(2)), ("c", column(3))]);
    let batch = batch.expect("batch");
    region
        .publish_record_batches(
            name,
            batch.schema(),
            std::slice::from_ref(&batch),
            &PublishOptions::default(),
        )
        .expect("publish");
}

/// Opens a table, loads the first value of each column, and closes it.
fn open(region: &Region, name: &str) -> Duration {
    let start = Instant::now();
    let table = region.open_table(name, &OpenOptions::default()).expect("open");
    for batch in table.record_batches().expect("batches") {
        for column in batch.columns() {
            black_box(column.as_primitive::<Int64Type>().value(0));
        }
    }
    drop(table);
    start.elapsed()
}

/// A region that this process only reads, as a borrower.
struct Reader {
    region: Region,
    _scratch: Scratch,
}

impl Reader {
    fn new(name: &str, shape: &str, options: &str, mib: usize) -> Self {
        let mut scratch = Scratch::new(name, &format!("size={}M&catalog=100&{shape}", mib + 64));
        publish(scratch.region(), "small", 3000 * 8);
        publish(scratch.region(), "large", mib * MIB);
        scratch.region = None;
        let context = Context::new().expect("context");
        let region = context.open(&format!("{}?node=1&{options}", scratch.uri())).expect("open");
        Self { region, _scratch: scratch }
    }
}

const PLAIN: &str = "open, the first value of each of three columns, close";
const PROTECTED: &str = "the same, and access given to the table's pages and taken away again: page tables, and a flush of the TLB";

fn main() {
    let mib = if quick() { 64 } else { 1024 };
    for (coherence, pages, present) in [
        ("gc", "none", "yes"),
        ("gc", "none", "no"),
        ("gc", "thp", "yes"),
        ("lc", "none", "yes"),
        ("lc", "thp", "yes"),
    ] {
        let readers = ["no", "yes"].map(|protect| {
            let shape = format!("coherence={coherence}&hugepages={pages}&protect={protect}");
            Reader::new(&format!("guard-{protect}"), &shape, &format!("prefault={present}"), mib)
        });
        let large = if coherence == "gc" { rounds(101, 21) } else { rounds(15, 5) };
        let [plain, protected] = &readers;
        for (name, size, count) in
            [("small", "24 kB".to_owned(), rounds(2000, 500)), ("large", format!("{mib} MiB"), large)]
        {
            let mut rivals: [&mut dyn FnMut() -> Duration; 2] =
                [&mut || open(&plain.region, name), &mut || open(&protected.region, name)];
            let [plain, protected] = interleaved(2, count, &mut rivals);
            let case = format!("{size}, coherence={coherence}, hugepages={pages}, prefault={present}");
            let what = "open, first values, close";
            let series = Series { work: "component", case: &case, what, ..Series::default() };
            Series { includes: PLAIN, ..series }.print_times(&plain);
            Series { who: "libcsm, protect=yes", includes: PROTECTED, ..series }.print_times(&protected);
        }
    }
}
