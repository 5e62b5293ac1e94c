//! `csm rm`

use clap::Args;
use csm::Result;

use super::At;

/// Remove a table; its memory returns when its last reader has gone
#[derive(Args)]
pub(crate) struct Rm {
    #[command(flatten)]
    at: At,

    /// The table's name
    name: String,
}

impl Rm {
    pub(crate) fn run(self) -> Result<()> {
        self.at.open()?.remove(&self.name)
    }
}
