//! What the processes do: authors publish, replace and remove, readers open, hold and look.

use csm::arrow::BatchCopier;
use csm::{Context, ErrorKind, Region, Table};

use arrow_array::RecordBatch;

use super::history::{Seen, now, read_line, write_begins, write_ends};
use crate::process::Inside;
use crate::random::Random;
use crate::table::{open, publish, stamped};

/// The names there are.
pub(super) const NAMES: [&str; 3] = ["a", "b", "c"];
/// The most tables a reader holds.
const HELD: usize = 4;

/// The table of a stamp: everything about it follows from that.
fn batches_of(stamp: i64) -> Vec<RecordBatch> {
    let rows = 1 + stamp % 97;
    match stamp % 4 {
        0 => vec![stamped(rows, stamp)],
        1 => (0..3).map(|batch| stamped(rows + batch, stamp)).collect(),
        2 => vec![stamped(rows + 9, stamp).slice(5, usize::try_from(rows).expect("small"))],
        _ => vec![stamped(3 * rows, stamp).project(&[0, 2]).expect("two columns")],
    }
}

/// The stamp of an open table, all of whose values are as they were published.
pub(super) fn stamp_of(table: &Table) -> i64 {
    let batches = table.record_batches().unwrap_or_else(|e| panic!("{}: {e}", table.name()));
    let stamps = batches[0].column(0).as_any().downcast_ref::<arrow_array::Int64Array>().expect("stamps");
    let stamp = stamps.value(0);
    assert!(
        stamp > 0 && batches == batches_of(stamp),
        "{table:?} of stamp {stamp} is not what was published"
    );
    stamp
}

/// Somebody who publishes.
pub(super) struct Author {
    names: Vec<(String, bool)>,
    random: Random,
    last: i64,
}

impl Author {
    /// The author with that number, of names that nobody else publishes.
    pub(super) fn new(number: i64, names: &[&str], seed: u64) -> Self {
        let names = names.iter().map(|name| ((*name).to_owned(), false)).collect();
        Self { names, random: Random(seed), last: 1_000_000 * number }
    }

    /// Takes names over that may be published.
    pub(super) fn inherit(&mut self, names: &[String]) {
        self.names.extend(names.iter().map(|name| (name.clone(), true)));
    }

    /// Publishes, replaces or removes something, and tells.
    pub(super) fn act(&mut self, region: &Region, tell: &mut dyn FnMut(&str)) {
        if self.names.is_empty() {
            return;
        }
        let at = self.random.index(self.names.len());
        let (name, there) = &mut self.names[at];
        let removes = *there && self.random.below(5) == 0;
        let made: Seen = (!removes).then(|| {
            self.last += 1 + i64::from(self.random.below(50) == 0);
            self.last
        });
        tell(&write_begins(name, made));
        let done = match made {
            None => region.remove(name).map(drop),
            Some(stamp) => {
                let batches = batches_of(stamp);
                let copied = if self.random.below(2) == 0 {
                    let mut copier = BatchCopier::new(region);
                    batches.iter().map(|batch| copier.copy_in(batch)).collect()
                } else {
                    Ok(batches)
                };
                copied.and_then(|batches| publish(region, name, &batches, true)).map(drop)
            }
        };
        match done {
            Ok(()) => {
                *there = !removes;
                tell(&write_ends(true));
            }
            // Inherited, and not there.
            Err(e) if e.kind() == ErrorKind::NameNotFound && removes => {
                *there = false;
                tell(&write_ends(false));
            }
            Err(e) if e.kind() == ErrorKind::RegionFull => tell(&write_ends(false)),
            Err(e) => panic!("{name}: {e}"),
        }
    }
}

/// A table that a reader holds: under its name, of that stamp.
struct Held(Table, i64);

impl Held {
    /// It is what it was when it was opened, whatever happened since.
    fn look(&self) {
        assert_eq!(stamp_of(&self.0), self.1);
        self.0.check().unwrap_or_else(|e| panic!("{}: {e}", self.0.name()));
    }
}

fn read(inside: &Inside, uri: &str, random: &mut Random, count: u64) {
    let context = Context::new().expect("context");
    let mut region = context.open(uri).expect("open");
    let mut held: Vec<Held> = Vec::new();
    inside.say("ready");
    for _ in 0..count {
        let name = NAMES[random.index(NAMES.len())];
        let begin = now();
        let seen = match open(&region, name) {
            Ok(table) => {
                // The end is before the reading: what is read has to be of the table that was opened.
                let end = now();
                let stamp = stamp_of(&table);
                inside.say(format_args!("read {name} {stamp} {begin} {end}"));
                held.push(Held(table, stamp));
                None
            }
            Err(e) if e.kind() == ErrorKind::NameNotFound => Some(read_line(name, None, begin)),
            Err(e) => panic!("{name}: {e}"),
        };
        if let Some(line) = seen {
            inside.say(line);
        }
        match random.below(12) {
            0..4 => drop(held.pop()),
            4..6 => held.iter().for_each(Held::look),
            6 => held.clear(),
            7 => {
                region.stats().and_then(|_| region.leases()).and_then(|_| region.nodes()).expect("numbers");
                region.tables().expect("tables");
            }
            8 => {
                // Leave, and come back.
                held.clear();
                drop(region);
                region = context.open(uri).expect("open");
            }
            _ => {}
        }
        if held.len() > HELD {
            held.remove(random.index(HELD)).look();
        }
    }
    held.iter().for_each(Held::look);
}

/// Plays one part after the other: "read URI SEED COUNT", or "write URI SEED COUNT NAME...".
pub(super) fn role(inside: &mut Inside) {
    loop {
        let line = inside.hear();
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().expect("a number");
        let (uri, mut random, count) = (words[1], Random(number(2)), number(3));
        match words[0] {
            "read" => read(inside, uri, &mut random, count),
            _ => {
                let region = Context::new().expect("context").open(uri).expect("open");
                inside.say("ready");
                let mut author = Author::new(1, &words[4..], random.number());
                (0..count).for_each(|_| author.act(&region, &mut |line| inside.say(line)));
            }
        }
        inside.say("done");
    }
}
