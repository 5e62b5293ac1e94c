//! What coherence costs: every line once, no line without need, and nothing at all where hardware does it.
//!
//! The numbers are worked out from what the protocols move. A region's line of 128 bytes is one or two of those
//! that are counted.

use arrow_array::{Array, RecordBatch};
use csm::{CoherenceReport, CoherenceStats, Published, Region};

use super::reader::{Reader, two_nodes};
use crate::fixture::small;
use crate::table::{open, publish, stamped};
use crate::{Fixture, Outcome, Scratch};

/// What this process does for coherence during `work`: the middle of three times, as a sign of life that falls
/// into one of them is counted too.
fn cost(region: &Region, mut work: impl FnMut()) -> CoherenceStats {
    let stats = || region.stats().expect("stats").coherence;
    let costs = [(); 3].map(|()| {
        let before = stats();
        work();
        let (after, again) = (stats(), stats());
        // Asking has its own cost: what it takes twice in a row.
        let net = |of: fn(&CoherenceStats) -> u64| of(&after) + of(&after) - of(&again) - of(&before);
        CoherenceStats {
            lines_written_back: net(|stats| stats.lines_written_back),
            lines_invalidated: net(|stats| stats.lines_invalidated),
            fences: net(|stats| stats.fences),
            retries: net(|stats| stats.retries),
            bytes_copied: net(|stats| stats.bytes_copied),
        }
    });
    let middle = |of: fn(&CoherenceStats) -> u64| {
        let mut three = costs.map(|cost| of(&cost));
        three.sort_unstable();
        three[1]
    };
    CoherenceStats {
        lines_written_back: middle(|stats| stats.lines_written_back),
        lines_invalidated: middle(|stats| stats.lines_invalidated),
        fences: middle(|stats| stats.fences),
        retries: middle(|stats| stats.retries),
        bytes_copied: middle(|stats| stats.bytes_copied),
    }
}

/// Works out costs: on lines of this length, for who has to do so much.
struct Expected {
    line_bytes: u64,
    cost: CoherenceStats,
    writes_back: bool,
    invalidates: bool,
}

impl Expected {
    fn new(fixture: &dyn Fixture, writes_back: bool, invalidates: bool) -> Self {
        let cost = CoherenceStats::default();
        Self { line_bytes: fixture.line_bytes(), cost, writes_back, invalidates }
    }

    fn owner(fixture: &dyn Fixture, report: &CoherenceReport) -> Self {
        Self::new(fixture, report.writer_writes_back.owner, report.reader_invalidates.owner)
    }

    fn borrower(fixture: &dyn Fixture, report: &CoherenceReport) -> Self {
        Self::new(fixture, report.writer_writes_back.borrower, report.reader_invalidates.borrower)
    }

    /// Ranges that begin with a line go home, and a fence where they have to be there.
    fn home(mut self, ranges: &[u64], fences: u64) -> Self {
        if self.writes_back {
            self.cost.lines_written_back +=
                ranges.iter().map(|len| len.div_ceil(self.line_bytes)).sum::<u64>();
            self.cost.fences += fences;
        }
        self
    }

    /// Ranges that begin with a line are dropped, with a fence behind.
    fn dropped(mut self, ranges: &[u64]) -> Self {
        if self.invalidates {
            self.cost.lines_invalidated +=
                ranges.iter().map(|len| len.div_ceil(self.line_bytes)).sum::<u64>();
            self.cost.fences += 1;
        }
        self
    }

    /// A fence that coherent memory needs too.
    fn fence(mut self) -> Self {
        self.cost.fences += 1;
        self
    }

    fn copied(mut self, ranges: &[u64]) -> Self {
        self.cost.bytes_copied += ranges.iter().sum::<u64>();
        self
    }
}

/// Bytes of a region's line, of a catalog entry, and of a lease block.
const LINE: u64 = 128;
const ENTRY: u64 = 64;
const BLOCK: u64 = 1024;

/// The lengths of the buffers of a batch.
fn lengths(batch: &RecordBatch) -> Vec<u64> {
    let columns = batch.columns().iter().map(|column| column.to_data());
    columns
        .flat_map(|data| data.buffers().iter().map(|buffer| buffer.len() as u64).collect::<Vec<_>>())
        .collect()
}

/// What `owner` does to replace a table by one of `buffers`: its bytes and descriptor home; the commit word and the
/// news home, before any lease is looked at; then what the other node says of itself, and its `blocks` of leases; and
/// the news again, as the memory of the old table returned.
fn replacing(
    fixture: &dyn Fixture,
    owner: &Region,
    buffers: &[u64],
    descriptor: u64,
    blocks: u64,
) -> Expected {
    let report = owner.info().expect("info").coherence;
    let expected = Expected::owner(fixture, &report).home(buffers, 0).home(&[descriptor], 1);
    let expected = expected.home(&[ENTRY, LINE], 0).fence();
    let expected = expected.dropped(&[LINE]);
    let expected = if blocks == 0 { expected } else { expected.dropped(&[blocks * BLOCK]) };
    expected.home(&[LINE], 1)
}

