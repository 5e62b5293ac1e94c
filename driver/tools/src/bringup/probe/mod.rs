//! `csm-bringup probe`: what is on this machine, what is missing and how to get it.

use clap::Args;
use serde_json::json;

use crate::failure::Done;
use crate::run::Run;

/// Show what this machine has for cluster memory, what is missing and how to get it
#[derive(Args)]
pub(crate) struct Probe {}

impl Probe {
    pub(crate) fn run(self, run: &Run) -> Done {
        run.print(json!({}), |out| out.line("nothing looked at yet"))
    }
}
