//! Many names.

use std::sync::Arc;

use arrow_array::{Array, Int64Array, RecordBatch};
use csm::{ErrorKind, Region};

use crate::random::Random;
use crate::table::{assert_empty, assert_sound, open, publish};
use crate::{Fixture, Outcome, Scratch};

/// And a fifth as many changes.
const NAMES: u64 = 100_000;

fn name(i: i64) -> String {
    format!("a table with number {i}")
}

fn put(region: &Region, i: i64, value: i64) -> csm::Result<()> {
    let column = Int64Array::from(vec![value]);
    let batch = RecordBatch::try_from_iter([("n", Arc::new(column) as _)]).expect("a batch");
    publish(region, &name(i), &[batch], true).map(drop)
}

fn get(region: &Region, i: i64) -> csm::Result<i64> {
    let batches = open(region, &name(i))?.record_batches()?;
    Ok(batches[0].column(0).as_any().downcast_ref::<Int64Array>().expect("ints").value(0))
}

pub(super) fn many(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let count = fixture.scaled(NAMES);
    let mib = 2 * (3 + count / 2200);
    let region = scratch.create(&format!("size={mib}M&catalog={count}&nodes=2&members=8&leases=112"));
    let names = count.cast_signed();
    for i in 0..names {
        put(&region, i, i).unwrap_or_else(|e| panic!("name {i}: {e}"));
    }
    assert_eq!(put(&region, names, 0).expect_err("full").kind(), ErrorKind::CatalogFull);
    assert_eq!(region.stats().expect("stats").tables, count);
    // Removed names are stepped over, used again for others, and never mistaken.
    let mut random = Random(1);
    let mut there = vec![Some(()); usize::try_from(count).expect("small")];
    for _ in 0..count / 5 {
        let i = random.index(there.len());
        let at = i64::try_from(i).expect("small");
        match there[i].take() {
            Some(()) => {
                assert_eq!(get(&region, at).expect("published"), at);
                region.remove(&name(at)).expect("remove");
            }
            None => {
                assert_eq!(get(&region, at).expect_err("removed").kind(), ErrorKind::NameNotFound);
                put(&region, at, at).expect("room");
                there[i] = Some(());
            }
        }
    }
    let left = there.iter().flatten().count();
    assert_eq!(region.stats().expect("stats").tables, left as u64);
    let listed = region.tables().expect("tables");
    assert_eq!(listed.len(), left);
    assert!(listed.is_sorted_by(|a, b| a.name < b.name), "each once and in order");
    assert_sound(&region);
    for table in listed {
        region.remove(&table.name).expect("remove");
    }
    drop(region);
    assert_empty(&scratch.open(""));
    Ok(())
}
