//! Round trips of generated tables, addresses compared.

use std::sync::Arc;

use arrow_array::ffi_stream::RecordBatchStreamReader;
use arrow_array::{Array, RecordBatchReader, StructArray, make_array};
use arrow_data::ArrayData;
use arrow_schema::{DataType, Schema, SchemaRef};
use csm::table::export::Export;
use proptest::prelude::*;

use crate::arrays::{Dice, any_schema, array, batch};
use crate::bridge::{Memory, addresses, import, lend, lend_schema, publish, take_shape};

/// Miri is slow and its memory knows its ends; elsewhere buffers stay where they are.
fn memory() -> Memory {
    if cfg!(miri) { Memory::block() } else { Memory::Everything }
}

fn check_round_trip(schema: &SchemaRef, batches: &[ArrayData]) {
    let mut memory = memory();
    let owner: Arc<()> = Arc::new(());
    let export = publish(schema, batches, &mut memory, owner.clone());
    export.validate().unwrap();

    for (i, batch) in batches.iter().enumerate() {
        let through = import(export.schema(), export.batch(i).unwrap());
        through.validate_full().unwrap();
        assert_eq!(through.len(), batch.len());
        assert_eq!(make_array(through.clone()).as_ref(), make_array(batch.clone()).as_ref());
        if matches!(memory, Memory::Everything) {
            let straight = import(lend_schema(schema), lend(batch));
            assert_eq!(addresses(&through), addresses(&straight));
        }
        // What was exported measures as what was published.
        let again = take_shape(export.descriptor().schema(), &export.batch(i).unwrap()).unwrap();
        let shape = export.shape(i).unwrap();
        assert_eq!(again.nodes, shape.nodes);
        for (a, b) in again.buffers.iter().zip(&shape.buffers) {
            assert_eq!((a.ptr, a.align_bytes), (b.ptr, b.align_bytes));
            // Fewer where the producer's buffer was longer than its rows need.
            assert!(a.len_bytes <= b.len_bytes);
        }
    }
    assert!(export.batch(batches.len()).is_err());
    check_selections(&export, batches);

    for _ in 0..2 {
        let stream = crate::bridge::to_ffi_stream(export.stream());
        let reader = RecordBatchStreamReader::try_new(stream).unwrap();
        assert_eq!(reader.schema(), *schema);
        let read: Vec<_> = reader.map(Result::unwrap).collect();
        assert_eq!(read.len(), batches.len());
        for (read, batch) in read.into_iter().zip(batches) {
            assert_eq!(StructArray::from(read), StructArray::from(batch.clone()));
        }
    }
    drop(export);
    assert_eq!(Arc::strong_count(&owner), 1, "a reference on the owner is left");
}

/// Some columns alone, in another order, and of those some again.
fn check_selections(export: &Export, batches: &[ArrayData]) {
    let n = export.descriptor().schema().n_columns();
    let reversed: Vec<usize> = (0..n).rev().collect();
    let turned = export.select(&reversed).unwrap();
    turned.validate().unwrap();
    for (i, batch) in batches.iter().enumerate() {
        let whole = StructArray::from(batch.clone());
        let all = StructArray::from(import(turned.schema(), turned.batch(i).unwrap()));
        assert_eq!(all.num_columns(), n);
        for k in 0..n {
            assert_eq!(all.column(n - 1 - k), whole.column(k));
            let one = turned.select(&[n - 1 - k]).unwrap();
            let one = StructArray::from(import(one.schema(), one.batch(i).unwrap()));
            assert_eq!((one.num_columns(), one.len(), one.column(0)), (1, whole.len(), whole.column(k)));
        }
    }
    assert!(export.select(&[n]).is_err());
    assert_eq!(export.select(&[]).unwrap().shown().n_columns(), 0);
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn any_table_comes_back_as_it_was(
        schema in any_schema(),
        rows in prop::collection::vec(0usize..40, 0..4),
        seed in any::<u64>(),
    ) {
        let mut dice = Dice::new(seed);
        let batches: Vec<_> = rows.iter().map(|&rows| batch(&mut dice, &schema, rows)).collect();
        check_round_trip(&schema, &batches);
    }

    #[test]
    fn a_slice_of_a_batch_shows_its_rows(
        schema in any_schema(),
        rows in 0usize..40,
        from in 0usize..40,
        to in 0usize..40,
        seed in any::<u64>(),
    ) {
        // The offset is the batch's own here: what a producer may do, and Arrow C++ does not read.
        let (from, to) = (from.min(rows), to.min(rows));
        let (from, to) = (from.min(to), from.max(to));
        let batch = batch(&mut Dice::new(seed), &schema, rows);
        let sliced = batch
            .clone()
            .into_builder()
            .offset(from)
            .len(to - from)
            .build()
            .unwrap();
        let (mut memory, sliced) = (memory(), [sliced]);
        let export = publish(&schema, &sliced, &mut memory, Arc::new(()));
        // Fails if a null count was not counted anew.
        export.validate().unwrap();
        let shown = export.batch(0).unwrap();
        let shown = make_array(import(export.schema(), shown));
        let expected = make_array(batch).slice(from, to - from);
        prop_assert_eq!(shown.as_ref(), expected.as_ref());
    }
}

