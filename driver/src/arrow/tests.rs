//! Tables of every type that arrow-rs has, in and out of a region.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{
    BinaryViewBuilder, FixedSizeBinaryBuilder, Int32Builder, ListViewBuilder, MapBuilder, StringBuilder,
    StringDictionaryBuilder, StringRunBuilder, StringViewBuilder,
};
use arrow_array::types::*;
use arrow_array::*;
use arrow_buffer::{IntervalMonthDayNano, NullBuffer, OffsetBuffer, ScalarBuffer, i256};
use arrow_schema::{DataType, Field, Fields, Schema, UnionFields};

use crate::{Context, ErrorKind, OpenOptions, PublishOptions, Region};

const ROWS: usize = 100;

/// A region that is destroyed at the end, if the test has dropped everything of it.
struct Scratch {
    region: Option<Region>,
    uri: String,
}

impl Scratch {
    fn new(test: &str) -> Self {
        let uri = format!("shm:csm-arrow-{test}-{}", std::process::id());
        let region = Context::new().and_then(|c| c.create(&format!("{uri}?size=32M"))).expect("a region");
        Self { region: Some(region), uri }
    }

    fn region(&self) -> &Region {
        self.region.as_ref().expect("open until the end")
    }

    fn live_bytes(&self) -> u64 {
        self.region().stats().expect("stats").live_bytes
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.region = None;
        let destroyed = Context::new().and_then(|c| c.destroy(&self.uri));
        assert!(std::thread::panicking() || destroyed.is_ok(), "{destroyed:?}");
    }
}

fn numbers<T: ArrowPrimitiveType>(value: impl Fn(usize) -> T::Native) -> ArrayRef {
    Arc::new((0..ROWS).map(|i| (i % 7 != 3).then(|| value(i))).collect::<PrimitiveArray<T>>())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "small"
)]
fn flat_columns() -> Vec<(&'static str, ArrayRef)> {
    let text = |i: usize| (i % 5 != 2).then(|| "some text, long enough to be out of line".repeat(i % 3));
    vec![
        ("null", Arc::new(NullArray::new(ROWS))),
        ("bool", Arc::new((0..ROWS).map(|i| (i % 3 != 0).then_some(i % 2 == 0)).collect::<BooleanArray>())),
        ("i8", numbers::<Int8Type>(|i| i as i8)),
        ("u16", numbers::<UInt16Type>(|i| i as u16)),
        ("i64", numbers::<Int64Type>(|i| -(i as i64))),
        ("f16", numbers::<Float16Type>(|i| <Float16Type as ArrowPrimitiveType>::Native::from_f32(i as f32))),
        ("f64", numbers::<Float64Type>(|i| i as f64 / 3.0)),
        ("d32", numbers::<Decimal32Type>(|i| i as i32)),
        ("d128", numbers::<Decimal128Type>(|i| i as i128)),
        ("d256", numbers::<Decimal256Type>(|i| i256::from_i128(i as i128))),
        ("date", numbers::<Date32Type>(|i| i as i32)),
        ("time", numbers::<Time64NanosecondType>(|i| i as i64)),
        (
            "stamp",
            Arc::new(
                TimestampMicrosecondArray::from_iter_values(0..ROWS as i64).with_timezone("Europe/Berlin"),
            ),
        ),
        ("duration", numbers::<DurationSecondType>(|i| i as i64)),
        ("interval", numbers::<IntervalMonthDayNanoType>(|i| IntervalMonthDayNano::new(i as i32, 2, 3))),
        ("utf8", Arc::new((0..ROWS).map(text).collect::<StringArray>())),
        ("large", Arc::new((0..ROWS).map(text).collect::<LargeStringArray>())),
        ("binary", Arc::new((0..ROWS).map(|i| text(i).map(String::into_bytes)).collect::<BinaryArray>())),
        ("utf8view", Arc::new((0..ROWS).map(text).collect::<StringViewArray>())),
        ("empty", Arc::new(StringArray::from(vec![""; ROWS]))),
    ]
}

