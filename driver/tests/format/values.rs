//! Values that lead out of their buffers: found by validation, with column, row and value.

use std::sync::Arc;

use arrow_buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow_data::{ArrayData, ArrayDataBuilder, ByteView};
use arrow_schema::{DataType, Field, Schema as ArrowRsSchema, UnionMode};
use csm::ErrorKind;

use crate::bridge::{Memory, publish};

fn ints(values: &[i32]) -> Buffer {
    ScalarBuffer::from(values.to_vec()).into_inner()
}

fn array(data_type: DataType, len: usize, buffers: &[Buffer], children: &[ArrayData]) -> ArrayDataBuilder {
    ArrayData::builder(data_type).len(len).buffers(buffers.to_vec()).child_data(children.to_vec())
}

/// Publishes one column "a" that arrow-rs would refuse, and validates it.
fn validate(column: ArrayDataBuilder) -> Result<(), csm::Error> {
    // SAFETY: nothing of arrow-rs reads the values.
    let column = unsafe { column.build_unchecked() };
    let schema = Arc::new(ArrowRsSchema::new(vec![Field::new("a", column.data_type().clone(), true)]));
    let whole = ArrayData::builder(DataType::Struct(schema.fields().clone())).len(column.len());
    // SAFETY: as above.
    let whole = unsafe { whole.add_child_data(column).build_unchecked() };
    let mut memory = Memory::block();
    publish(&schema, &[whole], &mut memory, Arc::new(())).validate()
}

fn refuse(column: ArrayDataBuilder, what: &str) {
    let e = validate(column).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::BadArrow, "{e}");
    for part in ["a table", "batch 0", "column \"a", what] {
        assert!(e.message().contains(part), "{e} has no {part}");
    }
}

fn texts(offsets: &[i32], data: &[u8]) -> ArrayDataBuilder {
    array(DataType::Utf8, offsets.len() - 1, &[ints(offsets), Buffer::from(data)], &[])
}

#[test]
fn offsets_and_text() {
    validate(texts(&[0, 1, 3, 3, 4], "aéb".as_bytes())).unwrap();
    refuse(texts(&[0, 3, 2, 4], b"abcd"), "row 2: offset 2 after 3");
    refuse(texts(&[-1, 3, 3, 4], b"abcd"), "row 0: offset -1");
    refuse(texts(&[0, 9, 3, 4], b"abcd"), "row 1: offset 9 after 0, of 4 bytes");
    refuse(texts(&[0, 1, 4], b"ab\xFFd"), "row 1: not UTF-8 from byte 1 on: \"\\xffd\"");
    // Valid as a whole, cut inside of a character.
    refuse(texts(&[0, 2, 4], "aéb".as_bytes()), "row 0: not UTF-8");
    // Under a null anything goes; the same bytes are fine as binary.
    let nulls = NullBuffer::from(vec![true, false]);
    validate(texts(&[0, 1, 4], b"ab\xFFd").nulls(Some(nulls))).unwrap();
    validate(array(DataType::Binary, 2, &[ints(&[0, 1, 4]), Buffer::from(b"ab\xFFd")], &[])).unwrap();
    // Many rows: found in any of the pieces that are looked at.
    let many: Vec<i32> = (0..=40_000).map(|i| i * 2).collect();
    let mut data = "é".repeat(40_000).into_bytes();
    if !cfg!(miri) {
        validate(texts(&many, &data)).unwrap();
        data[70_001] = b'x';
        refuse(texts(&many, &data), "row 35000: not UTF-8");
    }
}

#[test]
fn null_counts() {
    let nulls = NullBuffer::from(vec![true, false, true]);
    let with_count = |n| {
        let column = array(DataType::Int32, 3, &[ints(&[1, 2, 3])], &[]);
        column.null_bit_buffer(Some(nulls.buffer().clone())).null_count(n)
    };
    validate(with_count(1)).unwrap();
    refuse(with_count(2), "null count is 2, its bitmap has 1");
}

#[test]
fn views() {
    let text = b"rather more than twelve bytes";
    let of = |view: ByteView| {
        let views = ScalarBuffer::from(vec![view.as_u128()]).into_inner();
        array(DataType::Utf8View, 1, &[views, Buffer::from(text)], &[])
    };
    let good = ByteView::new(29, &text[..4]);
    validate(of(good)).unwrap();
    refuse(of(good.with_buffer_index(1)), "row 0: view of 29 bytes at 0 of data buffer 1: there is none");
    refuse(of(good.with_offset(1)), "row 0: view of 29 bytes at 1 of data buffer 0: it has 29");
    refuse(of(good.with_offset(u32::MAX)), "row 0: view of 29 bytes at 4294967295");
    refuse(of(ByteView::new(29, b"ratt")), "another prefix");
    let inline = |view: [u8; 16]| {
        let views = ScalarBuffer::from(vec![u128::from_le_bytes(view)]).into_inner();
        array(DataType::Utf8View, 1, &[views], &[])
    };
    validate(inline(*b"\x02\0\0\0hi\0\0\0\0\0\0\0\0\0\0")).unwrap();
    refuse(inline(*b"\x02\0\0\0hi\0\0\0\0\0\0\0\0\0x"), "not filled up with zeros");
    refuse(inline(*b"\x02\0\0\0h\xFF\0\0\0\0\0\0\0\0\0\0"), "row 0: not UTF-8");
}

