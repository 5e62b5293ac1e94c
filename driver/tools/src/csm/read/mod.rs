//! Tables out of files, batch by batch: CSV, Parquet, Arrow IPC.
//!
//! What a file is is decided by `--format`, else by its suffix, else by its first bytes; and its first bytes
//! must agree, so that nobody gets a column of garbage out of a file with the wrong name.

mod csv;
mod ipc;
mod parquet;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::iter;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use clap::ValueEnum;
use csm::Result;

pub(crate) use self::csv::CsvOptions;
use crate::fail;

/// A batch has about this many bytes, so that memory stays bounded whatever the rows are like ...
const BATCH_BYTES: u64 = 16 << 20;
/// ... and at most this many rows.
const BATCH_ROWS_MAX: u64 = 1 << 16;

/// The formats that `put` reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Format {
    /// Comma-separated values with a header line
    Csv,
    /// Apache Parquet
    Parquet,
    /// Arrow IPC, file or stream
    Arrow,
}

/// A file being read.
pub(crate) struct Source {
    pub(crate) schema: SchemaRef,
    pub(crate) total_bytes: u64,
    /// How much of `total_bytes` was read.
    pub(crate) position: Arc<AtomicU64>,
    pub(crate) batches: Box<dyn Iterator<Item = Result<RecordBatch>>>,
}

/// Opens the file at `path` for reading.
pub(crate) fn open(path: &Path, format: Option<Format>, csv: &CsvOptions) -> Result<Source> {
    let mut file = File::open(path).map_err(|e| fail::system(format_args!("open {path:?}"), &e))?;
    let mut head = Vec::new();
    let looked = file.by_ref().take(4096).read_to_end(&mut head).and_then(|_| file.seek(SeekFrom::End(0)));
    let total_bytes = looked.map_err(|e| match e.raw_os_error() {
        Some(libc::ESPIPE) => {
            fail::bad_file(path, "a pipe cannot be read twice; save what comes out of it to a file first")
        }
        _ => fail::system(format_args!("read {path:?}"), &e),
    })?;
    file.rewind().map_err(|e| fail::system(format_args!("rewind {path:?}"), &e))?;

    let content = Content::of(&head);
    let (format, said_by) = match (format, of_suffix(path), content.format()) {
        (Some(format), ..) => (format, "--format says"),
        (None, Some(format), _) => (format, "its name says"),
        (None, None, Some(format)) => (format, "it seems"),
        (None, None, None) => {
            return Err(fail::bad_file(
                path,
                "its name does not tell its format; say --format csv, parquet or arrow",
            ));
        }
    };
    let fits = match format {
        Format::Csv => content == Content::Text,
        format => content.format() == Some(format),
    };
    if !fits {
        let is = content.describe();
        let todo = content.todo(format);
        return Err(fail::bad_file(
            path,
            format_args!("{said_by} {}, but it is {is}; {todo}", format.describe()),
        ));
    }
    let position = Arc::new(AtomicU64::new(0));
    let input = Counted { file, position: position.clone() };
    let told = position.clone();
    let (schema, mut batches) = guarded(path, || match format {
        Format::Csv => csv::open(path, input, csv),
        Format::Parquet => parquet::open(path, input.file, total_bytes, told),
        Format::Arrow => ipc::open(path, input, content == Content::ArrowFile),
    })?;
    let path = path.to_owned();
    let batches = Box::new(iter::from_fn(move || guarded(&path, || batches.next().transpose()).transpose()));
    Ok(Source { schema, total_bytes, position, batches })
}

/// arrow-rs panics on some damaged files. What was being read is not used any more after that.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    panic::catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|fault| {
        let what = fail::panic_text(fault.as_ref());
        Err(fail::bad_file(path, format_args!("it is damaged ({what}); copy it again")))
    })
}

type Opened = (SchemaRef, Box<dyn Iterator<Item = Result<RecordBatch>>>);

