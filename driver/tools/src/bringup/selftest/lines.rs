//! Step: how much does the link move at once?
//!
//! Both ends store, at the same time, to places next to each other: 64 bytes apart, then 128. If what is moved at once
//! is longer than that, each write-back carries an old copy of the neighbour's bytes along, and the neighbour's stores are lost or
//! never arrive. One writer a line of 128 bytes is what regions are laid out for; more than that must not be needed.

use serde_json::{Value, json};

use super::link::Link;
use super::memory::{Cells, mix, words};
use super::report::{Step, Verdict};
use crate::failure::Done;

const PAIRS: u64 = 16;
/// From one pair to the next, in bytes.
const PAIR_BYTES: u64 = 512;
/// What each end stores to of a pair, in bytes.
const PLACE_BYTES: u64 = 64;
const TURNS: u64 = 300;
const TURNS_QUICK: u64 = 60;

/// Stores side by side.
pub(super) fn run(link: &mut Link<'_>) -> Done<Step> {
    let mut step = Step::new("line-size");
    let said = link.memory.0.coherence().line_bytes;
    let mut gaps = Vec::new();
    let mut disturbed = Vec::new();
    for gap in [64, 128] {
        let found = side_by_side(link, gap)?;
        let found = link.swap("the stores that were lost", &found)?;
        let of = |what: &str| found.iter().map(|end| end[what].as_u64().unwrap_or(0)).sum::<u64>();
        disturbed.push(of("lost") + of("not_arrived") > 0);
        gaps.push(json!({
            "gap_bytes": gap,
            "places": 2 * PAIRS,
            "lost": of("lost"),
            "not_arrived": of("not_arrived"),
        }));
    }
    let counts = |at: usize| {
        format!(
            "{} lost, {} never arrived, of {}",
            gaps[at]["lost"], gaps[at]["not_arrived"], gaps[at]["places"]
        )
    };
    let measured = match disturbed[..] {
        [_, true] => None,
        [true, _] => Some(128),
        _ => Some(64),
    };
    let (verdict, text) = match (measured, said) {
        (None, _) => (
            Verdict::Fail,
            format!("neighbours 128 bytes apart disturb each other ({}): regions are not safe on this link", counts(1)),
        ),
        (Some(128), 128) => (
            Verdict::Pass,
            format!("neighbours 64 bytes apart disturb each other ({}), 128 apart they do not: lines of 128 bytes, as the device says", counts(0)),
        ),
        (Some(128), _) => (
            Verdict::Fail,
            format!("neighbours 64 bytes apart disturb each other ({}), though the device says lines of {said} bytes", counts(0)),
        ),
        (_, 128) => (
            Verdict::Note,
            "neighbours 64 bytes apart did not disturb each other, though the device says lines of 128 bytes. That is no proof: go on keeping 128 apart".to_owned(),
        ),
        _ => (Verdict::Pass, format!("neighbours 64 bytes apart do not disturb each other; the device says lines of {said} bytes")),
    };
    step.add(verdict, text);
    step.details = json!({ "said_bytes": said, "measured_bytes": measured, "gaps": gaps });
    Ok(step)
}

fn side_by_side(link: &mut Link<'_>, gap: u64) -> Done<Value> {
    let data = link.data();
    let pairs: Vec<u64> = (0..PAIRS).map(|pair| data.start + pair * PAIR_BYTES).collect();
    let all = data.start..data.start + PAIRS * PAIR_BYTES;
    let place = |pair: &u64, node: u64| pair + node * gap..pair + node * gap + PLACE_BYTES;
    link.leave_data()?;
    link.exchange("the other end to let go of the data", [0; 4])?;
    let mut writers: Vec<_> =
        pairs.iter().flat_map(|pair| [(*pair..pair + gap, 0), (pair + gap..pair + PAIR_BYTES, 1)]).collect();
    writers.push((all.end..data.end, 0));
    link.set_writers(&writers);
    link.exchange("the neighbours to begin", [0; 4])?;
    let memory = link.memory.clone();
    let (node, other) = (link.node, link.other());
    let turns = if link.plan.quick { TURNS_QUICK } else { TURNS };
    let salt = mix(link.id, 64 | gap);
    let value = |node: u64, turn: u64, off: u64| mix(mix(salt, turn << 1 | node), off);
    for turn in 1..=turns {
        for place in pairs.iter().map(|pair| place(pair, node)) {
            for off in words(place.clone()) {
                memory.store(off, value(node, turn, off));
            }
            memory.0.write_back(place);
            memory.0.fence();
        }
    }
    memory.0.drain();
    link.exchange("the neighbour to be done", [0; 4])?;
    memory.acquire(all);
    let missing = |node: u64| {
        let is_last = |off: u64| memory.load(off) == value(node, turns, off);
        pairs.iter().filter(|pair| !words(place(pair, node)).all(is_last)).count()
    };
    Ok(json!({ "lost": missing(node), "not_arrived": missing(other) }))
}
