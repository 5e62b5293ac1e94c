//! The first full scan of a table by a process that has just opened it, beside the same scan of its own memory.
//!
//! Page faults are what a first scan costs: so with ordinary pages and with huge ones, and with a prefault.
#![allow(clippy::expect_used, reason = "a benchmark stops at the first error")]

use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{PrimitiveArray, RecordBatch};
use csm::{Context, OpenOptions, PublishOptions};
use csm_bench::{Scratch, row};

const ROWS: i64 = 1 << 27;
const RUNS: usize = 5;

fn sum(values: &[i64]) -> i64 {
    values.iter().fold(0, |sum, value| sum.wrapping_add(*value))
}

/// The reader's process: milliseconds of the scan of its own memory, of opening, and of the first scan.
fn read(uri: &str) {
    let own: Vec<i64> = (0..ROWS).collect();
    black_box(sum(&own));
    let start = Instant::now();
    let expected = black_box(sum(&own));
    let own_ms = start.elapsed().as_secs_f64() * 1e3;
    let start = Instant::now();
    let region = Context::new().and_then(|c| c.open(uri)).expect("open");
    let table = region.open_table("t", &OpenOptions::default()).expect("table");
    let batches = table.record_batches().expect("batches");
    let open_ms = start.elapsed().as_secs_f64() * 1e3;
    let start = Instant::now();
    let got = black_box(sum(batches[0].column(0).as_primitive::<Int64Type>().values()));
    let scan_ms = start.elapsed().as_secs_f64() * 1e3;
    assert_eq!(got, expected);
    println!("{own_ms} {open_ms} {scan_ms}");
}

fn measure(uri: &str) -> [f64; 3] {
    let mut runs: Vec<[f64; 3]> = (0..RUNS)
        .map(|_| {
            let me = std::env::current_exe().expect("self");
            let out = Command::new(me).env("CSM_BENCH_READ", uri).output().expect("reader");
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            let mut numbers = text.split_whitespace().map(|n| n.parse().expect("number"));
            std::array::from_fn(|_| numbers.next().expect("three numbers"))
        })
        .collect();
    runs.sort_by(|a, b| (a[2] / a[0]).total_cmp(&(b[2] / b[0])));
    runs[RUNS / 2]
}

fn main() {
    if let Ok(uri) = std::env::var("CSM_BENCH_READ") {
        return read(&uri);
    }
    println!("first full scan of 1 GiB after opening, beside own touched memory; median of {RUNS} processes");
    for (pages, option, goal) in [("4 KiB", "none", None), ("huge (thp)", "thp", Some(1.1))] {
        let scratch = Scratch::new("scan", &format!("size=1200M&hugepages={option}"));
        let region = scratch.region();
        let mut values = region.vec::<i64>(usize::try_from(ROWS).expect("64-bit")).expect("room");
        values.extend(0..ROWS).expect("room");
        let column = Arc::new(PrimitiveArray::<Int64Type>::new(values.freeze(), None));
        let batch = RecordBatch::try_from_iter([("v", column as _)]).expect("batch");
        region
            .publish_record_batches(
                "t",
                batch.schema(),
                std::slice::from_ref(&batch),
                &PublishOptions::default(),
            )
            .expect("publish");
        for (how, suffix, goal) in [("", "", None), (", prefault=yes", "?prefault=yes", goal)] {
            let [own, open, scan] = measure(&format!("{}{suffix}", scratch.uri()));
            row(&format!("{pages} pages{how}: own memory"), own, "ms", None);
            row(&format!("{pages} pages{how}: open"), open, "ms", None);
            row(&format!("{pages} pages{how}: first scan"), scan, "ms", None);
            row(&format!("{pages} pages{how}: ratio to own memory"), scan / own, "x", goal);
        }
    }
}
