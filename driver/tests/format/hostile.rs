//! Descriptors whose bytes are anything: an error or a safe table, never a panic.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema as ArrowRsSchema, UnionMode};
use csm::table::descriptor::{Descriptor, Draft, HEADER_LEN, PREFIX_LEN};
use csm::table::export::Export;
use csm::table::schema::Schema;
use csm::table::shape::{BufferRef, PlacedBatch};
use csm::{Error, ErrorKind, Result};
use proptest::prelude::*;

use crate::arrays::{Dice, batch};
use crate::bridge::{Memory, encode, lend, take_schema, take_shape};

/// Makes CRC and length right again, as a hostile writer would.
pub fn seal(bytes: &mut [u8]) {
    if bytes.len() < HEADER_LEN {
        return;
    }
    let len = bytes.len() as u64;
    bytes[PREFIX_LEN..PREFIX_LEN + 8].copy_from_slice(&len.to_le_bytes());
    let crc = crc32fast::hash(&bytes[PREFIX_LEN..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
}

/// Parses `bytes`; if that succeeds, everything a reader could do must stay inside of `memory`.
pub fn exercise(bytes: &[u8], memory: &Memory) -> Result<()> {
    let len = memory.len_bytes();
    let check = |region, offset: u64, len_bytes: u64| {
        assert_eq!(region, 0, "there is one region");
        match offset.checked_add(len_bytes).expect("checked by parse") <= len {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Corrupt, "out of bounds")),
        }
    };
    let descriptor = Arc::new(Descriptor::parse(bytes, check)?);
    // SAFETY: the memory outlives the export.
    let export = Arc::new(unsafe { Export::new(descriptor, vec![memory.base()], Arc::new(())) }?);
    let _ = export.validate();
    let n_batches = export.descriptor().n_batches();
    for i in 0..n_batches {
        let (lent_schema, lent) = (export.schema(), export.batch(i).expect("a batch"));
        // SAFETY: this crate obeys the interface.
        let schema = unsafe { Schema::from_c(&lent_schema) }.expect("a checked schema");
        // It may fail by the values in the buffers alone.
        if let Ok(shape) = take_shape(&schema, &lent) {
            assert_eq!(shape.nodes, export.shape(i).expect("a batch").nodes);
        }
    }
    drop(export.stream());
    Ok(())
}

/// A table with most layouts, in memory of its own.
fn table() -> (Memory, Vec<u8>) {
    let item = || Arc::new(Field::new("item", DataType::Int16, true));
    let union = DataType::Union([(5, item())].into_iter().collect(), UnionMode::Dense);
    let runs = DataType::RunEndEncoded(Arc::new(Field::new("run_ends", DataType::Int16, false)), item());
    let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    let columns = [
        DataType::List(item()),
        dictionary,
        DataType::Utf8View,
        union,
        runs,
        DataType::FixedSizeList(item(), 2),
    ];
    let fields: Vec<_> = columns.into_iter().map(|t| Field::new("é", t, true)).collect();
    let of =
        ArrowRsSchema::new(fields).with_metadata(HashMap::from([("key".to_owned(), "value".to_owned())]));
    let schema = take_schema(&of);
    let mut memory = Memory::block();
    let mut dice = Dice::new(4);
    let placed = [5, 0].map(|rows| {
        let lent = lend(&batch(&mut dice, &of, rows));
        take_shape(&schema, &lent).unwrap().place(|b| Ok(memory.place(b))).unwrap()
    });
    let bytes = encode(&schema, &placed);
    (memory, bytes)
}

#[test]
fn every_bit_is_under_the_crc() {
    let (_, bytes) = table();
    for at in (0..bytes.len()).step_by(if cfg!(miri) { 97 } else { 1 }) {
        let mut bad = bytes.clone();
        bad[at] ^= 1 << (at % 8);
        let parsed = Descriptor::parse(bad, |_, _, _| Ok(()));
        let may_change = (16..PREFIX_LEN).contains(&at);
        assert_eq!(parsed.is_ok(), may_change, "byte {at}");
    }
}

#[test]
fn every_byte_spoilt_is_an_error_or_a_safe_table() {
    let (memory, bytes) = table();
    let mut passed = 0;
    for at in (PREFIX_LEN..bytes.len()).step_by(if cfg!(miri) { 61 } else { 1 }) {
        for value in [bytes[at] ^ 1, bytes[at] ^ 0x80, !bytes[at], 0, 0xFF, bytes[at].wrapping_add(8)] {
            let mut bad = bytes.clone();
            bad[at] = value;
            seal(&mut bad);
            passed += usize::from(exercise(&bad, &memory).is_ok());
        }
    }
    assert!(passed > 0, "nothing was exercised");
}

