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
mod catalog;
mod list;
mod open;
mod place;
mod publish;
mod reclaim;
mod seal;
pub(crate) mod tables;
mod verify;

pub use list::{TableInfo, TableLease};
pub use open::{OpenOptions, Table};
pub use publish::{PublishOptions, Published};
pub use verify::VerifyReport;
