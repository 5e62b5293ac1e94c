//! What producers get wrong, or may still do from older days.

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use arrow_buffer::{Buffer, NullBuffer};
use arrow_data::ArrayData;
use arrow_schema::{DataType, Field, Schema as ArrowRsSchema};
use csm::ErrorKind;
use csm::table::format::Layout;
use csm::table::schema::Schema;

use crate::arrays::{Dice, batch};
use crate::bridge::{CArray, CSchema, c_array, c_schema, lend, lend_schema, take_schema, take_shape};

fn schema() -> ArrowRsSchema {
    let item = Arc::new(Field::new("item", DataType::Int32, true));
    let inner = Field::new("x", DataType::Utf8, true);
    ArrowRsSchema::new(vec![
        Field::new("text", DataType::Utf8, true),
        Field::new("list", DataType::List(item), true),
        Field::new("s", DataType::Struct(vec![inner].into()), true),
        Field::new("d", DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)), true),
        Field::new("v", DataType::Utf8View, true),
    ])
}

fn child(array: &mut CArray, k: usize) -> &mut CArray {
    // SAFETY: arrow-rs made the children.
    unsafe { &mut **array.children.add(k) }
}

fn buffer(array: &mut CArray, k: usize) -> &mut *const c_void {
    // SAFETY: arrow-rs made the buffers.
    unsafe { &mut *array.buffers.add(k) }
}

/// Runs `spoil` on a good batch; expects an error that names `column` and says `what`.
fn expect(column: &str, what: &str, spoil: impl FnOnce(&mut CArray)) {
    let of = schema();
    // One whose views have data buffers.
    let mut made = (0..).map(|seed| batch(&mut Dice::new(seed), &of, 20));
    let data = made.find(|data| data.child_data()[4].buffers().len() > 1).unwrap();
    let mut lent = lend(&data);
    spoil(c_array(&mut lent));
    let e = take_shape(&take_schema(&of), &lent).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::BadArrow, "{e}");
    assert!(e.message().contains(column) && e.message().contains(what), "{e}");
}

#[test]
fn arrays_that_break_the_interface_are_named() {
    const NULL: *const c_void = ptr::null();
    expect("the record batch", "length is -1", |a| a.length = -1);
    expect("\"text\"", "offset is -4", |a| child(a, 0).offset = -4);
    expect("\"text\"", "offset", |a| child(a, 0).offset = i64::MAX);
    expect("\"text\"", "rows", |a| child(a, 0).length = 19);
    expect("\"text\"", "null_count is 21", |a| child(a, 0).null_count = 21);
    expect("\"text\"", "null_count is -2", |a| child(a, 0).null_count = -2);
    expect("\"text\"", "2 buffers instead of 3", |a| child(a, 0).n_buffers = 2);
    expect("\"text\"", "-1 buffers", |a| child(a, 0).n_buffers = -1);
    expect("\"text\"", "buffers are NULL", |a| child(a, 0).buffers = ptr::null_mut());
    expect("\"text\"", "buffer 1 is NULL", |a| *buffer(child(a, 0), 1) = NULL);
    expect("\"text\"", "buffer 2 is NULL", |a| *buffer(child(a, 0), 2) = NULL);
    expect("\"text\"", "buffer 0 is not there", |a| {
        *buffer(child(a, 0), 0) = NULL;
        child(a, 0).null_count = 3;
    });
    expect("\"list\"", "0 children instead of 1", |a| child(a, 1).n_children = 0);
    expect("\"list\"", "children are NULL", |a| child(a, 1).children = ptr::null_mut());
    expect("\"list\"", "its child has", |a| {
        child(child(a, 1), 0).length = 2;
        child(child(a, 1), 0).null_count = 0;
    });
    expect("\"s\"", "rows in column \"s.x\"", |a| {
        child(child(a, 2), 0).length = 2;
        child(child(a, 2), 0).null_count = 0;
    });
    expect("\"s.x\"", "released", |a| {
        // Moved out and let go of by somebody else.
        let moved = child(child(a, 2), 0);
        // SAFETY: released once.
        unsafe { moved.release.unwrap()(moved) };
    });
    expect("\"d\"", "dictionary is NULL", |a| child(a, 3).dictionary = ptr::null_mut());
    expect("\"v\"", "2 buffers", |a| child(a, 4).n_buffers = 2);
    expect("\"v\"", "view data buffer 0 has -1 bytes", |a| {
        let v = child(a, 4);
        *buffer(v, v.n_buffers as usize - 1) = NULL;
    });
    expect("the record batch", "4 children instead of 5", |a| a.n_children = 4);
}

