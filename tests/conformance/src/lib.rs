//! What every device must do, as cases that know no device.
//!
//! A [`Fixture`] says how regions of a device are named and what this machine can do with them; every case
//! of [`cases::ALL`] then runs on it. A test program is [`harness::run`] with its fixture. Other processes are
//! that program started again in a *role* (see [`process`]): never a fork of a process with threads. Cases
//! talk to them in lines over pipes, with a deadline, and never wait for time to pass.
#![allow(unsafe_code, reason = "tests look at memory, fork and change users")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

pub mod cases;
mod descriptors;
pub mod devices;
pub mod fixture;
pub mod harness;
pub mod hostile;
pub mod process;
pub mod random;
pub mod seeds;
pub mod table;

pub use fixture::{Fixture, Scratch};

/// How a case ended that did not fail.
pub type Outcome = Result<(), Skipped>;

/// Why a case could not run here, and how to enable it.
#[derive(Debug)]
pub struct Skipped(pub String);

/// Ends a case that cannot run here.
///
/// # Errors
/// Always: `Err` is how a case is skipped.
pub fn skip(why: impl Into<String>) -> Outcome {
    Err(Skipped(why.into()))
}