#[test]
fn every_truncation_is_an_error() {
    let (memory, bytes) = table();
    exercise(&bytes, &memory).unwrap();
    for len in (0..bytes.len()).step_by(if cfg!(miri) { 61 } else { 1 }) {
        let mut cut = bytes[..len].to_vec();
        assert!(exercise(&cut, &memory).is_err());
        seal(&mut cut);
        assert!(exercise(&cut, &memory).is_err(), "{len} bytes");
    }
    let mut longer = bytes.clone();
    longer.extend_from_slice(&[0; 8]);
    seal(&mut longer);
    assert!(exercise(&longer, &memory).is_err());
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn many_words_spoilt_are_an_error_or_a_safe_table(
        spoilt in prop::collection::vec((any::<prop::sample::Index>(), 0usize..8, any::<u64>()), 1..4),
    ) {
        let (memory, mut bytes) = table();
        for (at, choice, any) in spoilt {
            let at = (at.index(bytes.len() - HEADER_LEN) + HEADER_LEN) & !3;
            let interesting = [0, 1, u64::MAX, i64::MAX as u64, u64::from(u32::MAX), 1 << 62, any % 64, any];
            bytes[at..][..4].copy_from_slice(&interesting[choice].to_le_bytes()[..4]);
            if at + 8 <= bytes.len() && any % 2 == 0 {
                bytes[at..][..8].copy_from_slice(&interesting[choice].to_le_bytes());
            }
        }
        seal(&mut bytes);
        let _ = exercise(&bytes, &memory);
    }

    #[test]
    fn noise_is_an_error(noise in prop::collection::vec(any::<u8>(), 0..400)) {
        let memory = Memory::block();
        prop_assert!(exercise(&noise, &memory).is_err());
        let (_, bytes) = table();
        let mut bad = [&bytes[..HEADER_LEN], &noise].concat();
        seal(&mut bad);
        prop_assert!(exercise(&bad, &memory).is_err());
    }
}

/// A batch of one int64 column with three rows.
fn one_column(buffer: BufferRef) -> (Schema, PlacedBatch) {
    let of = ArrowRsSchema::new(vec![Field::new("a", DataType::Int64, true)]);
    let schema = take_schema(&of);
    let lent = lend(&batch(&mut Dice::new(8), &of, 3));
    let mut placed = take_shape(&schema, &lent).unwrap().place(|_| Ok((0, 64))).unwrap();
    *placed.buffers.last_mut().unwrap() = buffer;
    (schema, placed)
}

#[test]
fn a_place_is_checked_before_it_is_used() {
    let at = |region, offset, len_bytes| BufferRef::At { region, offset, len_bytes };
    for (buffer, what) in [
        (at(0, 4, 200), "not a multiple of 8"),
        (at(1, 0, 200), "region 1 of 1"),
        (at(0, u64::MAX - 7, 200), "region 0 of 1"),
        (at(0, 4096, 200), "the caller says no"),
    ] {
        let (schema, placed) = one_column(buffer);
        let check = |_, offset, _| match offset {
            4096 => Err(Error::new(ErrorKind::Corrupt, "the caller says no")),
            _ => Ok(()),
        };
        let e = Descriptor::parse(encode(&schema, &[placed]), check).unwrap_err();
        assert!(e.kind() == ErrorKind::Corrupt && e.message().contains(what), "{e}");
    }
}

#[test]
fn a_draft_that_does_not_fit_its_schema_is_refused() {
    for buffer in [BufferRef::Empty, BufferRef::Absent, BufferRef::At { region: 0, offset: 64, len_bytes: 8 }]
    {
        let (schema, placed) = one_column(buffer);
        let draft = Draft { name: "t", schema: &schema, regions: &[[0; 16]], batches: &[placed] };
        let mut out = vec![0; draft.encoded_len(0).unwrap()];
        assert_eq!(draft.encode_into(&mut out, &[], 0, 0).unwrap_err().kind(), ErrorKind::Internal);
        let long = "n".repeat(256);
        let named = |name| Draft { name, ..draft }.encoded_len(0);
        assert_eq!(named("").unwrap_err().kind(), ErrorKind::BadName);
        assert_eq!(named(&long).unwrap_err().kind(), ErrorKind::BadName);
        assert!(named(&long[1..]).is_ok());
    }
}

/// Spoils the numbers of a batch; the draft must not be written.
fn refuse_numbers(data_type: DataType, what: &str, spoil: impl FnOnce(&mut PlacedBatch)) {
    let of = ArrowRsSchema::new(vec![Field::new("a", data_type, true)]);
    let schema = take_schema(&of);
    let lent = lend(&batch(&mut Dice::new(8), &of, 3));
    let mut placed = take_shape(&schema, &lent).unwrap().place(|_| Ok((0, 64))).unwrap();
    spoil(&mut placed);
    let draft = Draft { name: "t", schema: &schema, regions: &[[0; 16]], batches: &[placed] };
    let mut out = vec![0; draft.encoded_len(0).unwrap()];
    let e = draft.encode_into(&mut out, &[], 0, 0).unwrap_err();
    assert!(e.kind() == ErrorKind::Internal && e.message().contains(what), "{e}");
}

