//! The handles that users hold, and the registry of what this process has open.
//!
//! A context opens regions; a region allocates, publishes and opens tables. Handles are counted: the last one
//! to go, arrays read from the region included, leaves it. This room joins all others and holds no
//! protocol of its own.

mod context;
mod region;
mod registry;
mod window;

pub use context::{Context, ContextOptions};
pub use region::{Region, RegionInfo};
pub use window::Window;
