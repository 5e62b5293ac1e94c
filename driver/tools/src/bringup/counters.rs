//! `csm-bringup counters`.

use clap::Args;

use crate::failure::{Done, Failure};
use crate::run::Run;

/// Show the traffic of a link
#[derive(Args)]
pub(crate) struct Counters {}

impl Counters {
    pub(crate) fn run(self, _run: &Run) -> Done {
        Err(Failure::missing("counters: not built yet"))
    }
}
