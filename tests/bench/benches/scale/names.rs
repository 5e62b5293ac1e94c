//! By the names that are published, each a table of its own.

use std::time::Duration;

use csm::Context;
use csm_bench::Scratch;
use csm_bench::peer::{self, Peer};
use csm_bench::series::{QUICK, missing, quick, rounds, time};

use super::{NEW, SMALL, Steps, fits, open, point, publish, reap, table};

const WHY: [&str; 4] = [
    "a hashed catalog with open addressing, a fifth of it always free: one or two probes whatever it holds",
    "as publish; a table that was just published, so that what grows is the catalog and not the descriptors read",
    "as publish; the slot is remembered from the publish before",
    "one or two probes, and the scan of the leases, of which there are none",
];
const ANY: &str =
    "open of any name: one or two probes; what grows is cache and TLB misses, on entry and descriptor";
const REAP: &str = "to clear up after a killed process that held one lease: its lease block, and one look at the map of the heap, 8 bytes for 16 KiB of data, for what it had allocated; no name is looked at";
const JOIN: &str = "Context::open in a new process: maps, takes a member's slot, looks at the map of the heap, 8 bytes for 16 KiB of data; no name is looked at";

pub(super) fn measure() {
    let most = if quick() { 100_000 } else { 1_000_000 };
    if quick() {
        missing("scale", "1000000 names", QUICK);
    }
    for count in [10, 100, 1000, 10_000, 100_000, 1_000_000].into_iter().filter(|count| *count <= most) {
        // Room for the names that come and go, and 2.5 KiB for each table: its columns, a descriptor, the catalog.
        let size = (64 + count / 400) / 2 * 2;
        if !fits(&format!("{count} names"), size) {
            continue;
        }
        let scratch = Scratch::new("names", &format!("size={size}M&catalog={}", count + 8));
        let region = scratch.region();
        let batch = table(region, SMALL);
        let names: Vec<String> = (0..count).map(|i| format!("table-{i:07}")).collect();
        for name in &names {
            publish(region, name, &table(region, SMALL), &NEW);
        }
        let case = format!("{count} names");
        Steps::measure(region, &batch, rounds(2000, 500)).print("names", &case, count, WHY);
        let mut next = 0;
        let any: Vec<Duration> = (0..rounds(4000, 1000))
            .map(|_| {
                next = (next + 7919) % count;
                time(|| open(region, &names[next]))
            })
            .collect();
        point(&case, count, "open any name", ANY).print_times(&any);
        let reaped = reap(region, scratch.uri(), &names[0], 1);
        point(&case, count, "reap a dead process, by names", REAP).print_times(&reaped);
        let mut joined = Vec::new();
        for _ in 0..rounds(9, 3) {
            joined.extend(Peer::start("join", scratch.uri()).hear_numbers());
        }
        point(&case, count, "open the region, by names", JOIN).print(&joined);
    }
}

/// Another process: says how many nanoseconds it took to open the region.
pub(super) fn join(uri: &str) {
    let context = Context::new().expect("context");
    let taken = time(|| context.open(uri).expect("open"));
    peer::say(&(taken.as_secs_f64() * 1e9).to_string());
}