/// Every type once, whatever the generator happens to choose.
#[test]
fn every_type_comes_back_as_it_was() {
    for data_type in every_type() {
        let schema = Arc::new(Schema::new(vec![arrow_schema::Field::new("a", data_type, true)]));
        for seed in 0..if cfg!(miri) { 1 } else { 20 } {
            let mut dice = Dice::new(seed);
            let batches = [batch(&mut dice, &schema, 13), batch(&mut dice, &schema, 0)];
            check_round_trip(&schema, &batches);
        }
    }
}

#[test]
fn a_dictionary_shared_by_columns_and_batches_stays_one() {
    let values = array(&mut Dice::new(1), &DataType::Utf8, 9, true);
    let of = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    let column = |keys: Vec<u8>| {
        let builder = ArrayData::builder(of.clone()).len(keys.len());
        builder.add_buffer(keys.into()).add_child_data(values.clone()).build().unwrap()
    };
    let fields = ["a", "b"].map(|name| arrow_schema::Field::new(name, of.clone(), true));
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let batches = [[0, 1], [2, 3]].map(|[a, b]| {
        ArrayData::builder(DataType::Struct(schema.fields().clone()))
            .len(2)
            .child_data(vec![column(vec![a, b]), column(vec![b, a])])
            .build()
            .unwrap()
    });
    check_round_trip(&schema, &batches);
    let export = publish(&schema, &batches, &mut Memory::Everything, Arc::new(()));
    let data: Vec<_> = (0..2).map(|i| export.shape(i).unwrap()).collect();
    // Columns a and b: indices at 2 and 7 of the buffers, their dictionary's bytes at 5 and 10.
    let places: Vec<_> = data.iter().flat_map(|s| [s.buffers[5].ptr, s.buffers[10].ptr]).collect();
    assert!(places.iter().all(|&p| p == places[0]), "{places:?}");
}

#[test]
fn a_table_may_have_no_columns_and_no_batches() {
    let schema = Arc::new(Schema::empty());
    check_round_trip(&schema, &[]);
    let rows = ArrayData::builder(DataType::Struct(schema.fields().clone())).len(5).build().unwrap();
    check_round_trip(&schema, &[rows]);
}

fn every_type() -> Vec<DataType> {
    use DataType as T;
    use arrow_schema::{Field, IntervalUnit as I, TimeUnit as U, UnionMode};
    let item = || Arc::new(Field::new("item", T::Utf8, true));
    let entries =
        T::Struct(vec![Field::new("key", T::Utf8, false), Field::new("value", T::Int32, true)].into());
    let union = |mode| {
        T::Union([(3, Arc::new(Field::new("x", T::Int32, true))), (0, item())].into_iter().collect(), mode)
    };
    let dictionary = |k: T| T::Dictionary(Box::new(k), Box::new(T::Utf8));
    let runs = |e: T| T::RunEndEncoded(Arc::new(Field::new("run_ends", e, false)), item());
    vec![
        T::Null,
        T::Boolean,
        T::Int8,
        T::Int16,
        T::Int32,
        T::Int64,
        T::UInt8,
        T::UInt16,
        T::UInt32,
        T::UInt64,
        T::Float16,
        T::Float32,
        T::Float64,
        T::Decimal32(9, 2),
        T::Decimal64(18, 2),
        T::Decimal128(38, 2),
        T::Decimal256(76, -2),
        T::Date32,
        T::Date64,
        T::Time32(U::Second),
        T::Time32(U::Millisecond),
        T::Time64(U::Microsecond),
        T::Time64(U::Nanosecond),
        T::Timestamp(U::Second, None),
        T::Timestamp(U::Millisecond, Some("UTC".into())),
        T::Timestamp(U::Microsecond, None),
        T::Timestamp(U::Nanosecond, Some("Asia/Tokyo".into())),
        T::Duration(U::Second),
        T::Duration(U::Millisecond),
        T::Duration(U::Microsecond),
        T::Duration(U::Nanosecond),
        T::Interval(I::YearMonth),
        T::Interval(I::DayTime),
        T::Interval(I::MonthDayNano),
        T::FixedSizeBinary(0),
        T::FixedSizeBinary(5),
        T::Utf8,
        T::LargeUtf8,
        T::Binary,
        T::LargeBinary,
        T::Utf8View,
        T::BinaryView,
        T::List(item()),
        T::LargeList(item()),
        T::ListView(item()),
        T::LargeListView(item()),
        T::FixedSizeList(item(), 3),
        T::FixedSizeList(item(), 0),
        T::Struct(vec![item()].into()),
        T::Struct(vec![Field::new("v", T::Utf8View, true)].into()),
        T::Map(Arc::new(Field::new("entries", entries, false)), true),
        union(UnionMode::Dense),
        union(UnionMode::Sparse),
        dictionary(T::Int8),
        dictionary(T::UInt8),
        dictionary(T::Int16),
        dictionary(T::UInt16),
        dictionary(T::Int32),
        dictionary(T::UInt32),
        dictionary(T::Int64),
        dictionary(T::UInt64),
        runs(T::Int16),
        runs(T::Int32),
        runs(T::Int64),
        T::List(Arc::new(Field::new("item", dictionary(T::Int16), true))),
        T::Dictionary(
            Box::new(T::UInt16),
            Box::new(T::List(Arc::new(Field::new("item", dictionary(T::Int8), true)))),
        ),
        T::Dictionary(Box::new(T::Int32), Box::new(dictionary(T::Int8))),
    ]
}
