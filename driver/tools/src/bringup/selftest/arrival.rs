//! Step: when has a write arrived?
//!
//! A fence completes write-backs at the processor; whether they are at home then is another question, above all on a link
//! with two channels. The writer stores to lines all over the window and writes them back, fences, and then
//! writes a flag in the same way; the reader, as soon as it sees the flag, looks at the lines, last one first. A line that is
//! old at this first look came later than what was written after it. With `drain()` between lines and flag that must
//! never be. No clocks are compared: the order of arrival is what is seen. Times are the reader's own.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::link::Link;
use super::memory::{Cells, LINE, mix};
use super::report::{Step, Verdict};
use crate::failure::Done;

const LINES: u64 = 16;
const ROUNDS: u64 = 200;
const ROUNDS_QUICK: u64 = 40;
/// Where the flag is, behind the first line.
const FLAG_OFF: u64 = 4 * LINE;

/// What one end saw or took.
#[derive(Default)]
struct Times {
    /// Lines looked at, lines that were old at the first look, and the most looks that one took.
    lines: u64,
    late: u64,
    looks: u64,
    /// From the flag to the last line, where one was late.
    late_ns: u64,
    /// The writer's: write-back with fence, and drain.
    home: Vec<Duration>,
    drain: Vec<Duration>,
}

/// Measures both directions, with and without drain.
pub(super) fn run(link: &mut Link<'_>) -> Done<Step> {
    let mut step = Step::new("arrival");
    let mut runs = Vec::new();
    for writer in 0..2 {
        link.grant(writer)?;
        for drains in [false, true] {
            let times = rounds(link, writer, drains)?;
            let found = link.swap("what had arrived when", &times.json())?;
            let (wrote, read) = (&found[usize::from(writer == 1)], &found[usize::from(writer == 0)]);
            let of = |what: &str| read[what].as_u64().unwrap_or(0);
            if of("late") > 0 {
                let text = format!(
                    "node {writer} to node {}, {}: {} of {} lines arrived after the flag that was written behind them, up to {} looks and {} us later",
                    1 - writer,
                    if drains { "drained" } else { "fenced" },
                    of("late"),
                    of("lines"),
                    of("looks"),
                    of("late_ns") / 1000,
                );
                let verdict = if drains { Verdict::Fail } else { Verdict::Note };
                let meaning = if drains {
                    "drain() returns too early"
                } else {
                    "a fence is not enough, drain() is needed"
                };
                step.add(verdict, format!("{text}: {meaning}"));
            }
            runs.push(
                json!({ "writer": writer, "drained": drains, "reader_saw": read, "writer_took": wrote }),
            );
        }
    }
    if step.lines.is_empty() {
        let lines = runs[0]["reader_saw"]["lines"].as_u64().unwrap_or(0);
        step.add(
            Verdict::Pass,
            format!("every line was there at the first look, {lines} a direction, both fenced only and drained. For the fence alone that is no proof"),
        );
    }
    let exchange_ns = exchanges(link)?;
    step.add(
        Verdict::Pass,
        format!("the ends exchange a line each in {:.1} us (median)", micros(exchange_ns)),
    );
    step.details = json!({ "runs": runs, "exchange_ns": exchange_ns });
    Ok(step)
}

#[expect(clippy::cast_precision_loss, reason = "shown to one digit")]
fn micros(ns: u64) -> f64 {
    ns as f64 / 1000.0
}

impl Times {
    fn json(&self) -> Value {
        json!({
            "lines": self.lines,
            "late": self.late,
            "looks": self.looks,
            "late_ns": self.late_ns,
            "write_back_and_fence_ns": median_ns(&self.home),
            "drain_ns": median_ns(&self.drain),
        })
    }
}

fn median_ns(times: &[Duration]) -> Option<u64> {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

fn rounds(link: &mut Link<'_>, writer: u64, drains: bool) -> Done<Times> {
    let rounds = if link.plan.quick { ROUNDS_QUICK } else { ROUNDS };
    let data = link.data();
    let stride = (data.end - data.start) / LINES / LINE * LINE;
    let lines: Vec<_> = (0..LINES).map(|i| data.start + i * stride).map(|off| off..off + LINE).collect();
    let flag = data.start + FLAG_OFF..data.start + FLAG_OFF + LINE;
    let salt = mix(link.id, 16 | writer << 1 | u64::from(drains));
    let memory = link.memory.clone();
    let window = &memory.0;
    let mut times = Times::default();
    for round in 1..=rounds {
        let value = mix(salt, round);
        if link.node == writer {
            lines.iter().for_each(|line| memory.store(line.start, value));
            let started = Instant::now();
            lines.iter().for_each(|line| window.write_back(line.clone()));
            window.fence();
            times.home.push(started.elapsed());
            if drains {
                let started = Instant::now();
                window.drain();
                times.drain.push(started.elapsed());
            }
            memory.store(flag.start, value);
            window.write_back(flag.clone());
            window.fence();
        } else {
            link.poll("the flag behind the lines", |memory| {
                memory.acquire(flag.clone());
                Ok((memory.load(flag.start) == value).then_some(()))
            })?;
            let seen = Instant::now();
            for line in lines.iter().rev() {
                times.lines += 1;
                let mut looks = 0;
                link.poll("a line that was written before its flag", |memory| {
                    memory.acquire(line.clone());
                    looks += 1;
                    Ok((memory.load(line.start) == value).then_some(()))
                })?;
                if looks > 1 {
                    times.late += 1;
                    times.late_ns =
                        times.late_ns.max(u64::try_from(seen.elapsed().as_nanos()).unwrap_or(u64::MAX));
                }
                times.looks = times.looks.max(looks);
            }
        }
        link.exchange("the lines to be seen", [0; 4])?;
    }
    Ok(times)
}

/// How long the ends take to tell each other something, in nanoseconds: the median.
fn exchanges(link: &mut Link<'_>) -> Done<u64> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS_QUICK {
        let started = Instant::now();
        link.exchange("a line", [0; 4])?;
        times.push(started.elapsed());
    }
    Ok(median_ns(&times).unwrap_or(0))
}
