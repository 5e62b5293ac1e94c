//! Arrays of every Arrow type, made from a type and a seed.
//!
//! Buffers are made by hand rather than by builders: so there are offsets at
//! every level, first offsets that are not 0, bytes that no row uses, and any
//! bits under nulls. arrow-rs validates each array that is made.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow_data::{ArrayData, ByteView};
use arrow_schema::{
    DataType, Field, Fields, IntervalUnit, Schema, SchemaRef, TimeUnit, UnionFields, UnionMode,
};
use proptest::prelude::*;

/// A small generator of numbers that are the same for the same seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }

    fn flip(&mut self) -> bool {
        self.below(2) == 0
    }
}

const TEXTS: [&str; 7] =
    ["", "a", "é", "漢字", "twelve bytes", "rather more than twelve bytes", "🦀🦀🦀🦀🦀"];

fn leaf() -> impl Strategy<Value = DataType> {
    use DataType as T;
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let unit = prop::sample::select(vec![Second, Millisecond, Microsecond, Nanosecond]);
    let zone = prop::option::of(prop::sample::select(vec!["UTC", "Europe/Berlin", "+02:00", "a:b"]));
    let interval = prop::sample::select(vec![
        IntervalUnit::YearMonth,
        IntervalUnit::DayTime,
        IntervalUnit::MonthDayNano,
    ]);
    prop_oneof![
        12 => prop::sample::select(vec![
            T::Null, T::Boolean, T::Int8, T::Int16, T::Int32, T::Int64, T::UInt8, T::UInt16, T::UInt32, T::UInt64,
            T::Float16, T::Float32, T::Float64, T::Date32, T::Date64, T::Time32(Second), T::Time32(Millisecond),
            T::Time64(Microsecond), T::Time64(Nanosecond), T::Decimal32(9, 2), T::Decimal64(18, -3),
            T::Decimal128(38, 10), T::Decimal256(76, 0),
        ]),
        8 => prop::sample::select(vec![
            T::Utf8, T::LargeUtf8, T::Binary, T::LargeBinary, T::Utf8View, T::BinaryView,
        ]),
        1 => (unit.clone(), zone).prop_map(|(unit, zone)| T::Timestamp(unit, zone.map(Into::into))),
        1 => unit.prop_map(T::Duration),
        1 => interval.prop_map(T::Interval),
        1 => (0..20).prop_map(T::FixedSizeBinary),
    ]
}

fn field(name: &str, data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new(name, data_type, true))
}

/// Every type of Arrow, nested a few levels deep.
pub fn any_type() -> impl Strategy<Value = DataType> {
    use DataType as T;
    leaf().prop_recursive(4, 12, 4, |inner| {
        let item = inner.clone().prop_map(|t| field("item", t));
        let fields = prop::collection::vec(inner.clone(), 0..4)
            .prop_map(|types| (0..).zip(types).map(|(i, t)| field(&format!("f{i}"), t)).collect::<Vec<_>>());
        let key = prop::sample::select(vec![
            T::Int8,
            T::Int16,
            T::Int32,
            T::Int64,
            T::UInt8,
            T::UInt16,
            T::UInt32,
            T::UInt64,
        ]);
        let end = prop::sample::select(vec![T::Int16, T::Int32, T::Int64]);
        let ids = prop::sample::subsequence((0..=127i8).collect::<Vec<_>>(), 4);
        prop_oneof![
            item.clone().prop_map(T::List),
            item.clone().prop_map(T::LargeList),
            item.clone().prop_map(T::ListView),
            item.clone().prop_map(T::LargeListView),
            (item, 0..4).prop_map(|(f, n)| T::FixedSizeList(f, n)),
            fields.clone().prop_map(|f| T::Struct(f.into())),
            inner.clone().prop_map(|value| {
                let key = Arc::new(Field::new("key", T::Utf8, false));
                let entries = T::Struct(vec![key, field("value", value)].into());
                T::Map(Arc::new(Field::new("entries", entries, false)), false)
            }),
            (fields, ids.prop_shuffle(), any::<bool>()).prop_map(|(mut fields, ids, dense)| {
                fields.push(field("last", T::Int32));
                let mode = if dense { UnionMode::Dense } else { UnionMode::Sparse };
                T::Union(ids.into_iter().zip(fields).collect::<UnionFields>(), mode)
            }),
            (key, inner.clone()).prop_map(|(k, v)| T::Dictionary(Box::new(k), Box::new(v))),
            (end, inner).prop_map(|(end, values)| {
                T::RunEndEncoded(Arc::new(Field::new("run_ends", end, false)), field("values", values))
            }),
        ]
    })
}

