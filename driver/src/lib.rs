//! Cluster shared memory for Apache Arrow.
//!
//! Several servers map one load/store memory at the same fixed addresses. A program builds Arrow tables in
//! it, publishes them under a name, and a process on another node reads them in place.
//!
//! ```
//! # fn main() -> csm::Result<()> {
//! let context = csm::Context::new()?;
//! let uri = format!("shm:doc-memory-{}", std::process::id());
//! let region = context.create(&format!("{uri}?size=8M"))?;
//! let extent = region.alloc(1000, 64)?;
//! assert!(region.contains(extent.as_ptr()) && region.stats()?.live_bytes >= 1000);
//! // SAFETY: nobody uses the extent any more.
//! unsafe { region.free(extent, Some(1000)) }?;
//! drop(region);
//! context.destroy(&uri)
//! # }
//! ```
//!
//! Tables come and go through the Arrow C Data Interface ([`Region::publish`], [`Table::stream`]), or, with the
//! feature `arrow`, as record batches of arrow-rs:
//!
#![cfg_attr(feature = "arrow", doc = "```")]
#![cfg_attr(not(feature = "arrow"), doc = "```ignore")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use arrow_array::{Array, Int64Array, RecordBatch, cast::AsArray, types::Int64Type};
//! use csm::{Context, OpenOptions, PublishOptions};
//!
//! let context = Context::new()?;
//! let uri = format!("shm:doc-table-{}", std::process::id());
//! let region = context.create(&format!("{uri}?size=8M"))?;
//!
//! let mut ids = region.vec::<i64>(3)?;
//! ids.extend([1, 2, 3])?;
//! let ids = Int64Array::new(ids.freeze(), None);
//! let address = ids.values().as_ptr();
//! let batch = RecordBatch::try_from_iter([("id", Arc::new(ids) as _)])?;
//! let published = region.publish_record_batches("t", batch.schema(), &[batch], &PublishOptions::default())?;
//! assert_eq!(published.bytes_copied, 0);
//!
//! // In any process: the same bytes at the same address.
//! let table = region.open_table("t", &OpenOptions::default())?;
//! let read = table.record_batches()?;
//! assert_eq!(read[0].column(0).as_primitive::<Int64Type>().values().as_ptr(), address);
//! # drop((read, table, region));
//! # context.destroy(&uri)?;
//! # Ok(())
//! # }
//! ```

#[cfg(not(all(target_os = "linux", target_pointer_width = "64", target_endian = "little")))]
compile_error!("libcsm needs 64-bit little-endian Linux");

pub mod afu;
mod api;
mod arch;
#[cfg(feature = "arrow")]
pub mod arrow;
pub mod cluster;
mod coherence;
mod device;
pub mod error;
mod heap;
#[cfg(feature = "test-hooks")]
pub mod hooks;
mod lease;
mod map;
mod member;
mod region;
mod stats;
mod sys;
pub mod table;
pub mod units;
pub mod uri;

pub use api::{Context, ContextOptions, Region, RegionInfo, Window};
pub use arch::{ArchReport, arch_report};
pub use coherence::CoherenceStats;
pub use device::{CoherenceReport, MemoryType, Roles, vfio};
pub use error::{Error, ErrorKind, Result};
pub use member::MemberInfo;
pub use stats::RegionStats;
pub use table::{
    NodeInfo, NodeState, OpenOptions, PublishOptions, Published, Table, TableInfo, TableLease, VerifyReport,
};