#[test]
fn a_released_array_and_nulls_of_a_batch_are_refused() {
    let of = schema();
    let e = take_shape(&take_schema(&of), &csm::table::cdata::ArrowArray::empty()).unwrap_err();
    assert!(e.kind() == ErrorKind::BadArrow && e.message().contains("released"), "{e}");

    let data = batch(&mut Dice::new(3), &of, 20).into_builder();
    let nulls = NullBuffer::from((0..20).map(|i| i != 7).collect::<Vec<_>>());
    let lent = lend(&data.nulls(Some(nulls)).build().unwrap());
    let e = take_shape(&take_schema(&of), &lent).unwrap_err();
    assert!(e.kind() == ErrorKind::BadArrow && e.message().contains("1 nulls"), "{e}");
}

#[test]
fn an_unknown_null_count_is_counted() {
    let of = schema();
    for seed in 0..20 {
        let data = batch(&mut Dice::new(seed), &of, 20);
        let (known, mut lent) = (lend(&data), lend(&data));
        let unknown = c_array(&mut lent);
        unknown.null_count = -1;
        (0..5).for_each(|k| child(unknown, k).null_count = -1);
        let schema = take_schema(&of);
        assert_eq!(take_shape(&schema, &lent).unwrap().nodes, take_shape(&schema, &known).unwrap().nodes);
    }
}

#[test]
fn null_and_union_may_have_the_bitmap_of_before_arrow_1() {
    let x = Arc::new(Field::new("x", DataType::Int8, true));
    let union = DataType::Union([(0, x)].into_iter().collect(), arrow_schema::UnionMode::Dense);
    for (data_type, n_buffers) in [(DataType::Null, 0), (union, 2)] {
        let of = ArrowRsSchema::new(vec![Field::new("old", data_type, true)]);
        let data = batch(&mut Dice::new(5), &of, 9);
        let (schema, mut lent) = (take_schema(&of), lend(&data));
        let old = child(c_array(&mut lent), 0);
        let mut buffers = vec![ptr::null()];
        buffers.extend((0..n_buffers).map(|k| *buffer(old, k)));
        old.n_buffers += 1;
        old.buffers = buffers.as_mut_ptr();
        assert_eq!(take_shape(&schema, &lent).unwrap().nodes[1].n_buffers as usize, n_buffers);

        buffers[0] = [0xFFu8; 8].as_ptr().cast();
        let e = take_shape(&schema, &lent).unwrap_err();
        assert!(e.message().contains("\"old\"") && e.message().contains("Arrow 1.0"), "{e}");
    }
}

#[test]
fn no_rows_need_no_buffers() {
    for data_type in
        [DataType::Int64, DataType::Utf8, DataType::LargeBinary, DataType::Utf8View, DataType::Boolean]
    {
        let of = ArrowRsSchema::new(vec![Field::new("a", data_type.clone(), true)]);
        let empty = ArrayData::new_empty(&data_type);
        let whole = DataType::Struct(of.fields().clone());
        let whole = ArrayData::builder(whole).add_child_data(empty).build().unwrap();
        let mut lent = lend(&whole);
        let a = child(c_array(&mut lent), 0);
        (0..a.n_buffers as usize).for_each(|k| *buffer(a, k) = ptr::null());
        let shape = take_shape(&take_schema(&of), &lent).unwrap();
        assert!(shape.buffers[2..].iter().all(|b| b.is_empty()), "{data_type}: {shape:?}");
    }
}

