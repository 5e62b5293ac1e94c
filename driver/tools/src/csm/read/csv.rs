//! CSV. The types of the columns are told by the first rows, which are read twice.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_csv::ReaderBuilder;
use arrow_csv::reader::Format;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use clap::Args;
use csm::{Error, ErrorKind, Result};
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

    /// CSV: a word that, as an empty field does, stands for null in any column; may be repeated
    #[arg(long, value_name = "WORD", default_values = ["NA", "N/A", "NULL", "null"])]
    null: Vec<String>,

    /// CSV: the rows that decide the columns' types; 0 reads all of them
    ///
    /// A column is boolean, int64, float64, date32, timestamp or utf8: the first that fits all the
    /// values in these rows, and utf8 if all are null. A value further down that does not fit is an
    /// error. Where a column holds dates or times, all rows decide.
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
    let mut infer = |rows: usize| -> Result<(Schema, usize)> {
        input.rewind().map_err(|e| fail::system(format_args!("rewind {path:?}"), &e))?;
        format.infer_schema(&mut input, (rows > 0).then_some(rows)).map_err(|e| damage.error(e))
    };
    let (mut inferred, mut rows) = infer(options.infer_rows)?;
    // arrow-rs reads a later time into a column of dates, or of seconds, without a word about what it drops.
    if rows == options.infer_rows && inferred.fields().iter().any(|field| field.data_type().is_temporal()) {
        (inferred, rows) = infer(0)?;
    }
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

/// What is needed to say what is wrong with the file, and where. arrow-rs counts rows, people count lines,
/// so once there is an error the file is read again.
struct Damage {
    path: PathBuf,
    delimiter: u8,
    header: bool,
    infer_rows: usize,
}

impl Damage {
    fn error(&self, e: ArrowError) -> Error {
        let file = format!("file {:?}", self.path);
        match &e {
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
            ArrowError::ParseError(text) => match self.misfit(text) {
                Some((what, line, column)) => fail::bad_file(
                    &self.path,
                    format_args!(
                        "line {line}, column {column:?}: {what}, as the first {} rows are; \
                         try --infer-rows 0, or --null WORD if the value stands for null",
                        self.infer_rows
                    ),
                ),
                None => fail::arrow(file, e, ErrorKind::BadFile),
            },
            _ => fail::arrow(file, e, ErrorKind::BadFile),
        }
    }

    fn records(&self) -> Option<csv::ByteRecordsIntoIter<File>> {
        let mut reader = csv::ReaderBuilder::new();
        reader.delimiter(self.delimiter).flexible(true).has_headers(false);
        Some(reader.from_path(&self.path).ok()?.into_byte_records())
    }

    /// The first row of another width than the first one: its line, its fields, and theirs.
    fn first_odd_row(&self) -> Option<(u64, usize, usize)> {
        let mut records = self.records()?;
        let expected = records.next()?.ok()?.len();
        let odd = records.map_while(Result::ok).find(|record| record.len() != expected)?;
        Some((self.line(odd.position()?)?, odd.len(), expected))
    }

    /// What does not fit, its line, and the name of its column, out of arrow-rs's words for it.
    fn misfit(&self, text: &str) -> Option<(String, u64, String)> {
        let place = Regex::new(
            r"(?s)^Error while parsing value (.*) as type '(\w+).*' for column (\d+) at line (\d+)",
        );
        let (_, [value, data_type, column, row]) = place.ok()?.captures(text)?.extract();
        let (column, row): (usize, usize) = (column.parse().ok()?, row.parse().ok()?);
        let mut records = self.records()?.map_while(Result::ok);
        let name = if self.header {
            // It was counted as row 0.
            let header = records.next()?;
            String::from_utf8_lossy(header.get(column)?).into_owned()
        } else {
            format!("column_{}", column + 1)
        };
        let record = records.nth(row.checked_sub(usize::from(self.header))?)?;
        Some((format!("{value} is not {data_type}"), self.line(record.position()?)?, name))
    }
    /// The line of a record. Its position is where the record before it ended, and blank lines may follow.
    fn line(&self, position: &csv::Position) -> Option<u64> {
        let mut file = File::open(&self.path).ok()?;
        file.seek(SeekFrom::Start(position.byte())).ok()?;
        let blank =
            BufReader::new(file).bytes().map_while(Result::ok).take_while(|byte| b"\r\n".contains(byte));
        Some(position.line() + blank.filter(|byte| *byte == b'\n').count() as u64)
    }
}
