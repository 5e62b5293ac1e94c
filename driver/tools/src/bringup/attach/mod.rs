//! `csm-bringup attach`.

use clap::Args;

use crate::failure::{Done, Failure};
use crate::run::Run;

/// Set up a device and hold it until Ctrl-C or detach
#[derive(Args)]
pub(crate) struct Attach {}

impl Attach {
    pub(crate) fn run(self, _run: &Run) -> Done {
        Err(Failure::missing("attach: not built yet"))
    }
}