#[test]
fn lists() {
    let child = ArrayData::new_null(&DataType::Int32, 5);
    let item = Arc::new(Field::new("item", DataType::Int32, true));
    let list = |offsets: &[i32]| {
        array(DataType::List(item.clone()), offsets.len() - 1, &[ints(offsets)], std::slice::from_ref(&child))
    };
    validate(list(&[1, 3, 5])).unwrap();
    refuse(list(&[0, 6, 5]), "row 1: offset 6 after 0, of 5 rows of the child");
    let view = |offset, size| {
        let buffers = [ints(&[0, offset]), ints(&[5, size])];
        array(DataType::ListView(item.clone()), 2, &buffers, std::slice::from_ref(&child))
    };
    validate(view(5, 0)).unwrap();
    refuse(view(3, 3), "row 1: 3 rows from 3 of a child with 5");
    refuse(view(-1, 1), "row 1: 1 rows from -1");
    refuse(view(1, -1), "row 1: -1 rows from 1");
}

#[test]
fn dictionaries() {
    let values = ArrayData::new_null(&DataType::Utf8, 2);
    let of = |keys: &[i8]| {
        let data_type = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
        let keys = ScalarBuffer::from(keys.to_vec()).into_inner();
        array(data_type, 3, &[keys], std::slice::from_ref(&values))
    };
    validate(of(&[0, 1, 0])).unwrap();
    refuse(of(&[0, 1, 2]), "row 2: index 2 of a dictionary with 2 values");
    refuse(of(&[0, -1, 2]), "row 1: index -1");
    validate(of(&[0, -1, 1]).nulls(Some(NullBuffer::from(vec![true, false, true])))).unwrap();
    // Inside of a dictionary, too.
    let inner = texts(&[0, 2, 1], b"ab");
    // SAFETY: nothing of arrow-rs reads the values.
    let inner = unsafe { inner.build_unchecked() };
    let outer = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    let column = array(outer, 1, &[Buffer::from([0u8])], &[inner]);
    refuse(column, "a[dictionary]\" (format \"u\"): row 1: offset 2 after 0, of 1 bytes");
}

#[test]
fn unions() {
    let child = ArrayData::new_null(&DataType::Int32, 2);
    let fields = || [(7, Arc::new(Field::new("x", DataType::Int32, true)))].into_iter().collect();
    let dense = |ids: &[i8], offsets: &[i32]| {
        let ids = ScalarBuffer::from(ids.to_vec()).into_inner();
        let data_type = DataType::Union(fields(), UnionMode::Dense);
        array(data_type, 2, &[ids, ints(offsets)], std::slice::from_ref(&child))
    };
    validate(dense(&[7, 7], &[0, 1])).unwrap();
    refuse(dense(&[7, 0], &[0, 1]), "row 1: type id 0 is not one");
    refuse(dense(&[-7, 7], &[0, 1]), "row 0: type id -7");
    refuse(dense(&[7, 7], &[0, 2]), "row 1: row 2 of child 7, which has 2");
    refuse(dense(&[7, 7], &[-1, 1]), "row 0: row -1 of child 7");
    let sparse = array(
        DataType::Union(fields(), UnionMode::Sparse),
        2,
        &[Buffer::from([7u8, 6])],
        std::slice::from_ref(&child),
    );
    refuse(sparse, "row 1: type id 6");
}

#[test]
fn run_ends() {
    let of = |ends: &[i32], len| {
        let n = ends.len();
        // SAFETY: nothing of arrow-rs reads the values.
        let ends = unsafe { array(DataType::Int32, n, &[ints(ends)], &[]).build_unchecked() };
        let fields = ["run_ends", "values"].map(|name| Arc::new(Field::new(name, DataType::Int32, true)));
        let [run_ends, values] = fields;
        let data_type = DataType::RunEndEncoded(run_ends, values);
        array(data_type, len, &[], &[ends, ArrayData::new_null(&DataType::Int32, n)])
    };
    validate(of(&[1, 4, 9], 9)).unwrap();
    validate(of(&[1, 4, 9], 3).offset(6)).unwrap();
    refuse(of(&[1, 4, 9], 4).offset(6), "its last run ends at 9, its last row is 9");
    refuse(of(&[0, 4, 9], 9), "run 0: end 0 after 0");
    refuse(of(&[3, 3, 9], 9), "run 1: end 3 after 3");
}
