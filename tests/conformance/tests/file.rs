//! The suite on `file:`: a file of the region's own, files that are there and are used as windows; or, instead, on the
//! window that `CSM_TEST_WINDOW` names, as `dax:/dev/dax0.0`, of `CSM_TEST_WINDOW_MIB` (what it holds is lost).

use csm_conformance::devices::{PlainFile, Window, WindowFile};
use csm_conformance::{Fixture, harness};

fn main() {
    let Ok(uri) = std::env::var("CSM_TEST_WINDOW") else {
        harness::run(&[
            &PlainFile,
            &WindowFile("coherence=gc"),
            &WindowFile("coherence=lender"),
            &WindowFile("coherence=lc"),
        ])
    };
    let mib =
        std::env::var("CSM_TEST_WINDOW_MIB").ok().and_then(|mib| mib.parse::<u64>().ok()).unwrap_or(128);
    let window: &'static dyn Fixture = Box::leak(Box::new(Window::new(uri, mib << 20)));
    harness::run(vec![window].leak())
}
