//! The suite on `incoherent:`, the simulated link: every profile, and lines of 64 and of 128 bytes.

use csm_conformance::devices::Incoherent;
use csm_conformance::{Fixture, harness};

macro_rules! links {
    ($($name:literal, $options:literal, $line_bytes:literal, $owner_caches:literal;)*) => {
        &[$(&Incoherent {
            name: $name,
            options: $options,
            line_bytes: $line_bytes,
            owner_caches: $owner_caches,
        } as &dyn Fixture,)*]
    };
}

fn main() {
    harness::run(links! {
        "incoherent-gc", "profile=gc&line=128", 128, false;
        "incoherent-lender-64", "profile=lender&line=64", 64, false;
        "incoherent-lender-128", "profile=lender&line=128", 128, false;
        "incoherent-lc-64", "profile=lc&line=64", 64, true;
        "incoherent-lc-128", "profile=lc&line=128", 128, true;
    })
}
