//! Tables that can tell whether they are whole: every row carries the table's stamp.

use std::sync::Arc;

use arrow_array::builder::{Int64Builder, MapBuilder, StringBuilder};
use arrow_array::types::{Int8Type, Int16Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, FixedSizeListArray, Int64Array, LargeStringArray,
    ListArray, NullArray, RecordBatch, RunArray, StringArray, StringViewArray, StructArray, UnionArray,
};
use arrow_schema::{DataType, Field, UnionFields};
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
        let ints = |i: usize| {
            batch.column(i).as_any().downcast_ref::<Int64Array>().ok_or("a column of another type")
        };
        let (stamps, sums) = (ints(0)?, ints(1)?);
        let texts =
            batch.column(2).as_any().downcast_ref::<StringArray>().ok_or("a column of another type")?;
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
    columns
        .flat_map(|data| data.buffers().iter().map(|buffer| buffer.as_ptr() as u64).collect::<Vec<_>>())
        .collect()
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
    let info = region.info().expect("info");
    if info.node == info.owner_node || !info.coherence.reader_invalidates.borrower {
        // Elsewhere the owner keeps its heap to itself.
        let free = (stats.free_bytes, stats.largest_free_bytes);
        assert_eq!(free, (stats.data_bytes, stats.data_bytes), "{stats:?}");
    }
}

/// A batch of three rows with a column of most layouts there are.
#[must_use]
pub fn many_types() -> RecordBatch {
    let ints = Int64Array::from(vec![Some(1), None, Some(3)]);
    let list =
        ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
    let field = Arc::new(Field::new("x", DataType::Int64, true));
    let fixed = FixedSizeListArray::new(field.clone(), 2, Arc::new(Int64Array::from_iter_values(0..6)), None);
    let structure = StructArray::from(vec![(field.clone(), Arc::new(ints.clone()) as ArrayRef)]);
    let fields = UnionFields::from_iter([(5, field)]);
    let union = UnionArray::try_new(
        fields,
        vec![5; 3].into(),
        Some(vec![2, 1, 0].into()),
        vec![Arc::new(ints.clone())],
    );
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    for keys in 0..3 {
        for key in 0..keys {
            map.keys().append_value(format!("key {key}"));
            map.values().append_value(key);
        }
        map.append(true).expect("keys and values");
    }
    let words = ["a word", "another one, too long to be in a view", "a word"];
    RecordBatch::try_from_iter_with_nullable([
        ("ints", Arc::new(ints) as ArrayRef, true),
        ("flags", Arc::new(BooleanArray::from(vec![true, false, true])) as _, true),
        ("large", Arc::new(LargeStringArray::from(words.to_vec())) as _, true),
        ("views", Arc::new(StringViewArray::from(words.to_vec())) as _, true),
        ("words", Arc::new(words.into_iter().collect::<DictionaryArray<Int8Type>>()) as _, true),
        ("runs", Arc::new(words.into_iter().collect::<RunArray<Int16Type>>()) as _, true),
        ("list", Arc::new(list) as _, true),
        ("fixed", Arc::new(fixed) as _, true),
        ("struct", Arc::new(structure) as _, true),
        ("union", Arc::new(union.expect("a union")) as _, true),
        ("map", Arc::new(map.finish()) as _, true),
        ("nothing", Arc::new(NullArray::new(3)) as _, true),
    ])
    .expect("a batch")
}
