//! What is measured, row by row.
#![allow(unsafe_code, reason = "hands mapped windows to the measuring loops")]

use std::time::{Duration, Instant};

use csm::Window;
use serde_json::{Value, json};

use super::access::{Access, Span, U64, WIDTHS, Width, pass};
use super::reference::{self, Reference};
use crate::failure::{Done, Failure};
use crate::progress::Progress;
use crate::run::Run;

const GIB: f64 = (1_u64 << 30) as f64;
const STRIDES: [u64; 6] = [1, 2, 4, 8, 16, 32];
const LINE_BYTES: u64 = 128;
/// The longest chain of pointers.
const CHAIN_MOST: u64 = 1 << 19;

/// Rows of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) unit: &'static str,
    /// What a figure includes.
    pub(super) includes: &'static str,
}

const SERIAL: Group = Group {
    name: "serial",
    title: "Bandwidth by width and threads",
    unit: "GiB/s",
    includes: "loads and stores in order; the caches keep what they like, nothing is flushed",
};
const HOME: Group = Group {
    name: "home",
    title: "Bandwidth to and from home",
    unit: "GiB/s",
    includes: "writes with write-back, fence and drain in the time; reads of lines that were invalidated before it",
};
const STRIDED: Group = Group {
    name: "strided",
    title: "Bandwidth by stride, u64",
    unit: "GiB/s",
    includes: "one element of so many; its bytes alone are counted; reads after an invalidation",
};
const LATENCY: Group = Group {
    name: "latency",
    title: "Latency",
    unit: "ns a load",
    includes: "each load's address comes from the one before; a line of 128 bytes once each, in random order, invalidated before; looking up its page is included",
};
const FLUSH: Group = Group {
    name: "flush",
    title: "Flushes",
    unit: "ms a GiB",
    includes: "the cache instructions over the range, with fence and drain; dirty: every line was just stored to, as far as caches hold it",
};

/// One figure on both memories.
pub(super) struct Row {
    pub(super) group: Group,
    what: String,
    /// Of the runs, in order.
    local: Vec<f64>,
    window: Vec<f64>,
    reference: Reference,
    threads: u64,
}

impl Row {
    pub(super) fn json(&self) -> Value {
        json!({
            "group": self.group.name,
            "what": self.what,
            "unit": self.group.unit,
            "includes": self.group.includes,
            "threads": self.threads,
            "local": median(&self.local),
            "window": median(&self.window),
            "window_runs": self.window,
            "local_runs": self.local,
            "power9_local": self.reference.local,
            "power9_remote": self.reference.remote,
            "power9_remark": self.reference.remark,
        })
    }

    pub(super) fn cells(&self) -> [String; 7] {
        let (local, window) = (median(&self.local), median(&self.window));
        let ratio = if local > 0.0 { format!("{:.2} x", window / local) } else { String::new() };
        let known = |figure: Option<f64>| figure.map_or(String::new(), shown);
        [
            self.what.clone(),
            shown(local),
            shown(window),
            ratio,
            known(self.reference.local),
            known(self.reference.remote),
            self.reference.remark.to_owned(),
        ]
    }
}

/// Three digits.
fn shown(figure: f64) -> String {
    match figure {
        f if f >= 100.0 => format!("{f:.0}"),
        f if f >= 10.0 => format!("{f:.1}"),
        f => format!("{f:.2}"),
    }
}

fn median(figures: &[f64]) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}

/// What is measured on.
pub(super) struct Bench<'a> {
    pub(super) run: &'a Run,
    pub(super) window: &'a Window,
    pub(super) local: &'a Window,
    pub(super) bytes: u64,
    pub(super) runs: usize,
    pub(super) threads: u64,
    pub(super) quick: bool,
}

/// One run of a row: its figure.
type Once = Box<dyn Fn(&Window, Span) -> f64>;

/// One row to come: what it is, and how one run of it is made.
struct Task {
    group: Group,
    what: String,
    threads: u64,
    reference: Reference,
    once: Once,
}

