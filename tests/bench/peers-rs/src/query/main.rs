//! TPC-H queries 1 and 6 by DataFusion on a published table, beside the same on memory of the reader's own.
//!
//! DataFusion brings its own arrow-rs, of another version than libcsm's: they meet in the Arrow C Data Interface, as any two
//! programs would, and the table is read in place.
#![allow(clippy::expect_used, reason = "a benchmark stops at the first error")]

mod lineitem;

use std::sync::Arc;
use std::time::{Duration, Instant};

use csm::table::cdata::ArrowArrayStream;
use csm::{Context, OpenOptions, PublishOptions, Region};
use csm_bench::Scratch;
use csm_bench::peer;
use csm_bench::series::{Series, page_faults, quick, rounds};
use datafusion::arrow::array::{ArrayRef, Float64Array, RecordBatch, RecordBatchIterator};
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

fn run(runtime: &Runtime, session: &SessionContext, query: &str) -> (Duration, f64) {
    let start = Instant::now();
    let batches =
        runtime.block_on(async { session.sql(query).await.expect("plan").collect().await }).expect("query");
    let taken = start.elapsed();
    let first: &ArrayRef = batches[0].column(0);
    (taken, first.as_any().downcast_ref::<Float64Array>().expect("a sum").value(0))
}

/// The reader's process. What it opens was published by another one; its own copy is made anew from the seed.
fn reader(uris: &str) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(PARTITIONS).build().expect("runtime");
    let rows = lineitem::rows();
    let case = |query: &str| format!("{query}, {rows} rows");
    let series = Series {
        work: "query",
        what: "Rust, DataFusion",
        x: Some(rows as f64),
        unit: "s",
        ..Series::default()
    };
    let context = Context::new().expect("context");
    let mut rivals = Vec::new();
    let names = ["libcsm", "libcsm, huge pages"];
    for (who, uri) in names.into_iter().zip(uris.split(' ')) {
        let before = page_faults();
        let start = Instant::now();
        let region = context.open(uri).expect("open");
        let session = session(&open(&region));
        run(&runtime, &session, QUERIES[1].1);
        let cold = [start.elapsed().as_secs_f64()];
        let counts = [("page_faults", page_faults() - before)];
        let includes =
            "region and table opened, session made, planned and run, all for the first time in the process";
        let what = "Rust, DataFusion, from opening the region on";
        let case = case(QUERIES[1].0);
        Series { who, what, case: &case, includes, warm: false, counts: &counts, ..series }.print(&cold);
        rivals.push((who, session));
    }
    rivals.push((OWN, session(&lineitem::batches())));
    let includes = "planned and run by 2 threads on Arrow batches in memory, the table opened before";
    for (name, query) in QUERIES {
        let mut taken = vec![(Vec::new(), 0.0); rivals.len()];
        for round in 0..rounds(17, 6) {
            for ((_, session), (taken, sum)) in rivals.iter().zip(&mut taken) {
                let (time, result) = run(&runtime, session, query);
                *sum = result;
                if round >= 2 {
                    taken.push(time);
                }
            }
        }
        let expected = taken.last().map_or(0.0, |(_, sum)| *sum);
        for ((who, _), (taken, sum)) in rivals.iter().zip(&taken) {
            // Sums of floating-point numbers in another order differ in the last digits.
            assert!(
                (sum - expected).abs() <= 1e-9 * expected.abs(),
                "{who}, {name}: {sum} is not {expected}"
            );
            let case = case(name);
            Series { who, case: &case, includes, limit: *who == OWN, ..series }.print_times(taken);
        }
    }
}

fn main() {
    if let Some((_, uris)) = peer::role() {
        return reader(&uris);
    }
    let mib = if quick() { 256 } else { 1024 };
    let plain = Scratch::new("query", &format!("size={mib}M&catalog=100"));
    let huge = Scratch::new("query-huge", &format!("size={mib}M&catalog=100&hugepages=thp"));
    for scratch in [&plain, &huge] {
        publish(scratch.region(), lineitem::batches());
    }
    peer::run("reader", &format!("{} {}", plain.uri(), huge.uri()));
}
