//! `csm-bringup bench`: bandwidth, latency and flushes of a window, beside the reference's POWER9 figures.

use clap::Args;

use crate::failure::{Done, Failure};
use crate::run::Run;
use crate::target::Target;
use crate::wait::Patience;

/// Measure bandwidth, latency and cache flushes of a window
#[derive(Args)]
pub(crate) struct Bench {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    patience: Patience,
}

impl Bench {
    pub(crate) fn run(self, _run: &Run) -> Done {
        let uri = self.target.uri()?;
        Err(Failure::missing(format!("bench of {uri}: not built yet (within {:?})", self.patience.timeout)))
    }
}
