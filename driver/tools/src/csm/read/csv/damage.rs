//! What is wrong with a CSV file, and where. arrow-rs counts rows, people count lines: so once there is an
//! error, and only then, the file is read again.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;

use arrow_schema::ArrowError;
use csm::{Error, ErrorKind};
use regex::Regex;

use crate::fail;

/// What is needed to find the place.
pub(super) struct Damage {
    pub(super) path: PathBuf,
    pub(super) delimiter: u8,
    pub(super) header: bool,
    pub(super) infer_rows: usize,
}

impl Damage {
    pub(super) fn error(&self, e: ArrowError) -> Error {
        let file = format!("file {:?}", self.path);
        match &e {
            ArrowError::CsvError(_) => self.odd_row().unwrap_or_else(|| {
                fail::arrow(file, e, ErrorKind::BadFile).hint("correct it, or save it as UTF-8")
            }),
            ArrowError::ParseError(text) => {
                self.unreadable(text).unwrap_or_else(|| fail::arrow(file, e, ErrorKind::BadFile))
            }
            _ => fail::arrow(file, e, ErrorKind::BadFile),
        }
    }

    /// The error that `what` in this column and row of data is. Names the column, and the line if it is found.
    pub(super) fn misfit(&self, what: &str, column: usize, row: usize) -> Error {
        let place = self.place(column, row).unwrap_or_else(|| format!("row {row}, column {}", column + 1));
        fail::bad_file(
            &self.path,
            format_args!(
                "{place}: {what}, as the first {} rows are; \
                 try --infer-rows 0, or --null WORD if the value stands for null",
                self.infer_rows
            ),
        )
    }

    /// The value that arrow-rs says it cannot read.
    fn unreadable(&self, text: &str) -> Option<Error> {
        let place = Regex::new(
            r"(?s)^Error while parsing value (.*) as type '(\w+).*' for column (\d+) at line (\d+)",
        );
        let (_, [value, data_type, column, row]) = place.ok()?.captures(text)?.extract();
        // The header, if there is one, was counted as row 0.
        let row = row.parse::<usize>().ok()?.checked_sub(usize::from(self.header))?;
        Some(self.misfit(&format!("{value} is not {data_type}"), column.parse().ok()?, row))
    }

    /// The first row of another width than the first one.
    fn odd_row(&self) -> Option<Error> {
        let mut records = self.records()?;
        let expected = records.next()?.len();
        let odd = records.find(|record| record.len() != expected)?;
        Some(fail::bad_file(
            &self.path,
            format_args!(
                "line {} has {} fields and the first line has {expected}; \
                 correct it, or give the --delimiter if it is not {:?}",
                self.line(odd.position()?)?,
                odd.len(),
                char::from(self.delimiter)
            ),
        ))
    }

    fn place(&self, column: usize, row: usize) -> Option<String> {
        let mut records = self.records()?;
        let name = if self.header {
            String::from_utf8_lossy(records.next()?.get(column)?).into_owned()
        } else {
            format!("column_{}", column + 1)
        };
        Some(format!("line {}, column {name:?}", self.line(records.nth(row)?.position()?)?))
    }

    fn records(&self) -> Option<impl Iterator<Item = csv::ByteRecord>> {
        let mut reader = csv::ReaderBuilder::new();
        reader.delimiter(self.delimiter).flexible(true).has_headers(false);
        Some(reader.from_path(&self.path).ok()?.into_byte_records().map_while(Result::ok))
    }

    /// The line of a record. Its position is where the record before it ended, and blank lines may follow.
    fn line(&self, position: &csv::Position) -> Option<u64> {
        let mut file = File::open(&self.path).ok()?;
        file.seek(SeekFrom::Start(position.byte())).ok()?;
        let bytes = BufReader::new(file).bytes().map_while(Result::ok);
        let blank = bytes.take_while(|byte| b"\r\n".contains(byte)).filter(|byte| *byte == b'\n');
        Some(position.line() + blank.count() as u64)
    }
}
