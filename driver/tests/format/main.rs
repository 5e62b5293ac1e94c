//! Between the Arrow C Data Interface and the table descriptor, with arrow-rs at both ends.
//!
//! Regions are stood in for by plain memory, so all of this runs without one,
//! and most of it under Miri.
#![allow(unsafe_code, reason = "plays the producer and the consumer of C structs")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "tests"
)]
#![allow(clippy::cast_ptr_alignment, missing_docs, unreachable_pub, reason = "tests")]

mod arrays;
mod bad_input;
mod bridge;
mod hostile;
mod release;
mod round_trip;
mod schemas;
mod values;

/// As many cases as `PROPTEST_CASES` says; Miri is slow.
fn config() -> proptest::test_runner::Config {
    let default = proptest::test_runner::Config::default();
    let cases = if cfg!(miri) { 4 } else { default.cases };
    proptest::test_runner::Config { cases, failure_persistence: None, ..default }
}
