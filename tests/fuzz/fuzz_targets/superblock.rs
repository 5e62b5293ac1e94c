//! Superblocks, with and without a checksum that fits.
#![no_main]

use csm_conformance::hostile::{Attack, fuzz};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz(bytes, Attack::Superblock));
