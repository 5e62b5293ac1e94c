//! A table of many record batches.

use crate::process::Peer;
use crate::table::{assert_empty, assert_sound, open, publish, stamp_of, stamped};
use crate::{Fixture, Outcome, Scratch};

const BATCHES: u64 = 20_000;

pub(super) fn many(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create("size=64M&catalog=8&nodes=2&members=8&leases=112");
    let count = fixture.scaled(BATCHES);
    let mut copier = csm::arrow::BatchCopier::new(&region);
    let batches: Vec<_> = (0..count).map(|_| copier.copy_in(&stamped(3, 17)).expect("copy in")).collect();
    let published = publish(&region, "t", &batches, false).expect("publish");
    assert_eq!((published.rows, published.batches, published.bytes_copied), (3 * count, count, 0));
    drop((copier, batches));
    assert_sound(&region);
    let mut reader = Peer::start("lease", &[&scratch.uri, "t"]);
    reader.await_line("17");
    reader.say("leave");
    reader.finish();
    let table = open(&region, "t").expect("open");
    let n_batches = usize::try_from(count).expect("small");
    assert_eq!((table.batches(), table.rows()), (n_batches, 3 * count));
    let streamed: Vec<_> = table.reader().expect("reader").collect::<Result<_, _>>().expect("batches");
    assert_eq!((streamed.len(), stamp_of(&streamed)), (n_batches, Ok(17)));
    assert!(table.batch(n_batches).is_err());
    drop((streamed, table));
    region.remove("t").expect("remove");
    drop(region);
    assert_empty(&scratch.open(""));
    Ok(())
}
