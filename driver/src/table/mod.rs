//! Tables: what a name stands for, from the Arrow C Data Interface to bytes in a region and back.
//!
//! Two halves. The pure one knows no region: `cdata` and `schema` are the C structs and what they say,
//! `format` the types, `measure` turns arrays into addresses and lengths, `descriptor` those into flat bytes,
//! `export` and `stream` the bytes into arrays again, `validate` looks at values. The other half joins heap
//! and leases: `catalog`, `place`, `anchor`, `publish`, `open`, `reclaim`, `list`, `verify`, over what `tables`
//! holds. The order of stores is the protocol of `tests/model`.

mod block;
mod bytes;
pub mod cdata;
pub mod descriptor;
pub mod export;
pub mod format;
pub mod measure;
pub mod schema;
mod schema_c;
pub mod shape;
mod stream;
pub mod validate;

mod anchor;
pub mod arrive;
mod catalog;
mod list;
mod nodes;
mod open;
mod place;
mod publish;
mod reclaim;
mod seal;
pub(crate) mod tables;
mod verify;

pub use list::{TableInfo, TableLease};
pub use nodes::{NodeInfo, NodeState};
pub use open::{OpenOptions, Table};
pub(crate) use publish::LastPublished;
pub use publish::{PublishOptions, Published};
pub use verify::VerifyReport;
