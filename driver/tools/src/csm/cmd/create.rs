//! `csm create`

use clap::Args;
use csm::units::format_size;
use csm::{Context, Result};

use super::uri::option_table;
use csm_tools::output::Output;

/// Create a region, as in `csm create shm:trades?size=1G`
#[derive(Args)]
#[command(after_long_help = option_table())]
pub(crate) struct Create {
    /// The region and its options
    uri: String,
}

impl Create {
    pub(crate) fn run(self) -> Result<()> {
        let info = Context::new()?.create(&self.uri)?.info()?;
        let mut out = Output::stdout();
        let max = if info.max_bytes > info.size_bytes {
            format!(", may grow to {}", format_size(info.max_bytes))
        } else {
            String::new()
        };
        out.line(format_args!(
            "created {}: base {:#x}, slot {}, size {}{max}",
            info.label,
            info.base,
            info.slot,
            format_size(info.size_bytes)
        ))?;
        out.finish()
    }
}
