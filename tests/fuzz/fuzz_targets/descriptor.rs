//! Table descriptors with a checksum that fits: parsed, exported, validated.
#![no_main]

use csm_conformance::hostile::{Attack, fuzz};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz(bytes, Attack::Descriptor));
