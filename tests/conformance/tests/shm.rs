//! The suite on `shm:`, shared memory of one host.

use std::path::PathBuf;

use csm_conformance::{Fixture, harness};

struct Shm;

impl Fixture for Shm {
    fn name(&self) -> &'static str {
        "shm"
    }

    fn uri(&self, name: &str) -> String {
        format!("shm:{name}")
    }

    fn file(&self, uri: &str) -> Option<PathBuf> {
        Some(format!("/dev/shm/csm.{}", uri.strip_prefix("shm:")?).into())
    }

    fn nodes(&self) -> u64 {
        8
    }

    fn grows(&self) -> bool {
        true
    }
}

fn main() {
    harness::run(&[&Shm])
}
