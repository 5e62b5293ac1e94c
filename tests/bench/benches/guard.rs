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
use csm_bench::{Scratch, median, micros, row};

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

fn main() {
    // Cargo passes --bench.
    let mib = std::env::var("CSM_BENCH_MIB").ok().and_then(|v| v.parse().ok()).unwrap_or(1024usize);
    for (coherence, pages, present) in [
        ("gc", "none", "yes"),
        ("gc", "none", "no"),
        ("gc", "thp", "yes"),
        ("lc", "none", "yes"),
        ("lc", "thp", "yes"),
    ] {
        println!("coherence={coherence}, hugepages={pages}, prefault={present}");
        let readers = ["no", "yes"].map(|protect| {
            let shape = format!("coherence={coherence}&hugepages={pages}&protect={protect}");
            Reader::new(&format!("guard-{protect}"), &shape, &format!("prefault={present}"), mib)
        });
        let large_rounds = if coherence == "gc" { 101 } else { 15 };
        for (name, what, rounds) in
            [("small", "24 kB".to_owned(), 2000), ("large", format!("{mib} MiB"), large_rounds)]
        {
            let mut taken = [Vec::new(), Vec::new()];
            for _ in 0..rounds {
                for (reader, taken) in readers.iter().zip(&mut taken) {
                    taken.push(open(&reader.region, name));
                }
            }
            let [plain, protected] = taken.map(|mut taken| {
                taken.sort_unstable();
                micros(median(&taken))
            });
            row(&format!("3 columns of {what}: open, first values, close"), plain, "us", None);
            row("  with protect=yes", protected, "us", None);
            row("  more", protected - plain, "us", None);
            row("  times", protected / plain, "x", None);
        }
    }
}
