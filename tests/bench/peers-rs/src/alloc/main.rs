//! Allocation as Arrow does it: recorded traces replayed, and what an hour's worth of tables does to a heap; on a region
//! of libcsm, on the allocators that a program would use by itself, and on allocators over memory of a fixed size.
#![allow(clippy::expect_used, reason = "a benchmark stops at the first error")]

mod mix;
mod pools;
mod trace;

use csm_bench::peer;
use csm_bench::series::missing;

fn main() {
    if let Some((role, argument)) = peer::role() {
        return match role.as_str() {
            "cold" => trace::cold_child(&argument),
            "full" => mix::full_child(&argument),
            _ => mix::child(&argument),
        };
    }
    trace::measure();
    mix::measure();
    for (who, _) in pools::ALL.iter().filter(|(_, present)| !present) {
        missing("alloc", who, "it could not be built here: see the output of the build");
    }
}
