//! Mutants: the library with one step of its protocols left out, which must not go unnoticed.
//!
//! Every write-back, invalidation, fence and check of the protocols is a [`csm::hooks::steps`] part, and a build with the
//! feature `test-hooks` leaves out the one that the environment names. [`scenarios`] are small plays of a few
//! processes on the simulated link, each with one thing that can go wrong in it; unmutated they all pass. A
//! mutant is killed by the first that fails. What survives is listed with its reason in [`EXPLAINED`].
#![allow(unsafe_code, reason = "raw extents, and signals to processes")]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

pub mod node;
pub mod scenarios;

/// Parts that nothing can miss, and why.
pub const EXPLAINED: &[(&str, &str)] = &[
    (
        "SuperblockIn:Invalidate",
        "a simulated node's cache begins with the region; a real window outlives regions",
    ),
    ("SuperblockIn:Fence", "as above"),
    ("HelpHome:Fence", "what the lock was taken for fences too, but for a mere look at the region"),
    ("VoidHome:Fence", "the scan's first acquire fences too; on coherent memory nothing else does"),
    ("LeaseEndHome:Fence", "the look at the catalog that follows fences too"),
];
