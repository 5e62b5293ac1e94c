//! URIs, parsed, printed, and as options of an opening.
#![no_main]

use csm_conformance::hostile::{Attack, fuzz};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz(bytes, Attack::Uri));
