//! Step: is it the same memory on both ends?
//!
//! Each end in turn writes words that only it knows to every power of two, to the middle of what lies between, and to the
//! ends of the window; the other end looks for them at the same offsets. What is not there is searched for in all of the window: a piece
//! of it may be mapped from elsewhere though the beginning is right (memory blocks in another order, a section's offset).

use std::collections::HashMap;

use serde_json::{Value, json};

use super::link::Link;
use super::memory::{Cells, WORD, mix, powers_of_two, words};
use super::report::{Step, Verdict};
use crate::failure::Done;

/// How many words that are elsewhere are told of.
const EXAMPLES: usize = 4;

/// Looks at each end's words from the other end.
pub(super) fn run(link: &mut Link<'_>) -> Done<Step> {
    let mut step = Step::new("same-memory");
    let spots = spots(link);
    let mut missing = Vec::new();
    for writer in 0..2 {
        link.grant(writer)?;
        let found = look(link, writer, &spots)?;
        let [zero, one] = link.swap("what the other end found of this one's words", &found)?;
        missing.push(if writer == 0 { one } else { zero });
    }
    let count = spots.len();
    for (writer, missing) in missing.iter().enumerate() {
        for example in missing["examples"].as_array().into_iter().flatten() {
            let off = example["off"].as_str().unwrap_or_default();
            let line = match example["found_at"].as_str() {
                Some(found) => format!(
                    "what node {writer} wrote at {off} is at {found} on node {}: a part of the window is mapped from elsewhere",
                    1 - writer
                ),
                None => format!(
                    "what node {writer} wrote at {off} is nowhere in node {}'s window: another memory is behind it there",
                    1 - writer
                ),
            };
            step.add(Verdict::Fail, line);
        }
    }
    if step.lines.is_empty() {
        step.add(Verdict::Pass, format!("both ends find each other's words at all {count} offsets tried"));
    }
    step.details = json!({
        "offsets": count,
        "not_found_by_node_1": missing[0],
        "not_found_by_node_0": missing[1],
    });
    Ok(step)
}

fn spots(link: &Link<'_>) -> Vec<u64> {
    let powers = powers_of_two(&link.data());
    let between = powers.windows(2).map(|pair| (pair[0] + (pair[1] - pair[0]) / 2) / WORD * WORD);
    let mut spots: Vec<u64> = between.chain(powers.iter().copied()).collect();
    spots.sort_unstable();
    spots.dedup();
    spots
}

fn look(link: &mut Link<'_>, writer: u64, spots: &[u64]) -> Done<Value> {
    // Another number for each end and each run: what is found is from this moment.
    let salt = mix(link.id, writer);
    if link.node == writer {
        for &off in spots {
            link.memory.store(off, mix(salt, off));
            link.memory.release(off..off + WORD);
        }
        link.exchange("the other end's words", [0; 4])?;
        return Ok(Value::Null);
    }
    link.exchange("the other end's words", [0; 4])?;
    let missing: Vec<u64> = spots
        .iter()
        .copied()
        .filter(|&off| {
            link.memory.acquire(off..off + WORD);
            link.memory.load(off) != mix(salt, off)
        })
        .collect();
    let elsewhere = if missing.is_empty() { HashMap::new() } else { search(link, salt, &missing)? };
    let example = |off: &u64| json!({ "off": format!("{off:#x}"), "found_at": elsewhere.get(off).map(|at| format!("{at:#x}")) });
    let examples: Vec<Value> = missing.iter().take(EXAMPLES).map(example).collect();
    Ok(json!({ "count": missing.len(), "examples": examples }))
}

/// Where in the window the words are that belong to these offsets.
fn search(link: &mut Link<'_>, salt: u64, missing: &[u64]) -> Done<HashMap<u64, u64>> {
    let wanted: HashMap<u64, u64> = missing.iter().map(|off| (mix(salt, *off), *off)).collect();
    let mut found = HashMap::new();
    link.chunks("search", link.data(), 1, |memory, chunk| {
        memory.acquire(chunk.clone());
        for at in words(chunk) {
            if let Some(off) = wanted.get(&memory.load(at)) {
                found.entry(*off).or_insert(at);
            }
        }
    })?;
    Ok(found)
}
