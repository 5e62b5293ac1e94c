//! Step: which of the four coherence operations does this link need, in each direction?
//!
//! The four are the owner's and the borrower's write-back, and the owner's and the borrower's invalidation. For each
//! direction and each choice of doing them or not: the reader loads the old values, so that its cache has them; the writer
//! stores new ones, with or without writing back; it says so through the mailbox, which always does everything; the
//! reader loads again, with or without invalidating first. A line that is old then proves a need. No old line proves
//! nothing: caches evict when they like, so the working set is small, the rounds are many, and the counts are told.

use csm::CoherenceReport;
use serde_json::{Value, json};

use super::link::Link;
use super::memory::{Cells, LINE, mix, words};
use super::report::{Step, Verdict};
use crate::failure::Done;

/// Lines a round: small enough to stay in any cache.
const LINES: u64 = 64;
const ROUNDS: u64 = 32;
const ROUNDS_QUICK: u64 = 8;

/// What the reader saw with one choice of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    lines: u64,
    /// Lines in which a word was old.
    stale: u64,
    /// Lines with a word that was neither old nor new.
    wrong: u64,
    /// Lines that were not old when they had to be: before the new values, with everything done.
    unprepared: u64,
}

/// What software must do, as measured or as the device says: four yeses or noes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// By node.
    writes_back: [bool; 2],
    invalidates: [bool; 2],
}

impl Needs {
    /// What a device says.
    pub(super) fn said(report: &CoherenceReport) -> Self {
        let both = |roles: csm::Roles| [roles.owner, roles.borrower];
        Self { writes_back: both(report.writer_writes_back), invalidates: both(report.reader_invalidates) }
    }

    /// The word for it in URIs.
    pub(super) fn name(self) -> &'static str {
        match (self.writes_back, self.invalidates) {
            ([false, false], [false, false]) => "gc",
            ([false, true], [false, true]) => "lender",
            ([true, true], [true, true]) => "lc",
            _ => "none of gc, lender and lc",
        }
    }

    /// The least of the words that covers it.
    fn covered_by(self) -> &'static str {
        match (self.writes_back, self.invalidates) {
            ([false, false], [false, false]) => "gc",
            ([false, _], [false, _]) => "lender",
            _ => "lc",
        }
    }

    pub(super) fn json(self) -> Value {
        json!({
            "owner_writes_back": self.writes_back[0],
            "borrower_writes_back": self.writes_back[1],
            "owner_invalidates": self.invalidates[0],
            "borrower_invalidates": self.invalidates[1],
            "name": self.name(),
        })
    }
}

/// Measures, and compares with what the device says.
pub(super) fn run(link: &mut Link<'_>) -> Done<Step> {
    let mut step = Step::new("coherence");
    let said = Needs::said(&link.memory.0.coherence());
    let mut measured = Needs::default();
    let mut directions = Vec::new();
    for writer in 0..2 {
        link.grant(writer)?;
        let mut counts = [[Seen::default(); 2]; 2];
        for (writes_back, row) in counts.iter_mut().enumerate() {
            for (invalidates, seen) in row.iter_mut().enumerate() {
                *seen = rounds(link, writer, writes_back == 1, invalidates == 1)?;
            }
        }
        let found = link.swap("the lines that were old", &json(&counts))?;
        let counts = &found[usize::from(writer == 0)];
        directions.push(direction(&mut step, said, &mut measured, counts, usize::from(writer == 1)));
    }
    let lead = format!("the device says {}; measured: {}", said.name(), measured.name());
    let lead = if step.verdict == Verdict::Fail {
        format!("{lead}. Until this is understood use coherence={}", measured.covered_by())
    } else {
        lead
    };
    step.lines.insert(0, lead);
    step.details = json!({ "said": said.json(), "measured": measured.json(), "directions": directions });
    Ok(step)
}

