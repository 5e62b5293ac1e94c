//! How the ends find each other, or find out why they do not.
//!
//! Node 0 writes a greeting at the window's first byte, and beacons at powers of two: lines that say where they are.
//! Node 1 looks for the greeting and, where there is none, for a beacon: one that is elsewhere than it says tells how far
//! the two windows are apart. Greetings name each other's random numbers, so that what an earlier test left behind
//! is not taken for somebody. Both ends then know that offset 0 is the same memory, and call the run by one number.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use csm::units::format_size;
use csm::{Error, ErrorKind};

use super::link::{Link, Plan};
use super::mailbox::{AREA_BYTES, GREETING_OFF, RECORD_WORDS, area, read, read_loaded, sealed, write};
use super::memory::{Cells, LINE, Memory, powers_of_two, words};
use crate::failure::{Done, Failure};

/// The first words of a greeting and of a beacon, with the version of what the ends say to each other.
const GREETING: u64 = u64::from_le_bytes(*b"csmself\x01");
const BEACON: u64 = u64::from_le_bytes(*b"csmbeac\x01");
/// How much is searched for beacons between two looks for the greeting, in bytes.
const SEARCH_BYTES: u64 = 1 << 20;

/// What an end says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Greeting {
    /// A number that nobody had before.
    number: u64,
    /// The other end's number, once it is known.
    answers: u64,
    len_bytes: u64,
    seed: u64,
    quick: bool,
}

impl Greeting {
    fn record(self) -> [u64; RECORD_WORDS] {
        sealed([GREETING, self.number, self.answers, self.len_bytes, self.seed, self.quick.into(), 0, 0])
    }

    fn of(record: [u64; RECORD_WORDS]) -> Option<Self> {
        let [magic, number, answers, len_bytes, seed, quick, ..] = record;
        (magic == GREETING).then_some(Self { number, answers, len_bytes, seed, quick: quick != 0 })
    }

    fn read(memory: &Memory, node: u64) -> Option<Self> {
        Self::of(read(memory, area(node) + GREETING_OFF)?)
    }
}

/// Whether nothing is lost by a test: the window's first page is zeroes, as after a region, or what an earlier test left.
pub(super) fn is_vacant(memory: &Memory) -> bool {
    let first = 0..memory.0.page_bytes().min(AREA_BYTES);
    memory.acquire(first.clone());
    read_loaded(memory, GREETING_OFF).and_then(Greeting::of).is_some()
        || words(first).all(|off| memory.load(off) == 0)
}

/// Makes zeroes of what a region's creation looks at, to see whether somebody needs what is there.
pub(super) fn wipe_first_page(memory: &Memory) {
    let first = 0..memory.0.page_bytes().min(memory.0.len_bytes());
    words(first.clone()).for_each(|off| memory.store(off, 0));
    memory.release(first);
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish() | 1
}

impl Link<'_> {
    /// Returns when both ends know of each other.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] without the other end, a finding when this is not the same memory.
    pub(super) fn meet(&mut self) -> Done {
        let Plan { seed, quick } = self.plan;
        let mine = Greeting { number: random(), answers: 0, len_bytes: self.len_bytes(), seed, quick };
        let theirs = if self.node == 0 { self.invite(mine)? } else { self.answer(mine)? };
        self.plan = if self.node == 0 { self.plan } else { Plan { seed: theirs.seed, quick: theirs.quick } };
        self.id = mine.number ^ theirs.number;
        self.exchange("the other end to begin", [0; 4])?;
        if theirs.len_bytes != mine.len_bytes {
            let (mine, theirs) = (format_size(mine.len_bytes), format_size(theirs.len_bytes));
            let text = format!(
                "the window has {mine} on node {} and {theirs} on node {}; give both ends the same size=",
                self.node,
                self.other()
            );
            return Err(Error::new(ErrorKind::OptionMismatch, text).into());
        }
        Ok(())
    }

    fn greet(&self, greeting: Greeting) {
        write(&self.memory, area(self.node) + GREETING_OFF, greeting.record());
    }

    fn invite(&mut self, mine: Greeting) -> Done<Greeting> {
        self.wipe(0..AREA_BYTES);
        self.beacons = powers_of_two(&self.data()).iter().map(|off| off / LINE * LINE).collect();
        self.beacons.dedup();
        for &off in &self.beacons {
            write(&self.memory, off, sealed([BEACON, mine.number, off, 0, 0, 0, 0, 0]));
        }
        self.greet(mine);
        let theirs = self.poll("node 1's greeting", |memory| {
            Ok(Greeting::read(memory, 1).filter(|theirs| theirs.answers == mine.number))
        })?;
        self.clear_beacons();
        self.greet(Greeting { answers: theirs.number, ..mine });
        Ok(theirs)
    }

    /// Takes the beacons away: what is found later is another test's.
    pub(super) fn clear_beacons(&mut self) {
        for off in std::mem::take(&mut self.beacons) {
            self.wipe(off..off + LINE);
        }
    }

    fn answer(&mut self, mine: Greeting) -> Done<Greeting> {
        let (node, len_bytes) = (self.node, self.len_bytes());
        let (mut greeted, mut stray, mut searched) = (None, None, 0);
        let met = self.poll("node 0's greeting", |memory| {
            let Some(theirs) = Greeting::read(memory, 0) else {
                let end = (searched + SEARCH_BYTES).min(len_bytes);
                stray = stray.or_else(|| beacon(memory, searched, end));
                searched = if end == len_bytes { 0 } else { end };
                return Ok(None);
            };
            if greeted.is_none() {
                wipe_own(memory, node);
            }
            // A greeting of an earlier test is answered as well, and nobody is there to go on.
            if greeted != Some(theirs.number) {
                greeted = Some(theirs.number);
                write(
                    memory,
                    area(node) + GREETING_OFF,
                    Greeting { answers: theirs.number, ..mine }.record(),
                );
            }
            Ok((theirs.answers == mine.number).then_some(theirs))
        });
        met.map_err(|failure| match (stray, greeted) {
            (Some((here, there)), None) => Failure::finding(shifted(here, there)),
            (None, Some(_)) if failure.exit() == crate::failure::Exit::TimedOut => {
                let text = "timed out: node 0 left a greeting in this window and does not go on: it has ended, or does not see what \
                            node 1 writes; start it first, with --node 0, and look at its message";
                Error::new(ErrorKind::TimedOut, text).into()
            }
            _ => failure,
        })
    }
}

fn wipe_own(memory: &Memory, node: u64) {
    let own = area(node)..area(node) + AREA_BYTES;
    for off in words(own.clone()) {
        memory.store(off, 0);
    }
    memory.release(own);
}

/// Where a beacon is that is not where it says it is: the two offsets.
fn beacon(memory: &Memory, start: u64, end: u64) -> Option<(u64, u64)> {
    memory.acquire(start..end);
    (start..end).step_by(128).find_map(|off| {
        if memory.load(off) != BEACON {
            return None;
        }
        let there = read_loaded(memory, off)?[2];
        (there != off).then_some((off, there))
    })
}

fn shifted(here: u64, there: u64) -> String {
    let (by, way) = if here > there { (here - there, "before") } else { (there - here, "behind") };
    format!(
        "the two ends see the same memory shifted by {by:#x} bytes ({}): what node 0 wrote at offset {there:#x} is at {here:#x} on node 1, \
         so that node 1's window begins {way} node 0's; compare off=, ea= and the device's base on both ends",
        format_size(by)
    )
}
