//! What operations cost as a region fills: names, leases, generations that readers keep, nodes, and the bytes of a table.
//!
//! Every series of a step is one point of a growth curve; its `includes` names the structure that explains the curve.
#![allow(clippy::expect_used, reason = "a benchmark stops at the first error")]

mod bytes;
mod counted;
mod leases;
mod names;
mod nodes;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, PrimitiveArray, RecordBatch};
use csm::{Context, OpenOptions, PublishOptions, Region};
use csm_bench::peer;
use csm_bench::series::{Series, missing, rounds, time};

const NEW: PublishOptions = PublishOptions { replace: false, seal: false };
const REPLACE: PublishOptions = PublishOptions { replace: true, seal: false };

/// Bytes of a small table: 16 rows of three columns.
const SMALL: usize = 3 * 16 * 8;

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

fn publish(region: &Region, name: &str, batch: &RecordBatch, options: &PublishOptions) {
    let batches = std::slice::from_ref(batch);
    let done = region.publish_record_batches(name, batch.schema(), batches, options).expect("publish");
    assert_eq!(done.bytes_copied, 0);
}

fn open(region: &Region, name: &str) {
    let table = region.open_table(name, &OpenOptions::default()).expect("open");
    black_box(table.batch(0).expect("batch"));
}

/// How long each of the four steps took, again and again in turn, each on a table that nobody else uses.
#[derive(Default)]
struct Steps {
    publish: Vec<Duration>,
    open: Vec<Duration>,
    replace: Vec<Duration>,
    remove: Vec<Duration>,
}

impl Steps {
    /// Measures on a region that is as full as it is to be.
    fn measure(region: &Region, batch: &RecordBatch, times: usize) -> Self {
        let mut steps = Self::default();
        for i in 0..times + times / 10 {
            let name = format!("step-{i}");
            let publish_time = time(|| publish(region, &name, batch, &NEW));
            let open_time = time(|| open(region, &name));
            let replace_time = time(|| publish(region, &name, batch, &REPLACE));
            let remove_time = time(|| region.remove(&name).expect("remove"));
            // The first tenth fills caches.
            if i >= times / 10 {
                steps.publish.push(publish_time);
                steps.open.push(open_time);
                steps.replace.push(replace_time);
                steps.remove.push(remove_time);
            }
        }
        steps
    }

    /// Prints the four series of one point of the curves by `by`.
    fn print(&self, by: &str, case: &str, x: usize, why: [&str; 4]) {
        let steps = [
            ("publish", &self.publish),
            ("open", &self.open),
            ("replace", &self.replace),
            ("remove", &self.remove),
        ];
        for ((step, taken), includes) in steps.into_iter().zip(why) {
            point(case, x, &format!("{step}, by {by}"), includes).print_times(taken);
        }
    }
}

/// A point of a curve.
fn point<'a>(case: &'a str, x: usize, what: &'a str, includes: &'a str) -> Series<'a> {
    let x = Some(x as f64);
    Series { work: "scale", case, x, what, includes, ..Series::default() }
}

/// Whether a region of so many MiB fits in what is free; says that `what` is missing if it does not.
fn fits(what: &str, mib: usize) -> bool {
    let free_mib = csm_bench::free_shm_bytes() >> 20;
    let fits = mib as u64 <= free_mib;
    if !fits {
        missing("scale", what, &format!("it takes {mib} MiB of /dev/shm, where {free_mib} MiB are free"));
    }
    fits
}

/// How long it takes to clear up after a process that was killed while it held `leases` of table `name`.
fn reap(region: &Region, uri: &str, name: &str, leases: usize) -> Vec<Duration> {
    (0..rounds(9, 3))
        .map(|_| {
            let mut holder = peer::Peer::start("hold", &format!("{uri} {name} {leases}"));
            assert_eq!(holder.hear(), "ready");
            holder.kill();
            let mut found = Vec::new();
            let taken = time(|| found = region.reap().expect("reap"));
            assert_eq!(found.len(), 1, "{found:?}");
            taken
        })
        .collect()
}

/// Another process: holds leases until it is killed. The argument: URI, table, how many.
fn hold(argument: &str) -> ! {
    let mut words = argument.split(' ');
    let mut word = || words.next().expect("URI, table, leases");
    let (uri, name, leases) = (word(), word(), word().parse::<usize>().expect("a number"));
    let region = Context::new().and_then(|context| context.open(uri)).expect("open");
    let held: Vec<_> =
        (0..leases).map(|_| region.open_table(name, &OpenOptions::default()).expect("open")).collect();
    black_box(&held);
    peer::stay()
}

fn main() {
    if let Some((role, argument)) = peer::role() {
        return match role.as_str() {
            "join" => names::join(&argument),
            "count" => counted::child(&argument),
            _ => hold(&argument),
        };
    }
    let curves: [(&str, fn()); 5] = [
        ("bytes", bytes::measure),
        ("names", names::measure),
        ("leases", leases::measure),
        ("nodes", nodes::measure),
        ("counted", counted::measure),
    ];
    // All of them, or those that are named.
    let named: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    for (name, measure) in curves {
        if named.is_empty() || named.iter().any(|wanted| wanted == name) {
            measure();
        }
    }
}
