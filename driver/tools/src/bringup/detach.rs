//! `csm-bringup detach`.

use clap::Args;

use crate::failure::{Done, Failure};
use crate::run::Run;

/// Ask an attach process to give its device back
#[derive(Args)]
pub(crate) struct Detach {}

impl Detach {
    pub(crate) fn run(self, _run: &Run) -> Done {
        Err(Failure::missing("detach: not built yet"))
    }
}