#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "small")]
fn nested_columns() -> Vec<(&'static str, ArrayRef)> {
    let mut fixed = FixedSizeBinaryBuilder::new(3);
    let mut views = BinaryViewBuilder::new();
    let mut dictionary = StringDictionaryBuilder::<Int8Type>::new();
    let mut runs = StringRunBuilder::<Int32Type>::new();
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    let mut list_view = ListViewBuilder::new(StringViewBuilder::new());
    for i in 0..ROWS {
        let word = format!("word {}", i / 10);
        fixed.append_value([1, 2, i as u8]).expect("3 bytes");
        views.append_option((i % 4 != 1).then(|| word.repeat(4)));
        dictionary.append_option((i % 6 != 5).then_some(&word));
        runs.append_value(&word);
        map.keys().append_value(&word);
        map.values().append_value(i as i32);
        map.append(i % 9 != 8).expect("keys and values alike");
        list_view.values().append_value(&word);
        list_view.append(i % 2 == 0);
    }
    let lists = (0..ROWS).map(|i| (i % 3 != 1).then(|| (0..i % 4).map(|k| Some(k as i32))));
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(lists);
    let item = Arc::new(Field::new("item", list.data_type().clone(), true));
    let list_of_lists =
        LargeListArray::new(item, OffsetBuffer::from_lengths([1; ROWS]), Arc::new(list.clone()), None);
    let pair = Arc::new(Field::new("item", DataType::Int64, true));
    let pairs = Arc::new(Int64Array::from_iter_values(0..2 * ROWS as i64));
    let fields = Fields::from(vec![
        Field::new("a", DataType::Int64, true),
        Field::new("l", list.data_type().clone(), true),
    ]);
    let nulls = NullBuffer::from_iter((0..ROWS).map(|i| i % 8 != 7));
    let row: Vec<ArrayRef> = vec![numbers::<Int64Type>(|i| i as i64), Arc::new(list.clone())];
    let union = || {
        UnionFields::from_fields([
            Field::new("i", DataType::Int64, true),
            Field::new("u", DataType::UInt16, true),
        ])
    };
    let ids = ScalarBuffer::from_iter((0..ROWS).map(|i| (i % 2) as i8));
    let children = || vec![numbers::<Int64Type>(|i| i as i64), numbers::<UInt16Type>(|i| i as u16)];
    let dense =
        UnionArray::try_new(union(), ids.clone(), Some(ScalarBuffer::from_iter(0..ROWS as i32)), children());
    vec![
        ("fixed", Arc::new(fixed.finish())),
        ("views", Arc::new(views.finish())),
        ("dictionary", Arc::new(dictionary.finish())),
        ("runs", Arc::new(runs.finish())),
        ("map", Arc::new(map.finish())),
        ("list", Arc::new(list)),
        ("lists", Arc::new(list_of_lists)),
        ("list view", Arc::new(list_view.finish())),
        ("pairs", Arc::new(FixedSizeListArray::new(pair, 2, pairs, None))),
        ("struct", Arc::new(StructArray::new(fields, row, Some(nulls)))),
        ("dense", Arc::new(dense.expect("a dense union"))),
        ("sparse", Arc::new(UnionArray::try_new(union(), ids, None, children()).expect("a sparse union"))),
    ]
}

fn every_type() -> RecordBatch {
    let columns = flat_columns().into_iter().chain(nested_columns());
    let (fields, columns): (Vec<_>, Vec<_>) = columns
        .map(|(name, column)| {
            let note = HashMap::from([("column".to_owned(), name.to_owned())]);
            (Field::new(name, column.data_type().clone(), true).with_metadata(note), column)
        })
        .unzip();
    let schema =
        Schema::new(fields).with_metadata(HashMap::from([("table".to_owned(), "every type".to_owned())]));
    RecordBatch::try_new(Arc::new(schema), columns).expect("a batch")
}

/// Whether all buffers with bytes lie in the region.
fn lies_in(region: &Region, data: &arrow_data::ArrayData) -> bool {
    let inside = |buffer: &arrow_buffer::Buffer| buffer.is_empty() || region.contains(buffer.as_ptr());
    data.buffers().iter().all(inside)
        && data.nulls().is_none_or(|nulls| inside(nulls.buffer()))
        && data.child_data().iter().all(|child| lies_in(region, child))
}

fn publish(region: &Region, name: &str, batches: &[RecordBatch]) -> crate::Published {
    let schema = batches[0].schema();
    region.publish_record_batches(name, schema, batches, &PublishOptions::default()).expect(name)
}

#[test]
fn every_type_comes_back_with_its_metadata() {
    let scratch = Scratch::new("types");
    let region = scratch.region();
    let batch = every_type();
    // Whole, and slices that begin in the middle of a byte of validity.
    let batches = [batch.clone(), batch.slice(3, 50), batch.slice(0, 0), batch.slice(97, 3)];
    let published = publish(region, "all", &batches);
    assert_eq!((published.rows, published.batches, published.bytes_in_place), (153, 4, 0));

    let table = region.open_table("all", &OpenOptions { validate: true }).expect("open");
    assert_eq!(table.arrow_schema().expect("schema"), batch.schema());
    let read = table.record_batches().expect("read");
    assert_eq!(read, batches);
    for batch in &read {
        for (column, field) in batch.columns().iter().zip(batch.schema_ref().fields()) {
            let data = column.to_data();
            // An array without rows has an offset all the same, and no bytes of the region for it.
            assert!(batch.num_rows() == 0 || lies_in(region, &data), "{}", field.name());
            assert!(data.validate_full().is_ok(), "{}", field.name());
        }
    }
    let reader = table.reader().expect("a reader");
    assert_eq!(reader.schema(), batch.schema());
    assert_eq!(reader.collect::<Result<Vec<_>, _>>().expect("read"), batches);

    // Publishing what lies in the region copies nothing.
    let again = publish(region, "again", &read[..1]);
    assert_eq!(again.bytes_copied, 0);
}