/// Rows a batch should have, by what a row takes in the file.
fn batch_rows(bytes: u64, rows: u64) -> usize {
    let bytes_per_row = bytes.checked_div(rows).unwrap_or(0).max(1);
    usize::try_from((BATCH_BYTES / bytes_per_row).clamp(1, BATCH_ROWS_MAX)).unwrap_or(1)
}

fn of_suffix(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "csv" | "tsv" => Some(Format::Csv),
        "parquet" | "pq" => Some(Format::Parquet),
        "arrow" | "arrows" | "ipc" | "feather" => Some(Format::Arrow),
        _ => None,
    }
}

impl Format {
    fn describe(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Parquet => "Parquet",
            Self::Arrow => "Arrow IPC",
        }
    }
}

/// What the first bytes of a file tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Content {
    Empty,
    Parquet,
    ArrowFile,
    ArrowStream,
    Compressed(&'static str),
    Text,
    Binary,
}

impl Content {
    fn of(head: &[u8]) -> Self {
        const MAGIC: [(&[u8], Content); 8] = [
            (b"PAR1", Content::Parquet),
            (b"ARROW1", Content::ArrowFile),
            (b"\xff\xff\xff\xff", Content::ArrowStream),
            (b"\x1f\x8b", Content::Compressed("gzip")),
            (b"\x28\xb5\x2f\xfd", Content::Compressed("zstd")),
            (b"\xfd7zXZ", Content::Compressed("xz")),
            (b"BZh", Content::Compressed("bzip2")),
            (b"PK\x03\x04", Content::Compressed("zip")),
        ];
        match MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
            Some((_, content)) => *content,
            None if head.is_empty() => Self::Empty,
            None if head.contains(&0) => Self::Binary,
            None => Self::Text,
        }
    }

    fn format(self) -> Option<Format> {
        match self {
            Self::Parquet => Some(Format::Parquet),
            Self::ArrowFile | Self::ArrowStream => Some(Format::Arrow),
            _ => None,
        }
    }

    fn describe(self) -> String {
        match self {
            Self::Empty => "empty".into(),
            Self::Parquet => "a Parquet file".into(),
            Self::ArrowFile => "an Arrow IPC file".into(),
            Self::ArrowStream => "an Arrow IPC stream".into(),
            Self::Compressed(how) => format!("a {how} archive"),
            Self::Text => "text".into(),
            Self::Binary => "neither text nor a format that csm knows".into(),
        }
    }

    fn todo(self, wanted: Format) -> String {
        match (self, self.format()) {
            (_, Some(Format::Parquet)) => "use --format parquet".into(),
            (_, Some(_)) => "use --format arrow".into(),
            (Self::Compressed(_), _) => "unpack it first".into(),
            (Self::Text, _) => "use --format csv if that is what it holds".into(),
            _ => format!("give a whole {} file", wanted.describe()),
        }
    }
}

/// A file that tells how far it was read.
struct Counted {
    file: File,
    position: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buf)?;
        self.position.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = self.file.seek(to)?;
        self.position.store(at, Ordering::Relaxed);
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_told_by_its_first_bytes() {
        for (head, content) in [
            (&b"PAR1\x15\x04"[..], Content::Parquet),
            (b"ARROW1\0\0", Content::ArrowFile),
            (b"\xff\xff\xff\xff\x10", Content::ArrowStream),
            (b"\x1f\x8b\x08", Content::Compressed("gzip")),
            (b"a,b\n1,2\n", Content::Text),
            (b"\xff\xfea\0,\0", Content::Binary),
            (b"", Content::Empty),
        ] {
            assert_eq!(Content::of(head), content);
        }
    }

    #[test]
    fn batches_stay_small_whatever_the_rows_are_like() {
        assert_eq!(batch_rows(0, 0), 1 << 16);
        assert_eq!(batch_rows(100, 10), 1 << 16);
        assert_eq!(batch_rows(160 << 20, 10), 1);
        assert_eq!(batch_rows(10 << 20, 10), 16);
    }
}
