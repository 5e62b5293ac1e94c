//! `csm put`: each batch of the file goes into the region as it is read, so that no more than a few batches
//! are ever in ordinary memory, and all are published at once at the end. A run that is killed before that
//! leaves nothing: what a dead process had not published returns to the region.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Instant;

use clap::Args;
use csm::arrow::BatchCopier;
use csm::units::format_size;
use csm::{Error, ErrorKind, OpenOptions, PublishOptions, Region, Result};

use super::At;
use crate::progress::Progress;
use crate::read::{self, CsvOptions, Format};
use csm_tools::output::Output;

/// Publish a file as a table
#[derive(Args)]
pub(crate) struct Put {
    #[command(flatten)]
    at: At,

    /// The table's name
    name: String,

    /// A CSV, Parquet or Arrow IPC file
    file: PathBuf,

    /// Take the place of the table of that name, if there is one; its readers keep what they have
    #[arg(long)]
    replace: bool,

    /// What the file is [default: what its suffix says]
    #[arg(long, value_enum)]
    format: Option<Format>,

    #[command(flatten)]
    csv: CsvOptions,
}

impl Put {
    pub(crate) fn run(self) -> Result<()> {
        let region = self.at.open()?;
        if !self.replace {
            self.check_name_is_free(&region)?;
        }
        let start = Instant::now();
        let source = read::open(&self.file, self.format, &self.csv)?;
        let columns = source.schema.fields().len();
        let progress = Progress::new(&self.name, source.total_bytes);
        let mut copier = BatchCopier::new(&region);
        let mut batches = Vec::new();
        let mut rows = 0;
        for batch in source.batches {
            let batch = batch?;
            let copied = copier.copy_in(&batch);
            batches.push(
                copied.map_err(|e| e.context(format_args!("file {:?}, after {rows} rows", self.file)))?,
            );
            rows += batch.num_rows();
            progress.at(source.position.load(Ordering::Relaxed));
        }
        let options = PublishOptions { replace: self.replace, ..PublishOptions::default() };
        let published = region.publish_record_batches(&self.name, source.schema, &batches, &options)?;
        drop(progress);
        let mut out = Output::stdout();
        out.line(format_args!(
            "published {:?}: {} rows, {columns} columns, {} batches; {} copied into {} in {:.1?}",
            self.name,
            published.rows,
            published.batches,
            format_size(copier.bytes_copied() + published.bytes_copied),
            region.info()?.label,
            start.elapsed(),
        ))?;
        out.finish()
    }

    /// So that nobody reads a large file in vain. Publishing decides.
    fn check_name_is_free(&self, region: &Region) -> Result<()> {
        match region.open_table(&self.name, &OpenOptions::default()) {
            Err(e) if e.kind() == ErrorKind::NameNotFound => Ok(()),
            Err(e) => Err(e),
            Ok(_) => Err(Error::new(
                ErrorKind::NameTaken,
                format!("table {:?} is published already; use --replace, or another name", self.name),
            )),
        }
    }
}
