//! `csm-bringup status`.

use clap::Args;

use crate::failure::{Done, Failure};
use crate::run::Run;

/// Show what is attached
#[derive(Args)]
pub(crate) struct Status {}

impl Status {
    pub(crate) fn run(self, _run: &Run) -> Done {
        Err(Failure::missing("status: not built yet"))
    }
}
