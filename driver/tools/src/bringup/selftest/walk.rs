//! Step: are there two addresses of the same memory?
//!
//! A word at every power of two, each with a value of its own; they are brought home and read again, once in rising and
//! once in falling order of writing. Two addresses that are one show themselves: the one that was written first
//! holds the other's value. An address line that is open, tied, or not decoded makes such pairs.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::link::Link;
use super::memory::{Cells, LINE, WORD, mix, powers_of_two};
use super::report::{Step, Verdict};
use crate::failure::Done;

/// How many pairs are named.
const EXAMPLES: usize = 8;

/// What is wrong with addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    /// Pairs of offsets that are the same memory, the smaller first.
    aliases: BTreeSet<(u64, u64)>,
    /// Offsets that hold what nobody wrote.
    wrong: BTreeSet<u64>,
}

/// Writes and reads, by both ends in turn.
pub(super) fn run(link: &mut Link<'_>) -> Done<Step> {
    let mut step = Step::new("aliases");
    let offs = powers_of_two(&link.data());
    let mut details = Vec::new();
    for writer in 0..2 {
        link.grant(writer)?;
        let faults = if link.node == writer {
            walk(&*link.memory, &offs, mix(link.plan.seed, writer))
        } else {
            Faults::default()
        };
        let found = link.swap("the walk over addresses", &faults.json())?;
        let theirs = found[usize::from(writer == 1)].clone();
        for sentence in sentences(&theirs, writer) {
            step.add(Verdict::Fail, sentence);
        }
        details.push(theirs);
    }
    if step.lines.is_empty() {
        let text =
            format!("{} addresses that differ in one bit are different memory, for both ends", offs.len());
        step.add(Verdict::Pass, text);
    }
    step.details = json!({ "offsets": offs.len(), "node_0": details[0], "node_1": details[1] });
    Ok(step)
}

/// Finds addresses that are the same memory.
pub(super) fn walk(cells: &impl Cells, offs: &[u64], seed: u64) -> Faults {
    let mut faults = Faults::default();
    let rising: Vec<u64> = offs.to_vec();
    let falling: Vec<u64> = offs.iter().rev().copied().collect();
    for (turn, order) in (0_u64..).zip([rising, falling]) {
        let value = |off| mix(mix(seed, turn), off);
        for &off in &order {
            cells.store(off, value(off));
            cells.release(off..off + WORD);
        }
        // All lines are dropped before one is read, or a cache would answer for the memory.
        for &off in &order {
            cells.acquire(off / LINE * LINE..off / LINE * LINE + LINE);
        }
        for &off in &order {
            let found = cells.load(off);
            if found == value(off) {
                continue;
            }
            match order.iter().find(|other| value(**other) == found) {
                Some(&other) => faults.aliases.insert((off.min(other), off.max(other))),
                None => faults.wrong.insert(off),
            };
        }
    }
    faults
}

impl Faults {
    fn json(&self) -> Value {
        let hex = |off: &u64| format!("{off:#x}");
        let aliases: Vec<_> =
            self.aliases.iter().take(EXAMPLES).map(|(a, b)| json!([hex(a), hex(b)])).collect();
        let wrong: Vec<_> = self.wrong.iter().take(EXAMPLES).map(hex).collect();
        json!({ "aliases": aliases, "alias_count": self.aliases.len(), "wrong": wrong, "wrong_count": self.wrong.len() })
    }
}

fn sentences(faults: &Value, writer: u64) -> Vec<String> {
    let list = |name: &str| faults[name].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let pair = |pair: &Value| {
        format!("node {writer}: {} and {} are the same memory", text(&pair[0]), text(&pair[1]))
    };
    let wrong = |off: &Value| format!("node {writer}: {} holds what nobody wrote there", text(off));
    list("aliases").iter().map(pair).chain(list("wrong").iter().map(wrong)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fault::{Broken, Fault};
    use super::*;

    const LEN: u64 = 4 << 20;

    fn faults(fault: Fault) -> Faults {
        let offs = powers_of_two(&(64 << 10..LEN));
        walk(&Broken::new(LEN, fault), &offs, 7)
    }

    #[test]
    fn sound_memory_has_no_aliases() {
        assert_eq!(faults(Fault::None), Faults::default());
    }

    #[test]
    fn every_address_line_that_is_not_decoded_is_found_and_named() {
        for bit in 3..22 {
            let found = faults(Fault::AddressLine(bit));
            assert!(!found.aliases.is_empty() && found.wrong.is_empty(), "bit {bit}: {found:?}");
            assert!(
                found.aliases.iter().all(|(a, b)| a & !(1 << bit) == b & !(1 << bit)),
                "bit {bit}: {found:?}"
            );
        }
    }

    #[test]
    fn two_address_lines_that_are_tied_are_found() {
        let found = faults(Fault::AddressTied(12, 20));
        assert!(!found.aliases.is_empty(), "{found:?}");
    }

    #[test]
    fn a_data_bit_is_no_alias() {
        let found = faults(Fault::DataLow(5));
        assert!(found.aliases.is_empty() && !found.wrong.is_empty(), "{found:?}");
    }
}