/// What the counts of one direction say.
fn direction(step: &mut Step, said: Needs, measured: &mut Needs, counts: &Value, writer: usize) -> Value {
    let reader = 1 - writer;
    let of = |choice: &str, what: &str| counts[choice][what].as_u64().unwrap_or(0);
    broken(step, counts, writer, reader);
    let (lines, stale) = (of("invalidated_only", "lines"), of("invalidated_only", "stale"));
    measured.writes_back[writer] = stale > 0;
    judge(step, said.writes_back[writer], writer, "write back", stale, lines);
    let (lines, stale) = (of("written_back_only", "lines"), of("written_back_only", "stale"));
    measured.invalidates[reader] = stale > 0;
    judge(step, said.invalidates[reader], reader, "invalidate", stale, lines);
    json!({ "writer": writer, "reader": reader, "seen": counts })
}

/// With everything done, or before anything new was stored, nothing may be out of order.
fn broken(step: &mut Step, counts: &Value, writer: usize, reader: usize) {
    let of = |choice: &str, what: &str| counts[choice][what].as_u64().unwrap_or(0);
    let all: u64 = ["everything", "invalidated_only", "written_back_only", "nothing"]
        .iter()
        .map(|choice| of(choice, "wrong") + of(choice, "unprepared"))
        .sum();
    let stale = of("everything", "stale");
    if stale + all > 0 {
        let text = format!(
            "node {writer} to node {reader}: with everything written back and invalidated {stale} of {} lines were old, and {all} lines held \
             what they never should: this link loses or delays stores",
            of("everything", "lines")
        );
        step.add(Verdict::Fail, text);
    }
}

fn judge(step: &mut Step, said: bool, node: usize, what: &str, stale: u64, lines: u64) {
    let role = if node == 0 { "owner" } else { "borrower" };
    let who = format!("the {role} (node {node})");
    let (verdict, text) = match (said, stale) {
        (true, 0) => (
            Verdict::Note,
            format!(
                "{who} must {what}, says the device; measured: no stale line in {lines} tries without. That is no proof: go on doing it"
            ),
        ),
        (false, 0) => (
            Verdict::Pass,
            format!(
                "{who} need not {what}, says the device; measured: no stale line in {lines} tries without. That is no proof, but it agrees"
            ),
        ),
        (true, _) => (
            Verdict::Pass,
            format!(
                "{who} must {what}, says the device; measured: {stale} of {lines} lines stale without. That is proof"
            ),
        ),
        (false, _) => (
            Verdict::Fail,
            format!(
                "{who} need not {what}, says the device; but {stale} of {lines} lines were stale without. That is proof that it must"
            ),
        ),
    };
    step.add(verdict, text);
}

fn json(counts: &[[Seen; 2]; 2]) -> Value {
    let one = |seen: Seen| json!({ "lines": seen.lines, "stale": seen.stale, "wrong": seen.wrong, "unprepared": seen.unprepared });
    json!({
        "everything": one(counts[1][1]),
        "written_back_only": one(counts[1][0]),
        "invalidated_only": one(counts[0][1]),
        "nothing": one(counts[0][0]),
    })
}

