//! The first full scan of a table by a process that has just opened it, beside the same scan of its own memory.
//!
//! Page faults are what a first scan costs: so with ordinary pages and with huge ones, and with a prefault.
#![allow(clippy::expect_used, reason = "a benchmark stops at the first error")]

use std::hint::black_box;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{PrimitiveArray, RecordBatch};
use csm::{Context, OpenOptions, PublishOptions};
use csm_bench::Scratch;
use csm_bench::peer::{self, Peer};
use csm_bench::series::{Series, page_faults, quick, rounds, time};

const OWN: &str = "the same sum in memory of the process's own that it has touched and summed before";
const OPEN: &str = "Context::open in a new process, the table, its batches; with prefault=yes every page";
const SCAN: &str = "sum of the column where it lies, the first time in the process";

fn rows() -> i64 {
    if quick() { 1 << 24 } else { 1 << 27 }
}

fn sum(values: &[i64]) -> i64 {
    values.iter().fold(0, |sum, value| sum.wrapping_add(*value))
}

/// The reader's process: seconds of the scan of its own memory, of opening, and of the first scan, and its page faults.
fn read(uri: &str) {
    let own: Vec<i64> = (0..rows()).collect();
    let expected = black_box(sum(&own));
    let own_time = time(|| sum(&own));
    let mut batches: Vec<RecordBatch> = Vec::new();
    let open_time = time(|| {
        let region = Context::new().and_then(|c| c.open(uri)).expect("open");
        let table = region.open_table("t", &OpenOptions::default()).expect("table");
        batches = table.record_batches().expect("batches");
    });
    let (mut got, before) = (0, page_faults());
    let scan_time = time(|| got = sum(batches[0].column(0).as_primitive::<Int64Type>().values()));
    assert_eq!(got, expected);
    let [own, open, scan] = [own_time, open_time, scan_time].map(|time| time.as_secs_f64());
    peer::say(&format!("{own} {open} {scan} {}", page_faults() - before));
}

fn measure(uri: &str, what: &str, bytes: i64) {
    let runs: Vec<Vec<f64>> = (0..rounds(5, 3))
        .map(|_| {
            let mut reader = Peer::start("read", uri);
            let numbers = reader.hear_numbers();
            reader.finish();
            numbers
        })
        .collect();
    let column = |i: usize| runs.iter().map(|run| run[i]).collect::<Vec<_>>();
    let case = format!("{} MiB, {what}", bytes >> 20);
    let series = Series { work: "share", case: &case, x: Some(bytes as f64), unit: "s", ..Series::default() };
    Series { what: "open (Rust)", includes: OPEN, warm: false, ..series }.print(&column(1));
    let faults = column(3);
    let counts = [("page_faults", faults.iter().sum::<f64>() / faults.len() as f64)];
    let first = "first full scan (Rust)";
    Series { what: first, includes: SCAN, warm: false, counts: &counts, ..series }.print(&column(2));
    Series {
        what: first,
        who: "own memory, touched before",
        includes: OWN,
        warm: false,
        limit: true,
        ..series
    }
    .print(&column(0));
}

fn main() {
    if let Some((_, uri)) = peer::role() {
        return read(&uri);
    }
    let bytes = rows() * 8;
    for (pages, option) in [("4 KiB pages", "none"), ("huge pages", "thp")] {
        let size = (bytes >> 20) + 176;
        let scratch = Scratch::new("scan", &format!("size={size}M&hugepages={option}"));
        let region = scratch.region();
        let mut values = region.vec::<i64>(usize::try_from(rows()).expect("64-bit")).expect("room");
        values.extend(0..rows()).expect("room");
        let column = Arc::new(PrimitiveArray::<Int64Type>::new(values.freeze(), None));
        let batch = RecordBatch::try_from_iter([("v", column as _)]).expect("batch");
        let batches = std::slice::from_ref(&batch);
        region
            .publish_record_batches("t", batch.schema(), batches, &PublishOptions::default())
            .expect("publish");
        for (how, suffix) in [("", ""), (", prefault=yes", "?prefault=yes")] {
            measure(&format!("{}{suffix}", scratch.uri()), &format!("{pages}{how}"), bytes);
        }
    }
}
