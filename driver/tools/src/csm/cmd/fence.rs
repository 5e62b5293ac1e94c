//! `csm fence`: an operator's word that a node is off.

use clap::Args;
use csm::Result;

use super::At;
use csm_tools::output::Output;

/// Declare a node off, so that what its leases protected is used anew
///
/// A node that is silent may be slow and not off. Its leases are taken away by this command alone, or by proof: its
/// processes end, or it starts anew. If it is not off, it reads other tables' bytes from now on, until it checks.
#[derive(Args)]
pub(crate) struct Fence {
    #[command(flatten)]
    at: At,

    /// The node's number; `csm stat` lists them
    node: u64,

    /// Yes, the node is off: powered down, or cut from the memory
    #[arg(long, required = true)]
    confirm_off: bool,
}

impl Fence {
    pub(crate) fn run(self) -> Result<()> {
        let region = self.at.open()?;
        let before = region.nodes()?;
        region.fence_node(self.node)?;
        let mut out = Output::stdout();
        let leases = before.iter().find(|info| info.node == self.node).map_or(0, |info| info.leases);
        out.line(format_args!("fenced node {}: {leases} leases count no more", self.node))?;
        out.finish()
    }
}
