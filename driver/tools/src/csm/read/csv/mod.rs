//! CSV. The types of the columns are told by the first rows, which are read twice.

mod damage;
mod time;

use std::io::{BufReader, Seek};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_array::RecordBatch;
use arrow_csv::ReaderBuilder;
use arrow_csv::reader::Format;
use arrow_schema::{DataType, Field, Schema};
use clap::Args;
use csm::{Error, ErrorKind, Result};
use regex::Regex;

use self::damage::Damage;
use super::{Counted, Opened, batch_rows};
use crate::fail;

/// How a CSV file is written.
#[derive(Args, Clone)]
pub(crate) struct CsvOptions {
    /// CSV: what separates the fields [default: a comma; a tab in a .tsv file]
    #[arg(long, value_name = "CHAR", value_parser = one_byte)]
    delimiter: Option<u8>,

    /// CSV: the first line holds data; the columns are named column_1, column_2, ...
    #[arg(long)]
    no_header: bool,

    /// CSV: a word that, as an empty field does, stands for null in any column; may be repeated
    #[arg(long, value_name = "WORD", default_values = ["NA", "N/A", "NULL", "null"])]
    null: Vec<String>,

    /// CSV: the rows that decide the columns' types; 0 reads all of them
    ///
    /// A column is boolean, int64, float64, date32, timestamp or utf8: the first that fits all the
    /// values in these rows, and utf8 if all are null. A value further down that does not fit is an
    /// error.
    #[arg(long, value_name = "ROWS", default_value_t = 10_000, verbatim_doc_comment)]
    infer_rows: usize,
}

fn one_byte(text: &str) -> Result<u8, String> {
    match text {
        "\\t" => Ok(b'\t'),
        _ if text.len() == 1 => Ok(text.as_bytes()[0]),
        _ => Err("write one ASCII character, or \\t".into()),
    }
}

pub(super) fn open(path: &Path, mut input: Counted, options: &CsvOptions) -> Result<Opened> {
    let tsv = path.extension().is_some_and(|suffix| suffix.eq_ignore_ascii_case("tsv"));
    let delimiter = options.delimiter.unwrap_or(if tsv { b'\t' } else { b',' });
    let nulls: Vec<_> = options.null.iter().map(|word| regex::escape(word)).collect();
    let nulls = Regex::new(&format!("^(|{})$", nulls.join("|")))
        .map_err(|e| Error::new(ErrorKind::InvalidArgument, format!("--null: {e}; use fewer words")))?;
    let format =
        Format::default().with_header(!options.no_header).with_delimiter(delimiter).with_null_regex(nulls);

    let damage = Damage {
        path: path.to_owned(),
        delimiter,
        header: !options.no_header,
        infer_rows: options.infer_rows,
    };
    let rows = (options.infer_rows > 0).then_some(options.infer_rows);
    let (inferred, rows) = format.infer_schema(&mut input, rows).map_err(|e| damage.error(e))?;
    if inferred.fields().is_empty() {
        return Err(fail::bad_file(path, "there is no column in it; the first line must name the columns"));
    }
    let rows_per_batch = batch_rows(input.position.load(Ordering::Relaxed), rows as u64);
    input.rewind().map_err(|e| fail::system(format_args!("rewind {path:?}"), &e))?;

    let schema = Arc::new(with_text_for_null(&inferred));
    let mut reader = ReaderBuilder::new(time::as_text(&schema))
        .with_format(format)
        .with_batch_size(rows_per_batch)
        .build_buffered(BufReader::with_capacity(1 << 20, input))
        .map_err(|e| damage.error(e))?;
    let mut rows_read = 0;
    let mut next = {
        let schema = schema.clone();
        move || -> Result<Option<RecordBatch>> {
            let Some(batch) = reader.next().transpose().map_err(|e| damage.error(e))? else {
                return Ok(None);
            };
            let timed = time::from_text(&batch, &schema).map_err(|e| damage.error(e))?;
            let batch = timed.map_err(|(what, column, row)| damage.misfit(&what, column, rows_read + row))?;
            rows_read += batch.num_rows();
            Ok(Some(batch))
        }
    };
    Ok((schema, Box::new(std::iter::from_fn(move || next().transpose()))))
}

/// arrow-rs reads a column of type null without looking at it: values further down would be lost.
fn with_text_for_null(inferred: &Schema) -> Schema {
    let text = |field: &Arc<Field>| match field.data_type() {
        DataType::Null => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8)),
        _ => field.clone(),
    };
    Schema::new(inferred.fields().iter().map(text).collect::<Vec<_>>())
}