#[test]
fn numbers_that_do_not_go_together_are_refused() {
    let item = || Arc::new(Field::new("item", DataType::Int16, true));
    let runs = || DataType::RunEndEncoded(Arc::new(Field::new("run_ends", DataType::Int16, false)), item());
    let union = DataType::Union([(5, item())].into_iter().collect(), UnionMode::Sparse);
    let pair = || DataType::FixedSizeList(item(), 2);
    refuse_numbers(DataType::Int64, "4 nulls in 3 rows", |b| b.nodes[1].null_count = 4);
    refuse_numbers(DataType::Int64, "at offset", |b| b.nodes[1].offset = i64::MAX as u64 - 3);
    refuse_numbers(DataType::Int64, "too many", |b| b.nodes[1].offset = i64::MAX as u64 / 2);
    refuse_numbers(DataType::Int64, "begin at 2 instead of 1", |b| b.nodes[1].first_buffer = 2);
    refuse_numbers(DataType::Int64, "3 buffers instead of 2", |b| b.nodes[1].n_buffers = 3);
    refuse_numbers(DataType::Int64, "has 4 buffers, its arrays 3", |b| b.buffers.push(BufferRef::Empty));
    refuse_numbers(DataType::Int64, "has 1 arrays, its schema 2", |b| b.nodes.truncate(1));
    refuse_numbers(DataType::Int64, "offset 1 and 0 nulls", |b| b.nodes[0].offset = 1);
    refuse_numbers(DataType::Int64, "4 rows, but 3 in column \"a\"", |b| b.nodes[0].length = 4);
    refuse_numbers(DataType::Null, "2 nulls in 3 rows of type null", |b| b.nodes[1].null_count = 2);
    refuse_numbers(union.clone(), "has none of its own", |b| b.nodes[1].null_count = 1);
    refuse_numbers(union, "0 rows in column \"a.item\", ", |b| b.nodes[2].length = 0);
    refuse_numbers(runs(), "has none of its own", |b| b.nodes[1].null_count = 1);
    refuse_numbers(runs(), "1 of them null", |b| {
        b.nodes[2].null_count = 1;
        b.buffers[1] = BufferRef::At { region: 0, offset: 64, len_bytes: 8 };
    });
    refuse_numbers(runs(), "0 run ends", |b| b.nodes[2].length = 0);
    refuse_numbers(runs(), "for 0 values", |b| {
        b.nodes[3].length = 0;
        b.nodes[3].null_count = 0;
    });
    refuse_numbers(pair(), "are needed", |b| b.nodes[2].length = 5);
    refuse_numbers(pair(), "9223372036854775808 are needed", |b| {
        b.nodes[1].length = 1 << 62;
        b.nodes[0].length = 1 << 62;
        b.buffers[1] = BufferRef::Absent;
        b.nodes[1].null_count = 0;
    });
}

/// Each word of the header, and each reserved one elsewhere, has one right value.
#[test]
fn every_word_of_the_header_is_held_to() {
    let (schema, placed) = one_column(BufferRef::At { region: 0, offset: 64, len_bytes: 200 });
    let bytes = encode(&schema, &[placed]);
    // The buffers are last: the batch's bitmap, which is absent, the column's, and its values.
    let absent = bytes.len() - 3 * 24;
    let name = bytes.windows(7).position(|w| w == b"a table").unwrap();
    assert!(Descriptor::parse(&*bytes, |_, _, _| Ok(())).is_ok());
    for at in (72..HEADER_LEN).chain([name + 7]).chain(absent + 4..absent + 24).chain([absent + 52]) {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        seal(&mut bad);
        assert!(Descriptor::parse(bad, |_, _, _| Ok(())).is_err(), "byte {at}");
    }
    let mut bad = bytes.clone();
    bad[name] = 0xFF;
    seal(&mut bad);
    let e = Descriptor::parse(bad, |_, _, _| Ok(())).unwrap_err();
    assert!(e.message().contains("its name is \"\\xff table"), "{e}");

    let draft = Draft { name: "t", schema: &schema, regions: &[], batches: &[] };
    let mut out = vec![0; draft.encoded_len(0).unwrap()];
    draft.encode_into(&mut out, &[], 0, 0).unwrap();
    assert!(Descriptor::parse(out, |_, _, _| Ok(())).unwrap_err().message().contains("names no region"));
}

#[test]
fn a_newer_version_is_no_corruption() {
    let (_, mut bytes) = table();
    bytes[8] += 1;
    let e = Descriptor::parse(bytes, |_, _, _| Ok(())).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::LayoutMismatch, "{e}");
}
