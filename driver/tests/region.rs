//! Regions as a user of the crate sees them, on `shm:`.
#![allow(unsafe_code, reason = "publishes arrays of another library")]
#![allow(clippy::expect_used, reason = "a test")]

use std::sync::atomic::{AtomicU32, Ordering};

use arrow_array::{Array, Int64Array, RecordBatch, StringArray, ffi};
use csm::table::cdata::{ArrowArray, ArrowSchema};
use csm::{Context, ErrorKind, OpenOptions, PublishOptions, Region};

/// A region of its own for one test, destroyed at the end.
struct Scratch {
    context: Context,
    uri: String,
}

impl Scratch {
    fn new(test: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let uri = format!("shm:test-{test}-{}-{n}", std::process::id());
        Self { context: Context::new().expect("context"), uri }
    }

    fn create(&self, options: &str) -> Region {
        self.context.create(&format!("{}?{options}", self.uri)).expect("create")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.context.destroy(&self.uri);
    }
}

fn batch(rows: i64) -> RecordBatch {
    let names: Vec<String> = (0..rows).map(|i| format!("row {i}")).collect();
    RecordBatch::try_from_iter([
        ("id", std::sync::Arc::new(Int64Array::from_iter_values(0..rows)) as _),
        ("name", std::sync::Arc::new(StringArray::from(names)) as _),
    ])
    .expect("batch")
}

/// Through the C Data Interface into this crate's structs, which have the same layout.
fn to_c(batch: &RecordBatch) -> (ArrowSchema, ArrowArray) {
    let array = arrow_array::StructArray::from(batch.clone()).to_data();
    let (mut array, mut schema) = ffi::to_ffi(&array).expect("ffi");
    // SAFETY: both libraries implement the C Data Interface; the sources are left released.
    unsafe {
        (ArrowSchema::from_raw((&raw mut schema).cast()), ArrowArray::from_raw((&raw mut array).cast()))
    }
}

fn publish(region: &Region, name: &str, batch: &RecordBatch, replace: bool) -> csm::Result<csm::Published> {
    let (schema, array) = to_c(batch);
    let options = PublishOptions { replace, ..Default::default() };
    // SAFETY: from arrow-rs, and nobody stores to it.
    unsafe { region.publish_batches(name, &schema, &[array], &options) }
}

#[test]
fn a_table_round_trips_and_its_space_returns() {
    let scratch = Scratch::new("roundtrip");
    let region = scratch.create("size=16M");
    let before = region.stats().expect("stats");
    let published = publish(&region, "t", &batch(1000), false).expect("publish");
    assert_eq!((published.rows, published.batches, published.bytes_in_place), (1000, 1, 0));
    assert!(published.bytes_copied > 8000);
    assert_eq!(publish(&region, "t", &batch(3), false).expect_err("taken").kind(), ErrorKind::NameTaken);

    let table = region.open_table("t", &OpenOptions { validate: true }).expect("open");
    assert_eq!((table.rows(), table.columns(), table.batches()), (1000, 2, 1));
    assert_eq!(region.leases().expect("leases").len(), 1);

    publish(&region, "t", &batch(5), true).expect("replace");
    assert!(!table.is_current().expect("current"));
    table.check().expect("still leased");
    assert_eq!(table.rows(), 1000);
    assert_eq!(region.open_table("t", &OpenOptions::default()).expect("new").rows(), 5);
    assert_eq!(region.verify().expect("verify").problems, Vec::<String>::new());

    drop(table);
    region.remove("t").expect("remove");
    let e = region.open_table("t", &OpenOptions::default()).expect_err("gone");
    assert_eq!(e.kind(), ErrorKind::NameNotFound);
    assert_eq!(region.verify().expect("verify").problems, Vec::<String>::new());
    let after = region.stats().expect("stats");
    assert_eq!((after.live_bytes, after.free_bytes, after.tables), (before.live_bytes, before.free_bytes, 0));
}

#[test]
fn a_region_spans_processes_and_counts_as_one_mapping_in_each() {
    let scratch = Scratch::new("twice");
    let region = scratch.create("size=8M&max=32M");
    let again = scratch.context.open(&scratch.uri).expect("again");
    assert_eq!(region.info().expect("info"), again.info().expect("info"));
    assert_eq!(region.members().expect("members").len(), 1);
    assert_eq!(scratch.context.destroy(&scratch.uri).expect_err("in use").kind(), ErrorKind::InUse);
    let free = region.stats().expect("stats").free_bytes;
    region.grow(32 << 20).expect("grow");
    assert!(again.stats().expect("stats").free_bytes > free + (20 << 20));
    again.close();
    assert_eq!(again.alloc(64, 64).expect_err("closed").kind(), ErrorKind::Closed);
    region.alloc(20 << 20, 64).expect("a large extent");
    let e = region.alloc(20 << 20, 64).expect_err("full");
    assert_eq!(e.kind(), ErrorKind::RegionFull);
}
