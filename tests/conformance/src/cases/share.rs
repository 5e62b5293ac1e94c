//! The same buffers seen from several processes, columns, tables and names.

use std::sync::Arc;

use arrow_array::{Array, Int64Array, RecordBatch};
use csm::{Context, Region};

use crate::fixture::small;
use crate::process::{Inside, Peer};
use crate::table::{
    addresses as places, assert_empty, assert_sound, open, publish, publish_stamp, read_stamp, stamp_of,
    stamped,
};
use crate::{Fixture, Outcome, Scratch};

/// Opens the table of argument 1 in region 0; says its stamp and the addresses of its buffers.
pub(super) fn read_role(inside: &mut Inside) {
    let region = Context::new().expect("context").open(inside.arg(0)).expect("open");
    let table = open(&region, inside.arg(1)).expect("open table");
    let batches = table.record_batches().expect("batches");
    table.validate().expect("valid");
    inside.say(format_args!("{} {:?}", stamp_of(&batches).expect("whole"), places(&batches)));
    inside.await_line("leave");
}

/// Publishes a table in region 0 under the name of argument 1, stamped with argument 2; stays until told.
pub(super) fn publish_role(inside: &mut Inside) {
    let region = Context::new().expect("context").open(inside.arg(0)).expect("open");
    let stamp = i64::try_from(inside.number(2)).expect("a stamp");
    let batch = region.copy_in(&stamped(1000, stamp)).expect("copy in");
    let published = publish(&region, inside.arg(1), std::slice::from_ref(&batch), false).expect("publish");
    assert_eq!(published.bytes_copied, 0);
    inside.say(format_args!("{:?}", places(&[batch])));
    inside.await_line("leave");
}

pub(super) fn addresses(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create(&small(4));
    let batches = [1, 2].map(|_| region.copy_in(&stamped(3000, 42)).expect("copy in"));
    let published = publish(&region, "mine", &batches, false).expect("publish");
    assert_eq!((published.rows, published.batches, published.bytes_copied), (6000, 2, 0));
    assert!(published.bytes_in_place > 6000 * 16);
    let expected = format!("42 {:?}", places(&batches));
    let mut reader = Peer::start("read", &[&scratch.uri, "mine"]);
    assert_eq!(reader.hear(), expected);
    // And the other way round.
    let mut publisher = Peer::start("publish", &[&scratch.uri, "theirs", "43"]);
    let there = publisher.hear();
    let table = open(&region, "theirs").expect("open");
    assert_eq!(format!("{:?}", places(&table.record_batches().expect("batches"))), there);
    assert_eq!(read_stamp(&region, "theirs"), 43);
    reader.say("leave");
    reader.finish();
    publisher.say("leave");
    publisher.finish();
    assert_eq!(read_stamp(&region, "theirs"), 43);
    assert_eq!(region.tables().expect("tables").len(), 2);
    Ok(())
}

pub(super) fn copied(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create(&small(4));
    let outside = stamped(1000, 5);
    let bytes: u64 =
        outside.columns().iter().flat_map(|c| c.to_data().buffers().to_vec()).map(|b| b.len() as u64).sum();
    let published = publish(&region, "outside", std::slice::from_ref(&outside), false).expect("publish");
    assert_eq!((published.bytes_copied, published.bytes_in_place), (bytes, 0));
    // Half of the columns in the region: the other half is copied.
    let inside = region.copy_in(&outside).expect("copy in");
    let columns = vec![inside.column(0).clone(), outside.column(1).clone(), inside.column(2).clone()];
    let mixed = RecordBatch::try_new(outside.schema(), columns).expect("a batch");
    let published = publish(&region, "mixed", &[mixed], false).expect("publish");
    assert_eq!((published.bytes_copied, published.bytes_in_place), (8000, bytes - 8000));
    // A buffer that two batches share is copied once.
    let twice = [outside.clone(), outside];
    assert_eq!(publish(&region, "twice", &twice, false).expect("publish").bytes_copied, bytes);
    for name in ["outside", "mixed", "twice"] {
        assert_eq!(read_stamp(&region, name), 5);
        region.remove(name).expect("remove");
    }
    drop((inside, region));
    assert_empty(&scratch.open(""));
    Ok(())
}

