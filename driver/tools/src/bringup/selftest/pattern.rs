//! Step: does all of the window keep what is written to it, as the writer and as the other end read it?
//!
//! Known answers over the whole window, by one end and then by the other: all zeroes, all ones, alternating bits, the
//! address itself, and bits drawn from the seed. Both ends read everything back from home.

use std::ops::Range;

use csm::units::format_size;
use serde_json::{Value, json};

use super::link::{CHUNK_BYTES, Link};
use super::memory::{Cells, mix, words};
use super::report::{Step, Verdict};
use crate::failure::Done;

/// What a quick test looks at of a large window, in bytes.
const SAMPLE_BYTES: u64 = 64 << 20;

/// What a word holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Same(u64),
    /// Its own offset, in both halves, so that it is known whose word was found.
    Address,
    Random,
}

impl Pattern {
    const ALL: [Self; 6] = [
        Self::Same(0),
        Self::Same(u64::MAX),
        Self::Same(0x5555_5555_5555_5555),
        Self::Same(0xaaaa_aaaa_aaaa_aaaa),
        Self::Address,
        Self::Random,
    ];

    fn name(self) -> String {
        match self {
            Self::Same(word) => format!("{word:#018x}"),
            Self::Address => "address".to_owned(),
            Self::Random => "random".to_owned(),
        }
    }

    fn word(self, seed: u64, off: u64) -> u64 {
        match self {
            Self::Same(word) => word,
            Self::Address => off ^ off << 32,
            Self::Random => mix(seed, off),
        }
    }

    /// Stores it, and starts on its way home.
    pub(super) fn fill(self, cells: &impl Cells, range: Range<u64>, seed: u64) {
        for off in words(range.clone()) {
            cells.store(off, self.word(seed, off));
        }
        cells.release(range);
    }

    /// Compares what is at home.
    pub(super) fn check(self, cells: &impl Cells, range: Range<u64>, seed: u64, tally: &mut Tally) {
        cells.acquire(range.clone());
        for off in words(range) {
            let (expected, found) = (self.word(seed, off), cells.load(off));
            tally.count(off, expected, found);
        }
    }
}

/// The words that were not as they should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    words: u64,
    wrong: u64,
    /// The first one: offset, expected, found.
    first: Option<(u64, u64, u64)>,
    /// Bits that were 0 and should be 1, and the other way round, of any word.
    low: u64,
    high: u64,
}

impl Tally {
    fn count(&mut self, off: u64, expected: u64, found: u64) {
        self.words += 1;
        if expected != found {
            self.wrong += 1;
            self.first.get_or_insert((off, expected, found));
            self.low |= expected & !found;
            self.high |= found & !expected;
        }
    }

    fn json(&self) -> Value {
        let first = self.first.map(|(off, expected, found)| {
            json!({
                "off": format!("{off:#x}"),
                "expected": format!("{expected:#018x}"),
                "found": format!("{found:#018x}"),
                "differing_bits": format!("{:#018x}", expected ^ found),
            })
        });
        json!({
            "words": self.words,
            "wrong": self.wrong,
            "first": first,
            "bits_read_as_0": format!("{:#018x}", self.low),
            "bits_read_as_1": format!("{:#018x}", self.high),
        })
    }
}

