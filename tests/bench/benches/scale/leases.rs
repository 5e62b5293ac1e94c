//! By the leases that are held: all on one table by a reader process, or each on a generation that was replaced since.

use csm::OpenOptions;
use csm_bench::Scratch;
use csm_bench::peer::Peer;
use csm_bench::series::{QUICK, missing, quick, rounds};

use super::{NEW, REPLACE, SMALL, Steps, point, publish, reap, table};

const HELD: [&str; 4] = [
    "a new name retires nothing and looks at no lease",
    "a lease is taken from the process's own block: nobody else's is looked at",
    "what was replaced is reclaimed if nobody reads it: one pass over the used lease blocks, 16 bytes a lease; nothing is asked of the kernel",
    "what was removed is reclaimed if nobody reads it: one pass over the used lease blocks, 16 bytes a lease; nothing is asked of the kernel",
];
const KEPT: [&str; 4] = [
    "a new name retires nothing and looks at no lease",
    "a lease is taken from the process's own block; closing looks whether the name has changed",
    "one pass over the used lease blocks, and two along the list of retired generations: a cache miss and a search each",
    "one pass over the used lease blocks, and two along the list of retired generations: a cache miss and a search each",
];
const REAP: &str =
    "to clear up after a killed reader: its lease blocks, 16 bytes a lease, and one pass over the leases";

pub(super) fn measure() {
    let times = rounds(1000, 200);
    for count in [1, 10, 100, 1000, 10_000] {
        let scratch = Scratch::new("leases", &format!("size=64M&catalog=100&leases={}", count + 1000));
        let region = scratch.region();
        let batch = table(region, SMALL);
        publish(region, "held", &batch, &NEW);
        let case = format!("{count} leases");
        let mut reader = Peer::start("hold", &format!("{} held {count}", scratch.uri()));
        assert_eq!(reader.hear(), "ready");
        assert_eq!(region.stats().expect("stats").leases, count as u64);
        Steps::measure(region, &batch, times).print("leases", &case, count, HELD);
        drop(reader);
        region.reap().expect("reap");
        let reaped = reap(region, scratch.uri(), "held", count);
        point(&case, count, "reap the dead reader, by leases", REAP).print_times(&reaped);
    }
    if quick() {
        missing("scale", "10000 kept generations", QUICK);
    }
    for count in [1, 10, 100, 1000, 10_000].into_iter().filter(|count| !quick() || *count <= 1000) {
        let scratch = Scratch::new("kept", &format!("size=128M&catalog=100&leases={}", count + 1000));
        let region = scratch.region();
        let batch = table(region, SMALL);
        let kept: Vec<_> = (0..count)
            .map(|_| {
                publish(region, "kept", &table(region, SMALL), &REPLACE);
                region.open_table("kept", &OpenOptions::default()).expect("open")
            })
            .collect();
        publish(region, "kept", &batch, &REPLACE);
        assert_eq!(region.stats().expect("stats").retired, count as u64);
        let case = format!("{count} kept generations");
        Steps::measure(region, &batch, times.min(100_000 / count).max(20)).print(
            "kept generations",
            &case,
            count,
            KEPT,
        );
        drop(kept);
        assert_eq!(region.stats().expect("stats").retired, 0);
    }
}
