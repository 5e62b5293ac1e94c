//! Tables into files, batch by batch: CSV, JSON, Arrow IPC, Parquet, or a table for people.

use std::io::Write as _;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_cast::pretty::pretty_format_batches;
use arrow_ipc::writer::{FileWriter, StreamWriter};
use arrow_json::writer::{LineDelimited, Writer as JsonWriter, WriterBuilder as JsonBuilder};
use arrow_schema::{ArrowError, SchemaRef};
use clap::ValueEnum;
use csm::{ErrorKind, Result};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::fail;
use csm_tools::output::{Output, Trouble};

/// The formats that `cat` writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Format {
    /// Columns with lines around them, for people
    Table,
    /// Comma-separated values with a header line
    Csv,
    /// One JSON object a row
    Json,
    /// Arrow IPC: a stream on standard output and in a .arrows file, else a file
    Arrow,
    /// Apache Parquet
    Parquet,
}

impl Format {
    /// The format that a file's suffix stands for.
    pub(crate) fn of_suffix(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "txt" => Some(Self::Table),
            "csv" => Some(Self::Csv),
            "json" | "jsonl" | "ndjson" => Some(Self::Json),
            "arrow" | "arrows" | "ipc" | "feather" => Some(Self::Arrow),
            "parquet" | "pq" => Some(Self::Parquet),
            _ => None,
        }
    }

    pub(crate) fn is_text(self) -> bool {
        matches!(self, Self::Table | Self::Csv | Self::Json)
    }
}

/// A table being written.
pub(crate) struct Sink {
    writer: Writer,
    trouble: Trouble,
}

enum Writer {
    Table(Output, SchemaRef, Vec<RecordBatch>),
    Csv(Box<arrow_csv::Writer<Output>>),
    Json(JsonWriter<Output, LineDelimited>),
    File(Box<FileWriter<Output>>),
    Stream(Box<StreamWriter<Output>>),
    Parquet(Box<ArrowWriter<Output>>),
}

impl Sink {
    /// A table of `schema` in `format`; `stream` says which of Arrow's two is meant.
    pub(crate) fn new(out: Output, format: Format, stream: bool, schema: &SchemaRef) -> Result<Self> {
        let trouble = out.trouble();
        let writer = match format {
            Format::Table => Ok(Writer::Table(out, schema.clone(), Vec::new())),
            Format::Csv => {
                let mut writer = arrow_csv::Writer::new(out);
                // The header comes with the first batch, so a table without rows gets one here.
                writer.write(&RecordBatch::new_empty(schema.clone())).map(|()| Writer::Csv(Box::new(writer)))
            }
            Format::Json => Ok(Writer::Json(JsonBuilder::new().with_explicit_nulls(true).build(out))),
            Format::Arrow if stream => {
                StreamWriter::try_new(out, schema).map(|w| Writer::Stream(Box::new(w)))
            }
            Format::Arrow => FileWriter::try_new(out, schema).map(|w| Writer::File(Box::new(w))),
            Format::Parquet => {
                let snappy = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
                ArrowWriter::try_new(out, schema.clone(), Some(snappy))
                    .map(|w| Writer::Parquet(Box::new(w)))
                    .map_err(ArrowError::from)
            }
        };
        let writer = writer.map_err(|e| failed(&trouble, e))?;
        Ok(Self { writer, trouble })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let done = match &mut self.writer {
            Writer::Table(_, _, batches) => {
                batches.push(batch.clone());
                Ok(())
            }
            Writer::Csv(writer) => writer.write(batch),
            Writer::Json(writer) => writer.write(batch),
            Writer::File(writer) => writer.write(batch),
            Writer::Stream(writer) => writer.write(batch),
            Writer::Parquet(writer) => writer.write(batch).map_err(ArrowError::from),
        };
        done.map_err(|e| failed(&self.trouble, e))
    }

    /// Writes what comes last, with a `note` under a table for people. Without it a file is not whole.
    pub(crate) fn finish(self, note: Option<&str>) -> Result<()> {
        let finished = |writer| -> std::result::Result<Output, ArrowError> {
            match writer {
                Writer::Table(mut out, schema, mut batches) => {
                    if batches.is_empty() {
                        batches.push(RecordBatch::new_empty(schema));
                    }
                    writeln!(out, "{}", pretty_format_batches(&batches)?)?;
                    if let Some(note) = note {
                        writeln!(out, "{note}")?;
                    }
                    Ok(out)
                }
                Writer::Csv(writer) => Ok(writer.into_inner()),
                Writer::Json(mut writer) => writer.finish().map(|()| writer.into_inner()),
                Writer::File(writer) => writer.into_inner(),
                Writer::Stream(writer) => writer.into_inner(),
                Writer::Parquet(writer) => writer.into_inner().map_err(|e: ParquetError| e.into()),
            }
        };
        finished(self.writer).map_err(|e| failed(&self.trouble, e))?.finish()
    }
}

fn failed(trouble: &Trouble, e: ArrowError) -> csm::Error {
    let other = fail::arrow("the table does not fit the format", e, ErrorKind::Unsupported);
    trouble.or(other.hint("another --format may: arrow holds every type"))
}
