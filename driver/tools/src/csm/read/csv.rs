//! CSV. The types of the columns are told by the first rows, which are read twice.

use std::io::{BufReader, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_csv::ReaderBuilder;
use arrow_csv::reader::Format;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use clap::Args;
use csm::{ErrorKind, Result};
use regex::Regex;

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

    /// CSV: a word that, as an empty field does, stands for null; may be repeated
    #[arg(long, value_name = "WORD")]
    null: Vec<String>,

    /// CSV: the rows that decide the columns' types; 0 reads all of them
    ///
    /// A column is boolean, int64, float64, date32, timestamp or utf8: the first that fits all the values
    /// in these rows. A column without any value in them is utf8. A value further down that does not fit is
    /// an error.
    #[arg(long, value_name = "ROWS", default_value_t = 10_000)]
    infer_rows: usize,
}

fn one_byte(text: &str) -> std::result::Result<u8, String> {
    match text {
        "\\t" => Ok(b'\t'),
        _ if text.len() == 1 => Ok(text.as_bytes()[0]),
        _ => Err("write one ASCII character, or \\t".into()),
    }
}

pub(super) fn open(path: &Path, mut input: Counted, options: &CsvOptions) -> Result<Opened> {
    let tsv = path.extension().is_some_and(|suffix| suffix.eq_ignore_ascii_case("tsv"));
    let delimiter = options.delimiter.unwrap_or(if tsv { b'\t' } else { b',' });
    let mut format = Format::default().with_header(!options.no_header).with_delimiter(delimiter);
    if !options.null.is_empty() {
        let words: Vec<_> = options.null.iter().map(|word| regex::escape(word)).collect();
        let null = Regex::new(&format!("^(|{})$", words.join("|"))).map_err(|e| {
            csm::Error::new(ErrorKind::InvalidArgument, format!("--null: {e}; use fewer words"))
        })?;
        format = format.with_null_regex(null);
    }

    let damage = Damage { path: path.to_owned(), delimiter, infer_rows: options.infer_rows };
    let rows = (options.infer_rows > 0).then_some(options.infer_rows);
    let (inferred, rows) = format.infer_schema(&mut input, rows).map_err(|e| damage.error(e))?;
    if inferred.fields().is_empty() {
        return Err(fail::bad_file(path, "there is no column in it; the first line must name the columns"));
    }
    let rows_per_batch = batch_rows(input.position.load(Ordering::Relaxed), rows as u64);
    input.rewind().map_err(|e| fail::system(format_args!("rewind {path:?}"), &e))?;

    let schema = Arc::new(with_text_for_null(&inferred));
    let reader = ReaderBuilder::new(schema.clone())
        .with_format(format)
        .with_batch_size(rows_per_batch)
        .build_buffered(BufReader::with_capacity(1 << 20, input))
        .map_err(|e| damage.error(e))?;
    Ok((schema, Box::new(reader.map(move |batch| batch.map_err(|e| damage.error(e))))))
}

/// arrow-rs reads a column of type null without looking at it: values further down would be lost.
fn with_text_for_null(inferred: &Schema) -> Schema {
    let text = |field: &Arc<Field>| match field.data_type() {
        DataType::Null => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8)),
        _ => field.clone(),
    };
    Schema::new(inferred.fields().iter().map(text).collect::<Vec<_>>())
}

/// What is needed to say what is wrong with the file, and where.
struct Damage {
    path: PathBuf,
    delimiter: u8,
    infer_rows: usize,
}

impl Damage {
    fn error(&self, e: ArrowError) -> csm::Error {
        let file = format!("file {:?}", self.path);
        match e {
            ArrowError::CsvError(_) => match self.first_odd_row() {
                Some((line, has, expected)) => fail::bad_file(
                    &self.path,
                    format_args!(
                        "line {line} has {has} fields and the first line has {expected}; \
                         correct it, or give the --delimiter if it is not {:?}",
                        char::from(self.delimiter)
                    ),
                ),
                None => fail::arrow(file, e, ErrorKind::BadFile).hint("correct it, or save it as UTF-8"),
            },
            ArrowError::ParseError(_) => fail::arrow(file, e, ErrorKind::BadFile).hint(format_args!(
                "the first {} rows decide the types, --infer-rows 0 lets all of them decide, --null WORD names nulls",
                self.infer_rows
            )),
            e => fail::arrow(file, e, ErrorKind::BadFile),
        }
    }

    /// The first row of another width than the first one: its line, its fields, and theirs. arrow-rs counts
    /// rows, not lines, so the file is read again.
    fn first_odd_row(&self) -> Option<(u64, usize, usize)> {
        let reader = csv::ReaderBuilder::new()
            .delimiter(self.delimiter)
            .flexible(true)
            .has_headers(false)
            .from_path(&self.path);
        let mut records = reader.ok()?.into_byte_records();
        let expected = records.next()?.ok()?.len();
        let odd = records.map_while(|record| record.ok()).find(|record| record.len() != expected)?;
        Some((odd.position()?.line(), odd.len(), expected))
    }
}