impl Bench<'_> {
    /// Everything, one row after the other.
    ///
    /// # Errors
    /// When it is interrupted.
    pub(super) fn measure(&self) -> Done<Vec<Row>> {
        let tasks = self.tasks();
        let progress = Progress::steps(self.run, "bench", tasks.len() as u64);
        let spans = [self.local, self.window].map(|window| {
            // SAFETY: the windows outlive the measurements, and begin at a page; nobody has references to them.
            (window, unsafe { Span::new(window.as_ptr(), self.bytes.min(window.len_bytes())) })
        });
        // Every page is there before anything is timed.
        for (window, span) in spans {
            pass(span, Access::Write, U64, 1, 1);
            home(window, span.bytes);
        }
        let mut rows = Vec::new();
        for (number, task) in (0..).zip(tasks) {
            progress.what(&format!("{} {}", task.group.name, task.what));
            progress.at(number);
            let mut figures = [Vec::new(), Vec::new()];
            for _ in 0..self.runs {
                for ((window, span), figures) in spans.iter().zip(&mut figures) {
                    if self.run.interrupt().raised() {
                        return Err(Failure::interrupted(
                            "the window holds what was measured with, and no region",
                        ));
                    }
                    figures.push((task.once)(window, *span));
                }
            }
            let [local, window] = figures;
            let Task { group, what, threads, reference, .. } = task;
            rows.push(Row { group, what, local, window, reference, threads });
        }
        Ok(rows)
    }

    fn tasks(&self) -> Vec<Task> {
        let mut tasks = self.serial();
        tasks.extend(self.home());
        tasks.extend(self.strided());
        tasks.extend(self.latency_and_flushes());
        tasks
    }

    /// 1, 2, 4, ... and all threads.
    fn thread_counts(&self) -> Vec<u64> {
        let mut counts: Vec<u64> =
            (0..).map(|power| 1 << power).take_while(|count| *count < self.threads).collect();
        if self.quick {
            counts.truncate(1);
        }
        counts.push(self.threads);
        counts
    }

    fn serial(&self) -> Vec<Task> {
        let mut tasks = Vec::new();
        for access in [Access::Write, Access::Read] {
            for width in WIDTHS {
                let is_u64 = width.bytes == U64.bytes;
                if self.quick && !is_u64 && width.bytes != 1 {
                    continue;
                }
                for threads in self.thread_counts() {
                    let all = threads == self.threads;
                    // What lies between one thread and all is told for the width that the reference has.
                    if threads != 1 && !all && !is_u64 {
                        continue;
                    }
                    let reference = match access {
                        Access::Read if is_u64 => reference::read(threads, all),
                        Access::Write if is_u64 && all => reference::WRITE,
                        _ => Reference::default(),
                    };
                    tasks.push(self.bandwidth(SERIAL, access, *width, threads, reference));
                }
            }
        }
        tasks
    }

    fn bandwidth(
        &self,
        group: Group,
        access: Access,
        width: Width,
        threads: u64,
        reference: Reference,
    ) -> Task {
        let s = if threads == 1 { "" } else { "s" };
        Task {
            group,
            what: format!("{} {}, {threads} thread{s}", access.word(), width.name),
            threads,
            reference,
            once: Box::new(move |_, span| pass(span, access, width, 1, threads) / GIB),
        }
    }

    fn home(&self) -> Vec<Task> {
        let threads = self.threads;
        let write = move |window: &Window, span: Span| {
            let rate = pass(span, Access::Write, U64, 1, threads);
            let started = Instant::now();
            home(window, span.bytes);
            f64_of(span.bytes) / (f64_of(span.bytes) / rate.max(1.0) + started.elapsed().as_secs_f64()) / GIB
        };
        let read = move |window: &Window, span: Span| {
            forget(window, span.bytes);
            pass(span, Access::Read, U64, 1, threads) / GIB
        };
        let task = |what: &str, once: Once| Task {
            group: HOME,
            what: format!("{what} u64, {threads} thread{}", if threads == 1 { "" } else { "s" }),
            threads,
            reference: Reference::default(),
            once,
        };
        vec![task("write", Box::new(write)), task("read", Box::new(read))]
    }

    fn strided(&self) -> Vec<Task> {
        let threads = self.threads;
        let task = |access: Access, stride: u64| Task {
            group: STRIDED,
            what: format!("{} every {stride}", access.word()),
            threads,
            reference: if access == Access::Read { reference::strided(stride) } else { Reference::default() },
            once: Box::new(move |window: &Window, span: Span| {
                if access == Access::Read {
                    forget(window, span.bytes);
                }
                pass(span, access, U64, stride, threads) / GIB
            }),
        };
        let accesses = [Access::Read, Access::Write];
        accesses.iter().flat_map(|access| STRIDES.map(|stride| task(*access, stride))).collect()
    }

    fn latency_and_flushes(&self) -> Vec<Task> {
        let chase = |window: &Window, span: Span| {
            let lines = (span.bytes / LINE_BYTES).min(CHAIN_MOST);
            chain(span, lines);
            home(window, span.bytes);
            forget(window, span.bytes);
            let started = Instant::now();
            std::hint::black_box(span.chase(lines));
            started.elapsed().as_secs_f64() * 1e9 / f64_of(lines)
        };
        let flush = |dirty: bool, invalidate: bool| {
            move |window: &Window, span: Span| {
                // Clean lines that are in the cache, as far as they fit: they were just read.
                home(window, span.bytes);
                pass(span, if dirty { Access::Write } else { Access::Read }, U64, 1, 1);
                let started = Instant::now();
                if invalidate {
                    forget(window, span.bytes);
                    window.drain();
                } else {
                    home(window, span.bytes);
                }
                per_gib(started.elapsed(), span.bytes)
            }
        };
        let task = |group, what: &str, reference, once| Task {
            group,
            what: what.to_owned(),
            threads: 1,
            reference,
            once,
        };
        vec![
            task(LATENCY, "pointer chase", reference::LATENCY, Box::new(chase)),
            task(FLUSH, "write back, clean", Reference::default(), Box::new(flush(false, false))),
            task(FLUSH, "write back, dirty", Reference::default(), Box::new(flush(true, false))),
            task(FLUSH, "invalidate, clean", reference::FLUSH_CLEAN, Box::new(flush(false, true))),
            task(FLUSH, "invalidate, dirty", reference::FLUSH_DIRTY, Box::new(flush(true, true))),
        ]
    }
}

