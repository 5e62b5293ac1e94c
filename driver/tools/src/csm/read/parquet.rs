//! Parquet.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use csm::{ErrorKind, Result};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use super::{Opened, batch_rows};
use crate::fail;

pub(super) fn open(path: &Path, file: File, total_bytes: u64, position: Arc<AtomicU64>) -> Result<Opened> {
    let broken = |e: &ParquetError| {
        let text = e.to_string();
        let text = text.strip_prefix("Parquet error: ").unwrap_or(&text);
        fail::bad_file(
            path,
            format_args!("not a whole Parquet file: {text}; it was cut short or damaged, copy it again"),
        )
    };
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| broken(&e))?;
    let groups = builder.metadata().row_groups();
    let [bytes, rows] = [
        groups.iter().map(|group| group.total_byte_size()).fold(0, i64::saturating_add),
        groups.iter().map(|group| group.num_rows()).fold(0, i64::saturating_add),
    ]
    .map(|n| u64::try_from(n).unwrap_or(0));
    let schema = builder.schema().clone();
    let reader = builder.with_batch_size(batch_rows(bytes, rows)).build().map_err(|e| broken(&e))?;

    let file = format!("file {path:?}");
    let mut rows_read = 0;
    let batches = reader.map(move |batch| {
        let batch = batch.map_err(|e| {
            fail::arrow(&file, e, ErrorKind::BadFile).hint("it was cut short or damaged, copy it again")
        })?;
        rows_read += batch.num_rows() as u64;
        // Columns lie apart in the file, so the rows tell how far we are.
        let done = u128::from(total_bytes) * u128::from(rows_read) / u128::from(rows.max(1));
        position.store(u64::try_from(done).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(batch)
    });
    Ok((schema, Box::new(batches)))
}
