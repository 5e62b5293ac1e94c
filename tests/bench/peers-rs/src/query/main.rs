//! TPC-H queries 1 and 6 by DataFusion on a published table, beside the same on memory of the reader's own.
//!
//! DataFusion brings its own arrow-rs, of another version than libcsm's: they meet in the Arrow C Data Interface, as any two
//! programs would, and the table is read in place. The first query of a process is measured in processes of their own, in
//! turns; what is warm, in turns in one process.
#![allow(clippy::expect_used, reason = "a benchmark stops at the first error")]

mod lineitem;

use std::sync::Arc;
use std::time::{Duration, Instant};

use csm::table::cdata::ArrowArrayStream;
use csm::{Context, OpenOptions, PublishOptions, Region};
use csm_bench::Scratch;
use csm_bench::peer::{self, Peer};
use csm_bench::series::{Series, page_faults, quick, rounds};
use datafusion::arrow::array::{Float64Array, Int64Array, RecordBatch, RecordBatchIterator};
use datafusion::arrow::ffi_stream::{ArrowArrayStreamReader, FFI_ArrowArrayStream};
use datafusion::datasource::MemTable;
use datafusion::execution::context::{SessionConfig, SessionContext};
use tokio::runtime::Runtime;

const QUERIES: [(&str, &str); 2] = [
    (
        "Q1",
        "select sum(l_quantity), sum(l_extendedprice), sum(l_extendedprice * (1 - l_discount)), \
         sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)), avg(l_quantity), avg(l_extendedprice), avg(l_discount), \
         count(*), l_returnflag, l_linestatus from lineitem where l_shipdate <= date '1998-09-02' \
         group by l_returnflag, l_linestatus order by l_returnflag, l_linestatus",
    ),
    (
        "Q6",
        "select sum(l_extendedprice * l_discount) from lineitem where l_shipdate >= date '1994-01-01' \
         and l_shipdate < date '1995-01-01' and l_discount between 0.05 and 0.07 and l_quantity < 24",
    ),
];
const PARTITIONS: usize = 2;
/// The same query on memory that the reader's allocator gave.
const OWN: &str = "own memory";
const REGIONS: [&str; 2] = ["libcsm", "libcsm, huge pages"];
const COLD: &str =
    "region and table opened, session made, planned and run, all for the first time in a process of its own";
const COLD_OWN: &str = "session made, planned and run for the first time in a process of its own, on batches that it made and wrote before the clock";

/// Publishes batches, which are copied into the region.
fn publish(region: &Region, batches: Vec<RecordBatch>) {
    let schema = batches[0].schema();
    let reader = RecordBatchIterator::new(batches.into_iter().map(Ok), schema);
    let mut stream = FFI_ArrowArrayStream::new(Box::new(reader));
    // SAFETY: one struct by two names: both are the Arrow C Stream Interface's.
    let stream = unsafe { ArrowArrayStream::from_raw((&raw mut stream).cast()) };
    // SAFETY: arrow-rs keeps the interface's rules, and nobody else has these arrays.
    unsafe { region.publish("lineitem", stream, &PublishOptions::default()) }.expect("publish");
}

/// The published table as batches of DataFusion's arrow-rs, in place.
fn open(region: &Region) -> Vec<RecordBatch> {
    let table = region.open_table("lineitem", &OpenOptions::default()).expect("open");
    let mut stream = table.stream();
    // SAFETY: as for publishing; the stream is moved out, and what it gives keeps the table open.
    let reader =
        unsafe { ArrowArrayStreamReader::from_raw((&raw mut stream).cast::<FFI_ArrowArrayStream>()) };
    reader.expect("a stream").collect::<Result<_, _>>().expect("batches")
}

/// A session with the table `lineitem` over these batches.
fn session(batches: &[RecordBatch]) -> SessionContext {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(PARTITIONS));
    let mut partitions = vec![Vec::new(); PARTITIONS];
    for (i, batch) in batches.iter().enumerate() {
        partitions[i * PARTITIONS / batches.len()].push(batch.clone());
    }
    let table = MemTable::try_new(batches[0].schema(), partitions).expect("table");
    context.register_table("lineitem", Arc::new(table)).expect("register");
    context
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(PARTITIONS).build().expect("runtime")
}

/// Every number of a result, row by row.
fn numbers(batches: &[RecordBatch]) -> Vec<f64> {
    let mut numbers = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            for column in batch.columns() {
                if let Some(sums) = column.as_any().downcast_ref::<Float64Array>() {
                    numbers.push(sums.value(row));
                } else if let Some(counts) = column.as_any().downcast_ref::<Int64Array>() {
                    numbers.push(counts.value(row) as f64);
                }
            }
        }
    }
    numbers
}

