//! `csm cat`

use std::fs;
use std::path::PathBuf;

use clap::Args;
use csm::{ErrorKind, OpenOptions, Result, Table};

use super::At;
use crate::fail;
use crate::write::{Format, Sink};
use csm_tools::output::{self, Output};

/// Rows shown for people, unless `--limit` says otherwise.
const TABLE_ROWS: u64 = 40;

/// Print a table, or write it to a file
#[derive(Args)]
pub(crate) struct Cat {
    #[command(flatten)]
    at: At,

    /// The table's name
    name: String,

    /// How to write it [default: what the suffix of the output file says, else table]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// The most rows to write [default: 40 in a table for people, else all]
    #[arg(long, value_name = "ROWS")]
    limit: Option<u64>,

    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Trust the offsets, indices and text in the table's buffers instead of checking them all first
    #[arg(long)]
    no_validate: bool,
}

impl Cat {
    pub(crate) fn run(self) -> Result<()> {
        let of_suffix = self.output.as_deref().and_then(Format::of_suffix);
        let format = self.format.or(of_suffix).unwrap_or(Format::Table);
        if !format.is_text() && output::is_screen(self.output.as_ref()) {
            let text = "this format is not for a terminal; write it to a file with -o FILE";
            return Err(csm::Error::new(ErrorKind::InvalidArgument, text));
        }
        let table = self.at.open()?.open_table(&self.name, &OpenOptions { validate: !self.no_validate })?;
        let out = Output::create(self.output.as_deref())?;
        let written = self.write(&table, out, format);
        if let (Err(_), Some(path)) = (&written, &self.output)
            && path.is_file()
        {
            // Half a table is worse than none.
            let _ = fs::remove_file(path);
        }
        written
    }

    fn write(&self, table: &Table, out: Output, format: Format) -> Result<()> {
        let stream =
            self.output.as_ref().is_none_or(|path| path.extension().is_some_and(|suffix| suffix == "arrows"));
        let mut sink = Sink::new(out, format, stream, &table.arrow_schema()?)?;
        let people = format == Format::Table;
        let mut left = self.limit.unwrap_or(if people { TABLE_ROWS } else { u64::MAX });
        let mut shown = 0;
        for batch in table.reader()? {
            if left == 0 {
                break;
            }
            let batch = batch
                .map_err(|e| fail::arrow(format_args!("table {:?}", self.name), e, ErrorKind::BadArrow))?;
            let rows = usize::try_from(left).unwrap_or(usize::MAX).min(batch.num_rows());
            sink.write(&batch.slice(0, rows))?;
            left -= rows as u64;
            shown += rows as u64;
        }
        let more = people && shown < table.rows();
        let note = more.then(|| format!("{shown} of {} rows; --limit ROWS shows more", table.rows()));
        sink.finish(note.as_deref())?;
        // What was written is only worth something if nobody reused the memory meanwhile.
        table.check()
    }
}
