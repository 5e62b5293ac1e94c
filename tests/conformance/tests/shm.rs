//! The suite on `shm:`, shared memory of one host.

use csm_conformance::fixture::Shm;
use csm_conformance::harness;

fn main() {
    harness::run(&[&Shm])
}
