//! The protocols under an adversary: `CSM_SEEDS=1000` seeds, or 20.

use csm_conformance::harness::run_tests;
use csm_conformance::seeds;

fn main() {
    run_tests(vec![("seeds".to_owned(), Box::new(seeds::run))], seeds::ROLES)
}
