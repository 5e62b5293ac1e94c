//! libcsm's tables as messages: one column of bytes, built in the region and published; the receiver opens the name and
//! copies the values out.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{RecordBatch, UInt8Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use csm::{Context, OpenOptions, PublishOptions, Region, Table};

use super::{Entry, Link, Means, Side};

const NAMES: [&str; 2] = ["there", "back"];
const REPLACE: PublishOptions = PublishOptions { replace: true, seal: false };

/// The first fields of the C Data Interface's `ArrowArray`, for a table of one column of bytes.
#[repr(C)]
struct CArray {
    length: i64,
    _null_count: i64,
    _offset: i64,
    _n_buffers: i64,
    _n_children: i64,
    buffers: *const *const u8,
    children: *const *const CArray,
}

struct Sender {
    region: Region,
    schema: SchemaRef,
    name: &'static str,
}

impl Sender {
    fn send(&self, bytes: &[u8]) {
        let mut values = self.region.vec::<u8>(bytes.len()).expect("room");
        values.extend_from_slice(bytes).expect("room");
        let column = UInt8Array::new(values.freeze(), None);
        let batch = RecordBatch::try_new(self.schema.clone(), vec![Arc::new(column)]).expect("batch");
        let batches = std::slice::from_ref(&batch);
        self.region
            .publish_record_batches(self.name, self.schema.clone(), batches, &REPLACE)
            .expect("publish");
    }
}

fn copy_out(table: &Table, into: &mut [u8]) {
    let batch = table.batch(0).expect("batch");
    // SAFETY: the struct of the C Data Interface; one column of bytes without nulls, kept by `batch`.
    unsafe {
        let batch = &*(&raw const batch).cast::<CArray>();
        let column = &**batch.children;
        assert_eq!(column.length, i64::try_from(into.len()).expect("small"), "a message of another length");
        into.as_mut_ptr().copy_from_nonoverlapping(*column.buffers.add(1), into.len());
    }
}

/// The receiver follows the name: as long as it stands for what he has, one word is looked at.
struct Polled {
    sender: Sender,
    from: &'static str,
    last: Option<Table>,
}

impl Link for Polled {
    fn send(&mut self, bytes: &[u8]) {
        self.sender.send(bytes);
    }

    fn receive(&mut self, into: &mut [u8]) {
        let table = loop {
            if self.last.as_ref().is_some_and(|table| table.is_current().expect("a region")) {
                std::hint::spin_loop();
                continue;
            }
            if let Ok(table) = self.sender.region.open_table(self.from, &OpenOptions::default()) {
                break table;
            }
        };
        copy_out(&table, into);
        self.last = Some(table);
    }
}

/// The receiver sleeps until the name is there, and removes it when he has read it.
struct Waited {
    sender: Sender,
    from: &'static str,
}

impl Link for Waited {
    fn send(&mut self, bytes: &[u8]) {
        self.sender.send(bytes);
    }

    fn receive(&mut self, into: &mut [u8]) {
        let region = &self.sender.region;
        region.wait(self.from, Duration::from_secs(60)).expect("a message");
        let table = region.open_table(self.from, &OpenOptions::default()).expect("open");
        copy_out(&table, into);
        region.remove(self.from).expect("remove");
    }
}

fn sender(uri: &str, names: [&'static str; 2], side: Side) -> (Sender, &'static str) {
    let region = Context::new().and_then(|context| context.open(uri)).expect("open");
    let schema = Arc::new(Schema::new(vec![Field::new("bytes", DataType::UInt8, false)]));
    let by = side.sends_by();
    (Sender { region, schema, name: names[by] }, names[1 - by])
}

pub(crate) fn polled(means: &Means) -> Entry {
    let (sender, from) = sender(&means.coherent, NAMES, means.side);
    Entry {
        who: "libcsm",
        how: "polled",
        limit: false,
        answers: true,
        includes: "allocate a column, fill it, publish it in place of the last one; the receiver polls, opens, copies out",
        link: Box::new(Polled { sender, from, last: None }),
    }
}

pub(crate) fn waited(means: &Means) -> Entry {
    let (sender, from) = sender(&means.coherent, ["waited-there", "waited-back"], means.side);
    Entry {
        who: "libcsm",
        how: "waited for",
        limit: false,
        answers: true,
        includes: "allocate a column, fill it, publish it; the receiver sleeps in Region::wait, opens, copies out, removes the name",
        link: Box::new(Waited { sender, from }),
    }
}

pub(crate) fn across(means: &Means) -> Entry {
    let (sender, from) = sender(&means.incoherent, NAMES, means.side);
    Entry {
        who: "libcsm",
        how: "between nodes",
        limit: false,
        answers: false,
        includes: "as polled, and everything written back by node 0 and invalidated by node 1 with real cache instructions",
        link: Box::new(Polled { sender, from, last: None }),
    }
}
