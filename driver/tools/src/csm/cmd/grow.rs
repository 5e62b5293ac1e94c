//! `csm grow`

use clap::Args;
use csm::Result;
use csm::units::{format_size, parse_size};

use super::At;
use csm_tools::output::Output;

/// Make a region larger, for every process at once
#[derive(Args)]
pub(crate) struct Grow {
    #[command(flatten)]
    at: At,

    /// The new size, as in 2G; at most what max= said at creation
    size: String,
}

impl Grow {
    pub(crate) fn run(self) -> Result<()> {
        let size_bytes = parse_size(&self.size)?;
        let region = self.at.open()?;
        region.grow(size_bytes)?;
        let info = region.info()?;
        let mut out = Output::stdout();
        out.line(format_args!("{} has {} now", info.label, format_size(info.size_bytes)))?;
        out.finish()
    }
}