#[test]
fn views_and_wide_decimals_want_16_bytes() {
    let item = Arc::new(Field::new("item", DataType::Int8, true));
    for (data_type, align_bytes) in [
        (DataType::Utf8View, 16),
        (DataType::Decimal128(38, 0), 16),
        (DataType::Decimal256(38, 0), 16),
        (DataType::Interval(arrow_schema::IntervalUnit::MonthDayNano), 8),
        (DataType::LargeUtf8, 8),
        (DataType::List(item.clone()), 4),
        (DataType::LargeListView(item), 8),
        (DataType::Boolean, 1),
    ] {
        let of = ArrowRsSchema::new(vec![Field::new("a", data_type.clone(), true)]);
        let shape = take_shape(&take_schema(&of), &lend(&batch(&mut Dice::new(1), &of, 3))).unwrap();
        assert_eq!(shape.buffers[2].align_bytes, align_bytes, "{data_type}");
    }
}

#[test]
fn nulls_that_are_none_or_all_are_put_right() {
    let of = ArrowRsSchema::new(vec![Field::new("n", DataType::Null, true)]);
    for null_count in [-1, 0, 5] {
        let mut lent = lend(&batch(&mut Dice::new(2), &of, 5));
        let ones = [0xFFu8; 8];
        let root = c_array(&mut lent);
        *buffer(root, 0) = ones.as_ptr().cast();
        child(root, 0).null_count = null_count;
        let shape = take_shape(&take_schema(&of), &lent).unwrap();
        assert_eq!(shape.nodes[1].null_count, 5);
        // A bitmap of the batch itself, without nulls.
        assert!(shape.buffers[0].is_absent());
    }
}

#[test]
fn a_misaligned_buffer_says_so() {
    let of = ArrowRsSchema::new(vec![Field::new("a", DataType::Decimal128(38, 0), true)]);
    let words: Buffer = vec![0u8; 64].into();
    let values = ArrayData::builder(DataType::Decimal128(38, 0)).len(3).add_buffer(words);
    let whole = ArrayData::builder(DataType::Struct(of.fields().clone())).len(3);
    let mut lent = lend(&whole.add_child_data(values.align_buffers(true).build().unwrap()).build().unwrap());
    for (shift, aligned) in [(0, true), (8, false), (16, true)] {
        let at = buffer(child(c_array(&mut lent), 0), 1);
        *at = (*at).wrapping_byte_add(shift - *at as usize % 16);
        let shape = take_shape(&take_schema(&of), &lent).unwrap();
        assert_eq!((shape.buffers[2].is_aligned(), shape.buffers[2].align_bytes), (aligned, 16));
    }
}

/// Runs `spoil` on a good schema; expects an error of `kind` that says `what`.
fn expect_schema(kind: ErrorKind, what: &str, spoil: impl FnOnce(&mut CSchema)) {
    let mut lent = lend_schema(&schema());
    spoil(c_schema(&mut lent));
    // SAFETY: every pointer is null or good.
    let e = unsafe { Schema::from_c(&lent) }.unwrap_err();
    assert!(e.kind() == kind && e.message().contains(what), "{:?} {e}", e.kind());
    // arrow-rs would free the strings that were put in.
    std::mem::forget(lent);
}

