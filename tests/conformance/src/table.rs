//! Tables that can tell whether they are whole: every row carries the table's stamp.

use std::sync::Arc;

use arrow_array::{Array, Int64Array, RecordBatch, StringArray};
use csm::{OpenOptions, PublishOptions, Published, Region, Result, Table};

/// A batch of `rows` rows that all say `stamp`, each in three columns.
#[must_use]
pub fn stamped(rows: i64, stamp: i64) -> RecordBatch {
    let text: StringArray = (0..rows).map(|row| Some(format!("{stamp}/{row}"))).collect();
    RecordBatch::try_from_iter([
        ("stamp", Arc::new(Int64Array::from_iter_values((0..rows).map(|_| stamp))) as _),
        ("sum", Arc::new(Int64Array::from_iter_values((0..rows).map(|row| row.wrapping_add(stamp)))) as _),
        ("text", Arc::new(text) as _),
    ])
    .expect("a batch")
}

/// The stamp of a table, if it is whole.
///
/// # Errors
/// What of it is not as [`stamped`] made it.
pub fn stamp_of(batches: &[RecordBatch]) -> Result<i64, String> {
    let mut seen = None;
    for batch in batches {
        let ints = |i: usize| batch.column(i).as_any().downcast_ref::<Int64Array>().ok_or("a column of another type");
        let (stamps, sums) = (ints(0)?, ints(1)?);
        let texts = batch.column(2).as_any().downcast_ref::<StringArray>().ok_or("a column of another type")?;
        for row in 0..batch.num_rows() {
            let stamp = *seen.get_or_insert(stamps.value(row));
            let at = i64::try_from(row).map_err(|e| e.to_string())?;
            let whole = stamps.value(row) == stamp
                && sums.value(row) == at.wrapping_add(stamp)
                && texts.value(row) == format!("{stamp}/{row}");
            if !whole {
                return Err(format!("row {row} is of stamp {} and not {stamp}", stamps.value(row)));
            }
        }
    }
    seen.ok_or_else(|| "no rows".to_owned())
}

/// Publishes batches, replacing what is there if asked.
///
/// # Errors
/// Those of [`Region::publish_batches`].
pub fn publish(region: &Region, name: &str, batches: &[RecordBatch], replace: bool) -> Result<Published> {
    let options = PublishOptions { replace, ..PublishOptions::default() };
    region.publish_record_batches(name, batches[0].schema(), batches, &options)
}

/// Publishes a stamped table.
///
/// # Errors
/// Those of [`Region::publish_batches`].
pub fn publish_stamp(region: &Region, name: &str, rows: i64, stamp: i64) -> Result<Published> {
    publish(region, name, &[stamped(rows, stamp)], true)
}

/// Opens a table without further ado.
///
/// # Errors
/// Those of [`Region::open_table`].
pub fn open(region: &Region, name: &str) -> Result<Table> {
    region.open_table(name, &OpenOptions::default())
}

/// The stamp of the table `name`, which must be whole.
#[must_use]
pub fn read_stamp(region: &Region, name: &str) -> i64 {
    let table = open(region, name).expect("open");
    stamp_of(&table.record_batches().expect("batches")).expect("a whole table")
}

/// The addresses of all buffers of some batches, in order.
#[must_use]
pub fn addresses(batches: &[RecordBatch]) -> Vec<u64> {
    let columns = batches.iter().flat_map(|batch| batch.columns().iter().map(|column| column.to_data()));
    columns.flat_map(|data| data.buffers().iter().map(|buffer| buffer.as_ptr() as u64).collect::<Vec<_>>()).collect()
}

/// Fails unless every structure of the region checks.
#[track_caller]
pub fn assert_sound(region: &Region) {
    assert_eq!(region.verify().expect("verify").problems, Vec::<String>::new());
}

/// Fails unless the region is sound and all of its data is free. Only the caller may have it open.
#[track_caller]
pub fn assert_empty(region: &Region) {
    assert_sound(region);
    let stats = region.stats().expect("stats");
    assert_eq!((stats.tables, stats.retired, stats.leases), (0, 0, 0), "{stats:?}");
    assert_eq!((stats.live_bytes, stats.region_owned_bytes), (0, 0), "{stats:?}");
    assert_eq!((stats.free_bytes, stats.largest_free_bytes), (stats.data_bytes, stats.data_bytes), "{stats:?}");
}
