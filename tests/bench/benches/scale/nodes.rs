//! By the nodes that have the region open, on a link where everybody writes back and invalidates. Each is simulated by a
//! process that holds a lease.

use csm_bench::Scratch;
use csm_bench::peer::Crowd;
use csm_bench::series::{QUICK, missing, quick, rounds};

use super::{NEW, SMALL, Steps, point, publish, reap, table};

const WHY: [&str; 4] = [
    "a new name retires nothing and looks at no node",
    "the lease stands in the node's own zone: no other node is looked at",
    "the scan of the leases: one line and the used lease blocks of every node are invalidated, behind two fences for all, and read",
    "the scan of the leases: one line and the used lease blocks of every node are invalidated, behind two fences for all, and read",
];
const REAP: &str = "to clear up after a killed process of the owner's node: its lease block, and one scan of the leases of all nodes";

pub(super) fn measure() {
    let most = if quick() { 100 } else { 1000 };
    if quick() {
        missing("scale", "1000 nodes", QUICK);
    }
    for count in [1, 10, 100, 1000].into_iter().filter(|count| *count <= most) {
        let shape = format!("coherence=lc&nodes={}&members=8&leases=64&catalog=100&size=192M", count + 1);
        let scratch = Scratch::new("nodes", &shape);
        let region = scratch.region();
        let batch = table(region, SMALL);
        publish(region, "held", &batch, &NEW);
        let arguments = (1..=count).map(|node| format!("{}?node={node} held 1", scratch.uri()));
        let crowd = Crowd::start("hold", arguments);
        assert_eq!(region.stats().expect("stats").leases, count as u64);
        let case = format!("{count} nodes");
        Steps::measure(region, &batch, rounds(1000, 200)).print("nodes", &case, count, WHY);
        let reaped = reap(region, scratch.uri(), "held", 1);
        point(&case, count, "reap a dead process, by nodes", REAP).print_times(&reaped);
        drop(crowd);
    }
}
