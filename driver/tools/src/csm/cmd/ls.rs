//! `csm ls`

use clap::Args;
use csm::Result;
use csm::units::format_size;
use serde_json::Value;

use super::{At, Report, table_json};
use csm_tools::columns;
use csm_tools::output::Output;

/// List the tables of a region
#[derive(Args)]
pub(crate) struct Ls {
    #[command(flatten)]
    at: At,

    #[command(flatten)]
    report: Report,
}

impl Ls {
    pub(crate) fn run(self) -> Result<()> {
        let tables = self.at.open()?.tables()?;
        let mut out = Output::stdout();
        if self.report.json {
            out.json(&Value::Array(tables.iter().map(table_json).collect()))?;
        } else if !tables.is_empty() {
            let rows: Vec<_> = tables
                .iter()
                .map(|table| {
                    [
                        table.name.escape_debug().to_string(),
                        table.rows.to_string(),
                        table.columns.to_string(),
                        table.batches.to_string(),
                        format_size(table.data_bytes),
                        table.generation.to_string(),
                    ]
                })
                .collect();
            columns::print(
                &mut out,
                ["NAME", "ROWS>", "COLUMNS>", "BATCHES>", "DATA>", "GENERATION>"],
                &rows,
            )?;
        }
        out.finish()
    }
}
