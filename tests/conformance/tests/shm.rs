//! The suite on `shm:`, shared memory of one host, coherent and with the real cache instructions.

use csm_conformance::devices::Shm;
use csm_conformance::harness;

fn main() {
    harness::run(&[&Shm("coherence=gc"), &Shm("coherence=lender"), &Shm("coherence=lc")])
}
