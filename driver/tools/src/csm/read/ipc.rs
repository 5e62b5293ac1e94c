//! Arrow IPC, files and streams. The file's batches stay as they are; so do its dictionaries.

use std::io::BufReader;
use std::path::Path;

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::ArrowError;
use csm::{ErrorKind, Result};

use super::{Counted, Opened};
use crate::fail;

pub(super) fn open(path: &Path, input: Counted, is_file: bool) -> Result<Opened> {
    let what = format!("file {path:?}: not a whole Arrow IPC {}", if is_file { "file" } else { "stream" });
    let broken =
        move |e| fail::arrow(&what, e, ErrorKind::BadFile).hint("it was cut short or damaged, copy it again");
    let input = BufReader::with_capacity(1 << 20, input);
    if is_file {
        Ok(opened(FileReader::try_new(input, None).map_err(&broken)?, broken))
    } else {
        Ok(opened(StreamReader::try_new(input, None).map_err(&broken)?, broken))
    }
}

fn opened(
    reader: impl RecordBatchReader<Item = std::result::Result<RecordBatch, ArrowError>> + 'static,
    broken: impl Fn(ArrowError) -> csm::Error + 'static,
) -> Opened {
    (reader.schema(), Box::new(reader.map(move |batch| batch.map_err(&broken))))
}
