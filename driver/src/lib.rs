//! Cluster shared memory for Apache Arrow.

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("libcsm needs 64-bit Linux");

mod arch;
mod coherence;
mod device;
pub mod error;
mod lease;
mod map;
mod member;
mod region;
mod sys;
pub mod table;
pub mod units;
pub mod uri;

pub use error::{Error, ErrorKind, Result};