fn any_metadata() -> impl Strategy<Value = HashMap<String, String>> {
    prop::collection::hash_map("[a-z:é]{0,9}", "[ -~é]{0,20}", 0..3)
}

/// A schema of 0 to 4 columns of any types, with metadata at both levels and extension types.
pub fn any_schema() -> impl Strategy<Value = SchemaRef> {
    let column = ("[a-z\".é ]{0,8}", any_type(), any_metadata(), any::<bool>());
    let column = column.prop_map(|(name, data_type, mut metadata, is_extension)| {
        if is_extension {
            metadata.insert("ARROW:extension:name".into(), "csm.test".into());
            metadata.insert("ARROW:extension:metadata".into(), "{}".into());
        }
        Field::new(name, data_type, true).with_metadata(metadata)
    });
    (prop::collection::vec(column, 0..4), any_metadata())
        .prop_map(|(columns, metadata)| Arc::new(Schema::new_with_metadata(columns, metadata)))
}

/// A batch of `rows` rows.
pub fn batch(dice: &mut Dice, schema: &Schema, rows: usize) -> ArrayData {
    let columns = schema.fields().iter().map(|f| array(dice, f.data_type(), rows, true)).collect();
    let data_type = DataType::Struct(schema.fields().clone());
    ArrayData::builder(data_type).len(rows).child_data(columns).build().unwrap()
}

fn bytes(dice: &mut Dice, n: usize) -> Buffer {
    (0..n).map(|_| dice.below(256) as u8).collect()
}

/// `n` words of 4 or 8 bytes.
fn words(wide: bool, values: impl Iterator<Item = usize>) -> Buffer {
    match wide {
        true => values.map(|v| v as i64).collect::<ScalarBuffer<i64>>().into_inner(),
        false => values.map(|v| v as i32).collect::<ScalarBuffer<i32>>().into_inner(),
    }
}

/// Integers of the type that `of` is.
fn integers(of: &DataType, values: impl Iterator<Item = usize>) -> Buffer {
    let width = of.primitive_width().unwrap();
    values.flat_map(|v| v.to_le_bytes()[..width].to_vec()).collect::<Vec<u8>>().into()
}

/// Offsets that rise by 0 to 3, from one that may not be 0.
fn offsets(dice: &mut Dice, rows: usize) -> Vec<usize> {
    let mut at = dice.below(3);
    let mut all = vec![at];
    all.extend((0..rows).map(|_| {
        at += dice.below(4);
        at
    }));
    all
}

/// An array of `len` rows, after 0 to 9 that are not shown.
pub fn array(dice: &mut Dice, data_type: &DataType, len: usize, nullable: bool) -> ArrayData {
    use DataType as T;
    let offset = if dice.flip() { 0 } else { dice.below(10) };
    let rows = offset + len;
    let has_validity = !matches!(data_type, T::Null | T::Union(..) | T::RunEndEncoded(..));
    let nulls = (has_validity && nullable && dice.flip())
        .then(|| (0..rows).map(|_| dice.below(3) != 0).collect::<NullBuffer>().slice(offset, len));
    // The builder wants the bitmap of all rows.
    let bits = nulls.as_ref().map(|n| n.buffer().clone());
    let child = |dice: &mut Dice, f: &Field, n| array(dice, f.data_type(), n, f.is_nullable());

    let (buffers, children) = match data_type {
        T::Null => (vec![], vec![]),
        T::Boolean => (vec![bytes(dice, rows.div_ceil(8))], vec![]),
        T::Utf8 | T::LargeUtf8 | T::Binary | T::LargeBinary => {
            let texts: Vec<&str> = (0..=rows).map(|_| TEXTS[dice.below(TEXTS.len())]).collect();
            let mut ends = texts.iter().scan(0, |at, text| {
                *at += text.len();
                Some(*at)
            });
            let ends: Vec<usize> = ends.by_ref().collect();
            let wide = matches!(data_type, T::LargeUtf8 | T::LargeBinary);
            (vec![words(wide, ends.into_iter()), Buffer::from(texts.concat().as_bytes())], vec![])
        }
        T::Utf8View | T::BinaryView => (views(dice, rows), vec![]),
        T::List(f) | T::LargeList(f) | T::Map(f, _) => {
            let offsets = offsets(dice, rows);
            let n = offsets[rows] + dice.below(3);
            let wide = matches!(data_type, T::LargeList(_));
            (vec![words(wide, offsets.into_iter())], vec![child(dice, f, n)])
        }
        T::ListView(f) | T::LargeListView(f) => {
            let n = dice.below(12);
            let starts: Vec<usize> = (0..rows).map(|_| dice.below(n + 1)).collect();
            let sizes: Vec<usize> = starts.iter().map(|start| dice.below(n - start + 1)).collect();
            let wide = matches!(data_type, T::LargeListView(_));
            (vec![words(wide, starts.into_iter()), words(wide, sizes.into_iter())], vec![child(dice, f, n)])
        }
        T::FixedSizeList(f, n) => (vec![], vec![child(dice, f, rows * *n as usize)]),
        T::Struct(fields) => (vec![], structs(dice, fields, rows)),
        T::Union(fields, mode) => union(dice, fields, *mode, rows),
        T::Dictionary(key, value) => {
            let n = 1 + dice.below(20);
            let keys: Vec<usize> = (0..rows).map(|_| dice.below(n)).collect();
            (vec![integers(key, keys.into_iter())], vec![array(dice, value, n, true)])
        }
        T::RunEndEncoded(ends, values) => {
            let mut at = 0;
            let mut run_ends = vec![];
            while at < rows {
                at += 1 + dice.below(4);
                run_ends.push(at);
            }
            let n = run_ends.len();
            let ends = ArrayData::builder(ends.data_type().clone())
                .len(n)
                .add_buffer(integers(ends.data_type(), run_ends.into_iter()))
                .align_buffers(true);
            (vec![], vec![ends.build().unwrap(), child(dice, values, n)])
        }
        T::FixedSizeBinary(width) => (vec![bytes(dice, rows * *width as usize)], vec![]),
        // Digits that fit every precision, and floats that are numbers.
        T::Decimal32(..) | T::Decimal64(..) | T::Decimal128(..) | T::Decimal256(..) | T::Float16 => {
            let values: Vec<usize> = (0..rows).map(|_| dice.below(1000)).collect();
            let width = data_type.primitive_width().unwrap();
            let wide = values.iter().flat_map(|v| {
                let mut bytes = vec![0; width];
                bytes[..2].copy_from_slice(&(*v as u16).to_le_bytes());
                bytes
            });
            (vec![wide.collect::<Vec<u8>>().into()], vec![])
        }
        fixed => (vec![bytes(dice, rows * fixed.primitive_width().unwrap())], vec![]),
    };
    ArrayData::builder(data_type.clone())
        .len(len)
        .offset(offset)
        .null_bit_buffer(bits)
        .buffers(buffers)
        .child_data(children)
        .align_buffers(true)
        .build()
        .unwrap()
}

