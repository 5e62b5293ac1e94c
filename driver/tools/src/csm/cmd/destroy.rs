//! `csm destroy`

use clap::Args;
use csm::{Context, Result};

/// Destroy a region that no process has open, with all its tables
#[derive(Args)]
pub(crate) struct Destroy {
    /// The region, as in shm:NAME
    uri: String,
}

impl Destroy {
    pub(crate) fn run(self) -> Result<()> {
        Context::new()?.destroy(&self.uri)
    }
}