/// Writes back all that was stored, until it has arrived.
fn home(window: &Window, bytes: u64) {
    window.write_back(0..bytes);
    window.fence();
    window.drain();
}

/// Drops all of it.
fn forget(window: &Window, bytes: u64) {
    window.invalidate(0..bytes);
    window.fence();
}

/// Makes a chain that visits every line once, in an order that no prefetcher guesses, and ends where it began.
fn chain(span: Span, lines: u64) {
    let mut order: Vec<u64> = (0..lines).collect();
    let mut state = 1_u64;
    for last in (1..order.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let other = usize::try_from(state >> 33).unwrap_or(0) % last;
        order.swap(last, other);
    }
    // `order` is one cycle of successors (Sattolo), so following it from any line passes all of them.
    for (line, next) in (0..).zip(&order) {
        span.set(line * LINE_BYTES, next * LINE_BYTES);
    }
}

#[expect(clippy::cast_precision_loss, reason = "rates are shown with three digits")]
fn f64_of(number: u64) -> f64 {
    number as f64
}

fn per_gib(time: Duration, bytes: u64) -> f64 {
    time.as_secs_f64() * 1e3 * GIB / f64_of(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_visits_every_line_once() {
        let lines = 1000;
        let mut words = vec![0_u64; usize::try_from(lines * LINE_BYTES / 8).expect("small")];
        // SAFETY: the vector outlives the span, and is used through it alone meanwhile.
        let span = unsafe { Span::new(words.as_mut_ptr().cast(), lines * LINE_BYTES) };
        chain(span, lines);
        let mut seen = std::collections::BTreeSet::new();
        for steps in 0..lines {
            seen.insert(span.chase(steps));
        }
        assert_eq!((seen.len() as u64, span.chase(lines)), (lines, 0));
    }

    #[test]
    fn figures_have_three_digits() {
        assert_eq!([0.1234, 5.678, 12.34, 456.7].map(shown), ["0.12", "5.68", "12.3", "457"]);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
    }
}
