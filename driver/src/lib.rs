//! Cluster shared memory for Apache Arrow.
//!
//! Several servers map one load/store memory at the same fixed addresses. A program builds Arrow tables in
//! it, publishes them under a name, and a process on another node reads them in place.

#[cfg(not(all(target_os = "linux", target_pointer_width = "64", target_endian = "little")))]
compile_error!("libcsm needs 64-bit little-endian Linux");

mod api;
mod arch;
#[cfg(feature = "arrow")]
pub mod arrow;
mod coherence;
mod device;
pub mod error;
mod heap;
mod lease;
mod map;
mod member;
mod region;
mod stats;
mod sys;
pub mod table;
pub mod units;
pub mod uri;

pub use api::{Context, ContextOptions, Region, RegionInfo};
pub use coherence::CoherenceStats;
pub use device::{CoherenceReport, MemoryType, Roles};
pub use error::{Error, ErrorKind, Result};
pub use member::MemberInfo;
#[cfg(feature = "crash-points")]
pub use region::crash;
pub use stats::RegionStats;
pub use table::{OpenOptions, PublishOptions, Published, Table, TableInfo, TableLease, VerifyReport};