fn ints(region: &Region, values: std::ops::Range<i64>) -> Int64Array {
    let mut vec = region.vec::<i64>(0).expect("a vector");
    vec.extend(values).expect("room");
    Int64Array::new(vec.freeze(), None)
}

pub(super) fn shared(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create(&small(4));
    let column = ints(&region, 0..10_000);
    let sum: i64 = column.values().iter().sum();
    let slice = column.slice(5000, 100);
    let one = RecordBatch::try_from_iter([
        ("a", Arc::new(column.clone()) as _),
        ("b", Arc::new(column.clone()) as _),
    ]);
    let one = one.expect("a batch");
    let two = RecordBatch::try_from_iter([("c", Arc::new(slice) as _)]).expect("a batch");
    for (name, batch) in [("one", &one), ("uno", &one), ("two", &two)] {
        let published = publish(&region, name, std::slice::from_ref(batch), false).expect("publish");
        assert_eq!(published.bytes_copied, 0, "{name}");
    }
    // What another process published can be published again by this one, under another name.
    let mut publisher = Peer::start("publish", &[&scratch.uri, "theirs", "3"]);
    publisher.hear();
    let theirs = open(&region, "theirs").expect("open").record_batches().expect("batches");
    assert_eq!(publish(&region, "ours", &theirs, false).expect("publish").bytes_copied, 0);
    publisher.kill();
    assert_sound(&region);
    region.remove("theirs").expect("remove");
    drop(theirs);
    assert_eq!(read_stamp(&region, "ours"), 3);

    // Each name goes on its own; the buffer stays while one has it, and while the process holds it.
    drop((one, two));
    for name in ["one", "two"] {
        region.remove(name).expect("remove");
        assert_sound(&region);
        let table = open(&region, "uno").expect("open");
        let batches = table.record_batches().expect("batches");
        let values = batches[0].column(1).as_any().downcast_ref::<Int64Array>().expect("ints").clone();
        assert_eq!(values.values().iter().sum::<i64>(), sum);
        assert_eq!(values.values().as_ptr(), column.values().as_ptr());
    }
    drop(column);
    region.remove("uno").expect("remove");
    region.remove("ours").expect("remove");
    assert_sound(&region);
    assert_eq!(region.stats().expect("stats").live_bytes, 0);
    drop(region);
    assert_empty(&scratch.open(""));
    Ok(())
}

pub(super) fn publisher_gone(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    drop(scratch.create(&small(4)));
    for killed in [true, false] {
        let mut publisher = Peer::start("publish", &[&scratch.uri, "t", "8"]);
        publisher.hear();
        if killed {
            publisher.kill();
        } else {
            publisher.say("leave");
            publisher.finish();
        }
        let region = scratch.open("");
        assert_sound(&region);
        assert_eq!(read_stamp(&region, "t"), 8);
        let stats = region.stats().expect("stats");
        assert_eq!((stats.live_bytes, stats.members), (stats.region_owned_bytes, 1));
        region.remove("t").expect("remove");
        assert_empty(&region);
    }
    Ok(())
}

/// More tables with one buffer than a reference byte counts.
pub(super) fn saturated(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create("size=8M&catalog=400&nodes=2&members=8&leases=112");
    let batch = RecordBatch::try_from_iter([("a", Arc::new(ints(&region, 0..1000)) as _)]).expect("a batch");
    let name = |i: u32| format!("table {i}");
    for i in 0..300 {
        publish(&region, &name(i), std::slice::from_ref(&batch), false).expect("publish");
    }
    assert_sound(&region);
    drop(batch);
    for i in 0..300 {
        let table = open(&region, &name(i)).expect("open").record_batches().expect("batches");
        assert_eq!(table[0].column(0).len(), 1000);
        drop(table);
        region.remove(&name(i)).expect("remove");
    }
    assert_sound(&region);
    assert_eq!(region.stats().expect("stats").live_bytes, 0);
    publish_stamp(&region, "again", 10, 1).expect("publish");
    region.remove("again").expect("remove");
    drop(region);
    assert_empty(&scratch.open(""));
    Ok(())
}
