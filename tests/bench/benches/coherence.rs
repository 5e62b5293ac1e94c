//! What a reader pays where nothing keeps caches coherent (`coherence=lc`, real cache instructions on this machine's own
//! memory): opening a large table and invalidating all of it, or one of its columns.
//!
//! Copying, writing back and invalidating beside bare loops is in `c/flush.c`, messages between nodes in `peers-rs`.
#![allow(clippy::expect_used, reason = "a benchmark stops at the first error")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{Int64Array, RecordBatch};
use csm::{Context, OpenOptions, PublishOptions};
use csm_bench::Scratch;
use csm_bench::peer;
use csm_bench::series::{Series, interleaved, quick, rounds, time};

const COLUMNS: i64 = 10;

fn bytes() -> i64 {
    if quick() { 1 << 27 } else { 1 << 30 }
}

/// The reader's process on node 1.
fn read(uri: &str) {
    let region = Context::new().and_then(|c| c.open(uri)).expect("open");
    let open = |columns: Option<&[usize]>| {
        time(|| {
            let table = region.open_table("t", &OpenOptions::default()).expect("table");
            let table = columns.map_or(table.clone(), |columns| table.select(columns).expect("column"));
            black_box(table.batch(0).expect("batch"));
        })
    };
    let lines = || region.stats().expect("stats").coherence.lines_invalidated;
    let before = lines();
    open(None);
    let a_time = lines() - before;
    let times = rounds(15, 7);
    let mut rivals: [&mut dyn FnMut() -> Duration; 2] = [&mut || open(None), &mut || open(Some(&[3]))];
    let [all, one] = interleaved(2, times, &mut rivals);
    let case = format!("{} MiB in {COLUMNS} columns", bytes() >> 20);
    let series = Series { work: "flush", case: &case, unit: "s", ..Series::default() };
    let what = "open and invalidate all columns";
    let includes =
        "lease, descriptor, and every line of the table invalidated before the first value is read";
    let counts = [("lines", a_time as f64)];
    Series { what, includes, counts: &counts, ..series }.print_times(&all);
    let what = "open and invalidate one column";
    let includes = "lease, descriptor, and the lines of the one column that was selected";
    Series { what, includes, ..series }.print_times(&one);
}

fn main() {
    if let Some((_, uri)) = peer::role() {
        return read(&uri);
    }
    let size = (bytes() >> 20) + 176;
    let scratch = Scratch::new("coherence", &format!("size={size}M&coherence=lc&hugepages=thp"));
    let rows = bytes() / 8 / COLUMNS;
    let column = || Arc::new(Int64Array::from_iter_values(0..rows)) as _;
    let batch = RecordBatch::try_from_iter((0..COLUMNS).map(|i| (format!("c{i}"), column()))).expect("batch");
    let batches = std::slice::from_ref(&batch);
    scratch
        .region()
        .publish_record_batches("t", batch.schema(), batches, &PublishOptions::default())
        .expect("publish");
    peer::run("read", &format!("{}?node=1", scratch.uri()));
}