/// Writes and reads everything.
pub(super) fn run(link: &mut Link<'_>) -> Done<Step> {
    let mut step = Step::new("patterns");
    let patterns = if link.plan.quick { &Pattern::ALL[4..] } else { &Pattern::ALL[..] };
    let data = link.data();
    let chunks = (data.end - data.start).div_ceil(CHUNK_BYTES);
    let every = if link.plan.quick { (chunks * CHUNK_BYTES).div_ceil(SAMPLE_BYTES) } else { 1 };
    let mut details = Vec::new();
    let (mut looked_at, mut wrong) = (0, 0);
    for writer in 0..2 {
        link.grant(writer)?;
        for (number, pattern) in (0..).zip(patterns) {
            let seed = mix(link.plan.seed, writer << 32 | number);
            let what = |doing: &str| format!("{} {doing} by node {writer}", pattern.name());
            if link.node == writer {
                link.chunks(&what("written"), data.clone(), every, |memory, chunk| {
                    pattern.fill(memory, chunk, seed);
                })?;
            }
            link.exchange("the pattern to be written", [0; 4])?;
            let mut tally = Tally::default();
            link.chunks(&what("read, written"), data.clone(), every, |memory, chunk| {
                pattern.check(memory, chunk, seed, &mut tally);
            })?;
            let found = link.swap("what the other end read", &tally.json())?;
            for (reader, tally) in (0_u64..).zip(&found) {
                looked_at = tally["words"].as_u64().unwrap_or(0) * 8;
                wrong += tally["wrong"].as_u64().unwrap_or(0);
                if let Some(line) = sentence(&pattern.name(), writer, reader, tally) {
                    step.add(Verdict::Fail, line);
                }
                details.push(json!({
                    "pattern": pattern.name(),
                    "writer": writer,
                    "reader": reader,
                    "found": tally,
                }));
            }
        }
    }
    if wrong == 0 {
        let all = data.end - data.start;
        let part = if looked_at == all {
            format_size(all)
        } else {
            format!("a sample of {} of {}", format_size(looked_at), format_size(all))
        };
        let text = format!("{} patterns over {part}, each written and read by both ends", patterns.len());
        step.add(Verdict::Pass, text);
    }
    step.details = json!({ "bytes": looked_at, "seed": link.plan.seed, "runs": details });
    Ok(step)
}

fn sentence(pattern: &str, writer: u64, reader: u64, tally: &Value) -> Option<String> {
    let wrong = tally["wrong"].as_u64().filter(|wrong| *wrong > 0)?;
    let first = |name: &str| tally["first"][name].as_str().unwrap_or_default().to_owned();
    let by = if writer == reader { "itself".to_owned() } else { format!("node {reader}") };
    Some(format!(
        "{pattern}, written by node {writer}, read by {by}: {wrong} of {} words wrong; first at {}: expected {}, found {}, differing bits {}",
        tally["words"],
        first("off"),
        first("expected"),
        first("found"),
        first("differing_bits"),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::fault::{Broken, Fault};
    use super::*;

    const LEN: u64 = 256 << 10;

    fn tally(pattern: Pattern, fault: Fault) -> Tally {
        let (cells, mut tally) = (Broken::new(LEN, fault), Tally::default());
        pattern.fill(&cells, 0..LEN, 3);
        pattern.check(&cells, 0..LEN, 3, &mut tally);
        tally
    }

    #[test]
    fn sound_memory_keeps_every_pattern() {
        for pattern in Pattern::ALL {
            let tally = tally(pattern, Fault::None);
            assert_eq!((tally.words, tally.wrong), (LEN / 8, 0), "{pattern:?}");
        }
    }

    #[test]
    fn a_bit_that_reads_as_0_is_named_with_the_first_address() {
        let tally = tally(Pattern::Same(u64::MAX), Fault::DataLow(9));
        assert_eq!(tally.first, Some((64 << 10, u64::MAX, !(1 << 9))));
        assert_eq!((tally.wrong, tally.low, tally.high), (LEN / 8 / 2, 1 << 9, 0));
    }

    #[test]
    fn an_address_that_is_not_decoded_shows_in_addresses_and_random_bits() {
        assert_eq!(tally(Pattern::Same(u64::MAX), Fault::AddressLine(14)).wrong, 0);
        for pattern in [Pattern::Address, Pattern::Random] {
            assert!(tally(pattern, Fault::AddressLine(14)).wrong > 0, "{pattern:?}");
        }
        let (off, expected, found) = tally(Pattern::Address, Fault::AddressLine(14)).first.expect("wrong");
        assert_eq!((off, expected ^ found), (0, 1 << 14 | 1 << 46));
    }
}
