//! Publish and open: what they take, that neither depends on the size of the table, and what a million names cost.
#![allow(clippy::expect_used, reason = "a benchmark stops at the first error")]

use std::hint::black_box;
use std::sync::Arc;

use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, PrimitiveArray, RecordBatch};
use csm::{OpenOptions, PublishOptions, Region};
use csm_bench::{Scratch, median, micros, row, timed};

const MIB: usize = 1 << 20;
const ROUNDS: usize = 2000;

/// Three columns of 64-bit integers in the region, `bytes` together.
fn table(region: &Region, bytes: usize) -> RecordBatch {
    let column = |seed: i64| -> ArrayRef {
        let rows = bytes / 3 / 8;
        let mut values = region.vec::<i64>(rows).expect("room");
        values.resize(rows, seed).expect("room");
        Arc::new(PrimitiveArray::<Int64Type>::new(values.freeze(), None))
    };
    RecordBatch::try_from_iter([("a", column(1)), ("b", column(2)), ("c", column(3))]).expect("batch")
}

fn open_p50(region: &Region, names: &[String]) -> f64 {
    let mut next = 0;
    micros(median(&timed(ROUNDS, || {
        next = (next + 7919) % names.len();
        let table = region.open_table(&names[next], &OpenOptions::default()).expect("open");
        black_box(table.batch(0).expect("batch"));
    })))
}

fn main() {
    // Cargo passes --bench.
    let gib = std::env::var("CSM_BENCH_GIB").ok().and_then(|v| v.parse().ok()).unwrap_or(4usize);
    println!("publish and open, 3 columns, p50 of {ROUNDS}");
    let scratch = Scratch::new("tables", &format!("size={}M&catalog=1000", gib * 1024 + 512));
    let region = scratch.region();
    for bytes in [MIB, 100 * MIB, 1024 * MIB, gib * 1024 * MIB] {
        let batch = table(region, bytes);
        let options = PublishOptions { replace: true, ..Default::default() };
        let published = timed(ROUNDS, || {
            let done = region
                .publish_record_batches("t", batch.schema(), std::slice::from_ref(&batch), &options)
                .expect("publish");
            assert_eq!(done.bytes_copied, 0);
        });
        let label = format!("{} MiB", bytes / MIB);
        row(
            &format!("publish, table of {label} in the region (replacing)"),
            micros(median(&published)),
            "us",
            Some(10.0),
        );
        row(
            &format!("open and first array, table of {label}"),
            open_p50(region, &["t".to_owned()]),
            "us",
            Some(5.0),
        );
        region.remove("t").expect("remove");
    }

    let few = names_cost(10);
    let many = names_cost(1_000_000);
    row("open among 10 names", few, "us", None);
    row("open among 1 000 000 names", many, "us", None);
    row("ratio, 1 000 000 names to 10", many / few, "x", Some(2.0));
}

fn names_cost(count: usize) -> f64 {
    let scratch = Scratch::new("names", &format!("size={}M&catalog={count}", 64 + count / 1000));
    let region = scratch.region();
    let batch = table(region, 3072);
    let names: Vec<String> = (0..count).map(|i| format!("table-{i:07}")).collect();
    for name in &names {
        let batches = std::slice::from_ref(&batch);
        region
            .publish_record_batches(name, batch.schema(), batches, &PublishOptions::default())
            .expect("publish");
    }
    open_p50(region, &names)
}
