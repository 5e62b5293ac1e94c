//! Garbage in the catalog and all other metadata of a region, before or while it is open.
#![no_main]

use csm_conformance::hostile::{Attack, fuzz};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some((when, bytes)) = bytes.split_first() {
        fuzz(bytes, if when % 2 == 0 { Attack::Closed } else { Attack::Open });
    }
});
