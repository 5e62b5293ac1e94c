//! `csm verify`

use clap::Args;
use csm::{Error, ErrorKind, Result};
use serde_json::json;

use super::{At, Report};
use csm_tools::output::Output;

/// Check every structure of a region; what dead processes left is returned, told, and no error
#[derive(Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    at: At,

    #[command(flatten)]
    report: Report,
}

impl Verify {
    pub(crate) fn run(self) -> Result<()> {
        let region = self.at.open()?;
        let label = region.info()?.label;
        let report = region.verify()?;
        let mut out = Output::stdout();
        if self.report.json {
            out.json(&json!({
                "region": label,
                "problems": report.problems,
                "reaped": report.reaped,
                "checked": { "tables": report.tables, "retired": report.retired, "extents": report.extents },
            }))?;
        } else {
            for line in &report.reaped {
                out.line(format_args!("reaped: {line}"))?;
            }
            for line in &report.problems {
                out.line(format_args!("problem: {line}"))?;
            }
            out.line(format_args!(
                "{label}: checked {} tables, {} retired ones and their {} extents; {} problems",
                report.tables,
                report.retired,
                report.extents,
                report.problems.len()
            ))?;
        }
        out.finish()?;
        if report.problems.is_empty() {
            return Ok(());
        }
        let text = format!(
            "region {label:?} has {} problems; save its tables with csm cat NAME -o FILE, then destroy and create it",
            report.problems.len()
        );
        Err(Error::new(ErrorKind::Corrupt, text))
    }
}
