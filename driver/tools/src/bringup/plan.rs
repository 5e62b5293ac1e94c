//! `csm-bringup plan`.

use clap::Args;

use crate::failure::{Done, Failure};
use crate::run::Run;

/// Check a cluster file and say what each node will do; touches nothing
#[derive(Args)]
pub(crate) struct Plan {}

impl Plan {
    pub(crate) fn run(self, _run: &Run) -> Done {
        Err(Failure::missing("plan: not built yet"))
    }
}