#[test]
fn copied_batches_are_equal_and_in_the_region() {
    let scratch = Scratch::new("copy");
    let region = scratch.region();
    let batch = every_type();
    let mut copier = super::BatchCopier::new(region);
    let copy = copier.copy_in(&batch).expect("copy");
    let bytes = copier.bytes_copied();
    assert_eq!(copy, batch);
    assert!(bytes > 0 && copy.columns().iter().all(|column| lies_in(region, &column.to_data())));
    assert_eq!(publish(region, "copy", std::slice::from_ref(&copy)).bytes_copied, 0);

    // What lies in the region stays, and what the batch before had is not copied again.
    assert_eq!(copier.copy_in(&copy).expect("copy"), batch);
    assert_eq!(copier.bytes_copied(), bytes);
    copier.copy_in(&batch).expect("copy");
    copier.copy_in(&batch).expect("copy");
    assert_eq!(copier.bytes_copied(), 2 * bytes, "the batch before was the copy, then the same again");

    drop((copier, copy));
    region.remove("copy").expect("remove");
    assert_eq!(scratch.live_bytes(), 0, "all of it returns");
}

#[test]
fn a_batch_without_columns_keeps_its_rows() {
    let scratch = Scratch::new("rows");
    let options = RecordBatchOptions::new().with_row_count(Some(7));
    let batch = RecordBatch::try_new_with_options(Schema::empty().into(), vec![], &options).expect("a batch");
    publish(scratch.region(), "rows", &[scratch.region().copy_in(&batch).expect("copy")]);
    let table = scratch.region().open_table("rows", &OpenOptions::default()).expect("open");
    assert_eq!(table.record_batches().expect("read"), [batch]);
}

#[test]
fn batches_of_another_schema_are_refused() {
    let scratch = Scratch::new("schema");
    let one = RecordBatch::try_from_iter([("a", numbers::<Int64Type>(|_| 1))]).expect("a batch");
    let other = RecordBatch::try_from_iter([("b", numbers::<Int64Type>(|_| 1))]).expect("a batch");
    let e = scratch
        .region()
        .publish_record_batches("n", one.schema(), &[one, other], &PublishOptions::default())
        .expect_err("another schema");
    assert_eq!(e.kind(), ErrorKind::BadArrow);
    assert!(e.message().contains("batch 1"), "{e}");
}

#[test]
fn a_vector_grows_in_the_region_and_freezes_where_it_is() {
    let scratch = Scratch::new("vec");
    let region = scratch.region();
    let mut vec = region.vec::<i64>(0).expect("no room needed");
    assert!(vec.is_empty() && vec.capacity() == 0 && scratch.live_bytes() == 0);
    for i in 0..10_000 {
        vec.push(i).expect("push");
    }
    vec.extend(10_000..10_010).expect("extend");
    vec.extend_from_slice(&[1, 2, 3]).expect("extend");
    vec.resize(10_020, -1).expect("resize");
    vec[0] = 42;
    assert_eq!((vec.len(), vec[0], vec[9_999], vec[10_012], vec[10_019]), (10_020, 42, 9_999, 3, -1));
    vec.resize(10_000, 0).expect("resize");
    vec.shrink_to_fit().expect("shrink");
    assert_eq!(vec.capacity(), 10_000);
    let address = vec.as_ptr();
    assert!(region.contains(address.cast()));

    let frozen = vec.freeze();
    assert_eq!((frozen.as_ptr(), frozen.len(), frozen[9_999]), (address, 10_000, 9_999));
    let part = frozen.slice(5_000, 10);
    drop(frozen);
    assert_eq!(part[9], 5_009);
    assert!(scratch.live_bytes() > 0);
    drop(part);
    assert_eq!(scratch.live_bytes(), 0);

    assert_eq!(region.vec::<i32>(0).expect("empty").freeze().len(), 0);
    let kinds = [region.vec::<u8>(usize::MAX).err(), region.vec::<i64>(usize::MAX).err()]
        .map(|e| e.map(|e| e.kind()));
    assert!(kinds[1] == Some(ErrorKind::BadSize) && kinds[0].is_some(), "{kinds:?}");
    let e = region.vec::<i64>(64 << 20).expect_err("more than the region has");
    assert_eq!(e.kind(), ErrorKind::RegionFull);
}

#[test]
fn published_values_outlive_the_vector_and_the_table() {
    let scratch = Scratch::new("outlive");
    let region = scratch.region();
    let mut vec = region.vec::<i64>(3).expect("a vector");
    vec.extend_from_slice(&[1, 2, 3]).expect("room");
    let column = Arc::new(Int64Array::new(vec.freeze(), None)) as ArrayRef;
    let batch = RecordBatch::try_from_iter([("n", column)]).expect("a batch");
    let published = publish(region, "n", std::slice::from_ref(&batch));
    assert_eq!((published.bytes_in_place, published.bytes_copied), (24, 0));
    drop(batch);

    let table = region.open_table("n", &OpenOptions::default()).expect("open");
    let read = table.record_batches().expect("read");
    drop(table);
    region.remove("n").expect("remove");
    assert_eq!(read[0].column(0).as_ref(), &Int64Array::from(vec![1, 2, 3]));
    assert_eq!(region.stats().expect("stats").leases, 1, "the arrays hold it");
    drop(read);
    assert_eq!((region.stats().expect("stats").leases, scratch.live_bytes()), (0, 0));
}