/// Whether two results are the same: sums of floating-point numbers in another order differ in the last digits.
fn same(one: &[f64], other: &[f64]) -> bool {
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs();
    !one.is_empty() && one.len() == other.len() && one.iter().zip(other).all(|(a, b)| close(*a, *b))
}

/// How long a query took, and the numbers of its result.
fn run(runtime: &Runtime, session: &SessionContext, query: &str) -> (Duration, Vec<f64>) {
    let start = Instant::now();
    let batches =
        runtime.block_on(async { session.sql(query).await.expect("plan").collect().await }).expect("query");
    (start.elapsed(), numbers(&batches))
}

fn series<'a>() -> Series<'a> {
    let x = Some(lineitem::rows() as f64);
    Series { work: "query", what: "Rust, DataFusion", x, unit: "s", ..Series::default() }
}

fn case(query: &str) -> String {
    format!("{query}, {} rows", lineitem::rows())
}

/// A process that runs query 6 once, on the region of that URI or, without one, on memory of its own: says its seconds,
/// page faults and result.
fn cold_child(uri: &str) {
    let own = uri.is_empty().then(lineitem::batches);
    let runtime = runtime();
    let (before, start) = (page_faults(), Instant::now());
    let batches = own.unwrap_or_else(|| {
        let region = Context::new().and_then(|context| context.open(uri)).expect("open");
        open(&region)
    });
    let session = session(&batches);
    let (_, result) = run(&runtime, &session, QUERIES[1].1);
    let seconds = start.elapsed().as_secs_f64();
    peer::say(&format!("{seconds} {} {}", page_faults() - before, result[0]));
}

/// The first query of a process, each rival in fresh processes, in turns.
fn cold(uris: [&str; 2]) {
    let rivals = [(REGIONS[0], uris[0], COLD), (REGIONS[1], uris[1], COLD), (OWN, "", COLD_OWN)];
    let mut runs = vec![Vec::new(); rivals.len()];
    for _ in 0..rounds(5, 3) {
        for ((_, uri, _), runs) in rivals.iter().zip(&mut runs) {
            let mut child = Peer::start("cold", uri);
            runs.push(child.hear_numbers());
            child.finish();
        }
    }
    let (what, case) = ("Rust, DataFusion, from opening the region on", case(QUERIES[1].0));
    let expected = runs[0][0][2];
    for ((who, _, includes), runs) in rivals.into_iter().zip(&runs) {
        for run in runs {
            assert!(same(&run[2..], &[expected]), "{who}, Q6: {} is not {expected}", run[2]);
        }
        let seconds: Vec<f64> = runs.iter().map(|run| run[0]).collect();
        let counts = [("page_faults", runs.iter().map(|run| run[1]).sum::<f64>() / runs.len() as f64)];
        let limit = who == OWN;
        Series { who, what, case: &case, includes, warm: false, limit, counts: &counts, ..series() }
            .print(&seconds);
    }
}

/// The reader's process. What it opens was published by another one; its own copy is made anew from the seed.
fn reader(uris: &str) {
    let runtime = runtime();
    let context = Context::new().expect("context");
    let mut rivals = Vec::new();
    for (who, uri) in REGIONS.into_iter().zip(uris.split(' ')) {
        let region = context.open(uri).expect("open");
        rivals.push((who, session(&open(&region))));
    }
    rivals.push((OWN, session(&lineitem::batches())));
    let includes = "planned and run by 2 threads on Arrow batches in memory, the table opened before";
    for (name, query) in QUERIES {
        let mut taken = vec![(Vec::new(), Vec::new()); rivals.len()];
        for round in 0..rounds(17, 6) {
            for ((_, session), (taken, last)) in rivals.iter().zip(&mut taken) {
                let (time, result) = run(&runtime, session, query);
                *last = result;
                if round >= 2 {
                    taken.push(time);
                }
            }
        }
        let (_, expected) = &taken[rivals.len() - 1];
        for ((who, _), (taken, last)) in rivals.iter().zip(&taken) {
            assert!(same(last, expected), "{who}, {name}: {last:?} is not {expected:?}");
            let case = case(name);
            Series { who, case: &case, includes, limit: *who == OWN, ..series() }.print_times(taken);
        }
    }
}

fn main() {
    if let Some((role, argument)) = peer::role() {
        return if role == "cold" { cold_child(&argument) } else { reader(&argument) };
    }
    let mib = if quick() { 256 } else { 1024 };
    let plain = Scratch::new("query", &format!("size={mib}M&catalog=100"));
    let huge = Scratch::new("query-huge", &format!("size={mib}M&catalog=100&hugepages=thp"));
    for scratch in [&plain, &huge] {
        publish(scratch.region(), lineitem::batches());
    }
    cold([plain.uri(), huge.uri()]);
    peer::run("reader", &format!("{} {}", plain.uri(), huge.uri()));
}