pub(super) fn writer(fixture: &dyn Fixture) -> Outcome {
    two_nodes(fixture)?;
    let scratch = Scratch::new(fixture);
    let owner = scratch.create(&small(4));
    let batch = owner.copy_in(&stamped(1000, 5)).expect("copy in");
    let buffers = lengths(&batch);
    assert!(buffers.iter().sum::<u64>() > 16_000 && buffers.len() == 4, "{buffers:?}");
    let replace = |batch: &RecordBatch| -> Published {
        publish(&owner, "t", std::slice::from_ref(batch), true).expect("publish")
    };
    let descriptor = replace(&batch).descriptor_bytes;

    // In place: the lines of the bytes used, once.
    let in_place = cost(&owner, || {
        replace(&batch);
    });
    assert_eq!(in_place, replacing(fixture, &owner, &buffers, descriptor, 0).cost, "in place");
    // Copied in: the same lines, as they are copied.
    let outside = stamped(1000, 5);
    let copied = cost(&owner, || {
        replace(&outside);
    });
    let expected = replacing(fixture, &owner, &buffers, descriptor, 0).copied(&buffers);
    assert_eq!(copied, expected.cost, "copied in");
    // One column three times, and a slice of it, is one column.
    let column = batch.column(0);
    let one = RecordBatch::try_from_iter([("a", column.clone())]).expect("a batch");
    let many = ["a", "b", "c"].map(|name| (name, column.clone()));
    let many = RecordBatch::try_from_iter(many.into_iter().chain([("d", column.clone())])).expect("a batch");
    for batch in [one, many] {
        let descriptor = replace(&batch).descriptor_bytes;
        let shared = cost(&owner, || {
            replace(&batch);
        });
        assert_eq!(shared, replacing(fixture, &owner, &[8000], descriptor, 0).cost, "shared");
    }

    // However many read it, the writer does nothing.
    replace(&batch);
    let mut readers = [0, 1].map(|_| Reader::start(&scratch.with("node=1")));
    for reader in &mut readers {
        let read = cost(&owner, || {
            for what in ["open t", "read", "check", "drop"] {
                reader.ask(what);
            }
        });
        assert_eq!(read, CoherenceStats::default(), "a reader costs the writer nothing");
    }
    // But to replace it is to look at their leases.
    let beside = cost(&owner, || {
        replace(&batch);
    });
    assert_eq!(beside, replacing(fixture, &owner, &buffers, descriptor, 2).cost, "with two readers");
    readers.into_iter().for_each(Reader::leave);
    Ok(())
}

pub(super) fn reader(fixture: &dyn Fixture) -> Outcome {
    two_nodes(fixture)?;
    let scratch = Scratch::new(fixture);
    let owner = scratch.create(&small(4));
    let outside = [stamped(1000, 5), stamped(300, 5)];
    let descriptor = publish(&owner, "t", &outside, false).expect("publish").descriptor_bytes;
    let report = owner.info().expect("info").coherence;
    drop(owner);
    let borrower = scratch.open("node=1");
    drop(open(&borrower, "t").expect("its lease block is its own from here on"));

    // Looked up; leased; looked at again, together with the mark of a fence; the descriptor. And given back.
    let opening = || {
        let expected = Expected::borrower(fixture, &report).dropped(&[ENTRY]);
        let expected = expected.home(&[16], 0).fence().dropped(&[ENTRY, LINE]).dropped(&[descriptor]);
        expected.home(&[16], 1).dropped(&[ENTRY])
    };
    let opened = cost(&borrower, || drop(open(&borrower, "t").expect("open")));
    assert_eq!(opened, opening().cost, "what is not read does not arrive");
    let [first, second] = outside.map(|batch| lengths(&batch));
    let one = cost(&borrower, || drop(open(&borrower, "t").expect("open").batch(1).expect("batch")));
    assert_eq!(one, opening().dropped(&second).cost, "the second of two batches");
    let both = cost(&borrower, || {
        let table = open(&borrower, "t").expect("open");
        for _ in 0..3 {
            table.record_batches().expect("batches");
        }
    });
    assert_eq!(both, opening().dropped(&first).dropped(&second).cost, "each batch once");
    let column = cost(&borrower, || {
        let table = open(&borrower, "t").expect("open").select(&[1]).expect("a column");
        table.record_batches().expect("batches");
    });
    assert_eq!(column, opening().dropped(&first[1..2]).dropped(&second[1..2]).cost, "one column of three");
    let checked = cost(&borrower, || open(&borrower, "t").expect("open").check().expect("leased"));
    assert_eq!(checked, opening().fence().dropped(&[LINE]).cost, "a check");
    Ok(())
}