fn structs(dice: &mut Dice, fields: &Fields, rows: usize) -> Vec<ArrayData> {
    fields
        .iter()
        .map(|f| {
            let extra = dice.below(3);
            array(dice, f.data_type(), rows + extra, f.is_nullable())
        })
        .collect()
}

fn union(
    dice: &mut Dice,
    fields: &UnionFields,
    mode: UnionMode,
    rows: usize,
) -> (Vec<Buffer>, Vec<ArrayData>) {
    let ids: Vec<i8> = fields.iter().map(|(id, _)| id).collect();
    let picks: Vec<usize> = (0..rows).map(|_| dice.below(ids.len())).collect();
    let type_ids = picks.iter().map(|&k| ids[k]).collect::<ScalarBuffer<i8>>().into_inner();
    if mode == UnionMode::Sparse {
        let children = fields.iter().map(|(_, f)| array(dice, f.data_type(), rows, true)).collect();
        return (vec![type_ids], children);
    }
    let mut used = vec![0; ids.len()];
    let places: Vec<usize> = picks
        .iter()
        .map(|&k| {
            used[k] += 1;
            used[k] - 1
        })
        .collect();
    let children = fields.iter().zip(used).map(|((_, f), n)| array(dice, f.data_type(), n, true)).collect();
    (vec![type_ids, words(false, places.into_iter())], children)
}

/// Views, and up to three data buffers of which one may hold nothing.
fn views(dice: &mut Dice, rows: usize) -> Vec<Buffer> {
    let mut data: Vec<Vec<u8>> = vec![vec![]; dice.below(4)];
    let views: Vec<u128> = (0..rows)
        .map(|_| {
            let text = TEXTS[dice.below(TEXTS.len())].as_bytes();
            if text.len() <= 12 || data.is_empty() {
                let text = if text.len() <= 12 { text } else { b"" };
                let mut view = [0; 16];
                view[0] = text.len() as u8;
                view[4..4 + text.len()].copy_from_slice(text);
                return u128::from_le_bytes(view);
            }
            let k = dice.below(data.len());
            let start = data[k].len();
            data[k].extend_from_slice(text);
            ByteView::new(text.len() as u32, &text[..4])
                .with_buffer_index(k as u32)
                .with_offset(start as u32)
                .as_u128()
        })
        .collect();
    let views = ScalarBuffer::from(views).into_inner();
    std::iter::once(views).chain(data.into_iter().map(Buffer::from)).collect()
}