/// One choice of operations, many times.
fn rounds(link: &mut Link<'_>, writer: u64, writes_back: bool, invalidates: bool) -> Done<Seen> {
    let rounds = if link.plan.quick { ROUNDS_QUICK } else { ROUNDS };
    let start = link.data().start;
    let range = start..start + LINES * LINE;
    let lines = || range.clone().step_by(128).map(|line| line..line + LINE);
    let salt = mix(link.id, writer << 2 | u64::from(writes_back) << 1 | u64::from(invalidates));
    let memory = link.memory.clone();
    let store = |value: u64| words(range.clone()).for_each(|off| memory.store(off, mix(value, off)));
    let is =
        |line: std::ops::Range<u64>, value: u64| words(line).all(|off| memory.load(off) == mix(value, off));
    let has =
        |line: std::ops::Range<u64>, value: u64| words(line).any(|off| memory.load(off) == mix(value, off));
    let mut seen = Seen::default();
    for round in 0..rounds {
        let (old, new) = (mix(salt, 2 * round), mix(salt, 2 * round + 1));
        if link.node == writer {
            store(old);
            memory.release(range.clone());
        }
        link.exchange("the old values", [0; 4])?;
        if link.node != writer {
            memory.acquire(range.clone());
            seen.unprepared += lines().filter(|line| !is(line.clone(), old)).count() as u64;
        }
        link.exchange("the old values to be read", [0; 4])?;
        if link.node == writer {
            store(new);
            if writes_back {
                memory.release(range.clone());
            }
        }
        link.exchange("the new values", [0; 4])?;
        if link.node != writer {
            if invalidates {
                memory.acquire(range.clone());
            }
            for line in lines() {
                seen.lines += 1;
                if has(line.clone(), old) {
                    seen.stale += 1;
                } else if !is(line, new) {
                    seen.wrong += 1;
                }
            }
        }
        link.exchange("the new values to be read", [0; 4])?;
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(stale: u64) -> Seen {
        Seen { lines: 100, stale, ..Seen::default() }
    }

    /// What node 1 saw of node 0's stores when only the invalidation, only the write-back, or both were done.
    fn judged(said: &CoherenceReport, no_write_back: u64, no_invalidation: u64, everything: u64) -> Step {
        let counts = json(&[[seen(0), seen(no_write_back)], [seen(no_invalidation), seen(everything)]]);
        let mut step = Step::new("coherence");
        let mut measured = Needs::default();
        direction(&mut step, Needs::said(said), &mut measured, &counts, 0);
        assert_eq!(measured.writes_back, [no_write_back > 0, false]);
        assert_eq!(measured.invalidates, [false, no_invalidation > 0]);
        step
    }

    #[test]
    fn old_lines_refute_a_device_and_new_ones_prove_nothing() {
        for (said, no_write_back, no_invalidation, everything, verdict) in [
            (CoherenceReport::GLOBAL, 0, 0, 0, Verdict::Pass),
            (CoherenceReport::LOCAL, 3, 2, 0, Verdict::Pass),
            (CoherenceReport::LOCAL, 0, 0, 0, Verdict::Note),
            (CoherenceReport::LENDER, 0, 5, 0, Verdict::Pass),
            (CoherenceReport::GLOBAL, 1, 0, 0, Verdict::Fail),
            (CoherenceReport::GLOBAL, 0, 1, 0, Verdict::Fail),
            (CoherenceReport::LENDER, 1, 5, 0, Verdict::Fail),
            // With everything done nothing may be old, whatever the device says.
            (CoherenceReport::LOCAL, 3, 2, 1, Verdict::Fail),
        ] {
            let step = judged(&said, no_write_back, no_invalidation, everything);
            assert_eq!(step.verdict, verdict, "{said:?} {no_write_back} {no_invalidation}: {:?}", step.lines);
            let claims_proof = step.lines.iter().any(|line| line.contains("That is proof"));
            assert_eq!(claims_proof, no_write_back + no_invalidation > 0, "{:?}", step.lines);
        }
    }

    #[test]
    fn every_need_has_a_word_that_covers_it() {
        let needs = |writes_back, invalidates| Needs { writes_back, invalidates };
        let (none, borrower, all) = ([false, false], [false, true], [true, true]);
        for (needs, name, covered) in [
            (needs(none, none), "gc", "gc"),
            (needs(borrower, borrower), "lender", "lender"),
            (needs(all, all), "lc", "lc"),
            (needs(none, borrower), "none of gc, lender and lc", "lender"),
            (needs([true, false], none), "none of gc, lender and lc", "lc"),
        ] {
            assert_eq!((needs.name(), needs.covered_by()), (name, covered));
        }
    }
}