#[test]
#[cfg_attr(miri, ignore = "leaks")]
fn schemas_that_break_the_interface_are_named() {
    let field = |s: &mut CSchema, k: usize| -> &mut CSchema {
        // SAFETY: arrow-rs made the children.
        unsafe { &mut **s.children.add(k) }
    };
    let bad = ErrorKind::BadArrow;
    expect_schema(bad, "format is NULL", |s| s.format = ptr::null());
    expect_schema(bad, "a table is a struct", |s| {
        s.format = c"i".as_ptr();
        s.n_children = 0;
    });
    expect_schema(bad, "n_children is -1", |s| s.n_children = -1);
    expect_schema(bad, "children are NULL", |s| s.children = ptr::null_mut());
    expect_schema(bad, "flags are 0xf00000000", |s| s.flags = 0xF_0000_0000);
    expect_schema(bad, "\"tss\"", |s| field(s, 0).format = c"tss".as_ptr());
    expect_schema(bad, "not UTF-8", |s| field(s, 0).name = c"\xFF".as_ptr());
    expect_schema(bad, "0 children instead of 1", |s| field(s, 1).n_children = 0);
    expect_schema(bad, "indices are integers", |s| field(s, 3).format = c"f".as_ptr());
    expect_schema(bad, "struct of key and value", |s| field(s, 1).format = c"+m".as_ptr());
    expect_schema(bad, "run ends", |s| {
        let twice = [0, 0].map(|k| ptr::from_mut(field(s, k)));
        field(s, 1).format = c"+r".as_ptr();
        field(s, 1).n_children = 2;
        field(s, 1).children = Box::leak(Box::new(twice)).as_mut_ptr();
    });
    let metadata: &'static [u8] = &[1, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF];
    expect_schema(bad, "length -1", |s| field(s, 0).metadata = metadata.as_ptr().cast());
    expect_schema(bad, "released", |s| {
        let moved = field(s, 2);
        // SAFETY: released once.
        unsafe { moved.release.unwrap()(moved) };
    });

    let mut deep = DataType::Int8;
    for _ in 0..70 {
        deep = DataType::List(Arc::new(Field::new("item", deep, true)));
    }
    let lent = lend_schema(&ArrowRsSchema::new(vec![Field::new("deep", deep, true)]));
    // SAFETY: arrow-rs obeys the interface.
    let e = unsafe { Schema::from_c(&lent) }.unwrap_err();
    assert!(e.kind() == ErrorKind::Unsupported && e.message().contains("64 levels"), "{e}");
}

#[test]
fn every_format_string_has_its_layout() {
    for good in [
        "n",
        "b",
        "c",
        "C",
        "s",
        "S",
        "i",
        "I",
        "l",
        "L",
        "e",
        "f",
        "g",
        "z",
        "Z",
        "u",
        "U",
        "vz",
        "vu",
        "w:0",
        "w:16",
        "d:9,2,32",
        "d:18,-3,64",
        "d:38,10",
        "d:38,10,128",
        "d:76,0,256",
        "tdD",
        "tdm",
        "tts",
        "ttm",
        "ttu",
        "ttn",
        "tss:",
        "tsm:UTC",
        "tsu:a:b",
        "tsn:+02:00",
        "tDs",
        "tDm",
        "tDu",
        "tDn",
        "tiM",
        "tiD",
        "tin",
        "+l",
        "+L",
        "+vl",
        "+vL",
        "+w:3",
        "+w:0",
        "+s",
        "+m",
        "+r",
        "+ud:",
        "+ud:0,1",
        "+us:127,5",
    ] {
        assert!(Layout::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "x",
        "ii",
        "w",
        "w:",
        "w:-1",
        "w:+1",
        "w:2147483648",
        "w:1 ",
        "d:",
        "d:38",
        "d:39,0",
        "d:0,0",
        "d:10,0,32",
        "d:19,2,64",
        "d:77,0,256",
        "d:9,2,16",
        "d:9,2,32,1",
        "d:9,x",
        "ts",
        "tss",
        "tsx:",
        "tdx",
        "+",
        "+x",
        "+w",
        "+w:-1",
        "+u",
        "+ud",
        "+ud:0,0",
        "+ud:128",
        "+ud:-1",
        "+us:1,",
        "+ux:1",
        "+v",
        "i\n",
        "é",
    ] {
        let e = Layout::parse(bad).unwrap_err();
        assert!(
            e.kind() == ErrorKind::BadArrow && e.message().contains(&*bad.escape_debug().to_string()),
            "{e}"
        );
    }
}
