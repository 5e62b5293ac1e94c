//! `csm-bringup selftest`: is the window the same memory on both ends, and what does the link need?

use clap::Args;

use crate::failure::{Done, Failure};
use crate::run::Run;
use crate::target::Target;
use crate::wait::Patience;

/// Test the memory behind a window, and what its link needs for coherence
#[derive(Args)]
pub(crate) struct Selftest {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    patience: Patience,
}

impl Selftest {
    pub(crate) fn run(self, _run: &Run) -> Done {
        let uri = self.target.uri()?;
        Err(Failure::missing(format!(
            "selftest of {uri}: not built yet (within {:?})",
            self.patience.timeout
        )))
    }
}
