//! What a benchmark program says: lines of JSON on standard output, one a series of measurements, for
//! `tests/bench/run.py`. Everything else goes to standard error.
//!
//! Samples are raw and all of them: medians, quartiles and ratios are the runner's. What is to be compared is measured
//! in turn ([`interleaved`]), so that whatever disturbs one disturbs its rival too.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

/// One series: what was measured, of whom, in which unit.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    /// The work, a section of the report: `message`, `alloc`, `flush`, `scale`, `query`, `share`, `component`.
    pub work: &'a str,
    /// What is varied, in words.
    pub case: &'a str,
    /// What is varied, as a number for plots.
    pub x: Option<f64>,
    /// Who did the work: `libcsm`, or a peer and its version.
    pub who: &'a str,
    /// The step of the work that was measured.
    pub what: &'a str,
    /// Of the samples: `s`, `ns`, `B/s`, `count` or `x`.
    pub unit: &'a str,
    /// Whether the work had been done before on the same memory.
    pub warm: bool,
    /// One sentence: what the figure includes.
    pub includes: &'a str,
    /// Whether this is a bare loop that nobody can beat.
    pub limit: bool,
    /// What was counted on the way, for one sample or for what the name says: `page_faults`,
    /// `bytes_copied_a_replay`, `lines`.
    pub counts: &'a [(&'a str, f64)],
}

impl Default for Series<'_> {
    fn default() -> Self {
        Self {
            work: "",
            case: "",
            x: None,
            who: "libcsm",
            what: "",
            unit: "ns",
            warm: true,
            includes: "",
            limit: false,
            counts: &[],
        }
    }
}

impl Series<'_> {
    /// Prints the series with its samples.
    pub fn print(&self, samples: &[f64]) {
        let mut line = json!({
            "work": self.work, "case": self.case, "who": self.who, "what": self.what, "unit": self.unit,
            "warm": self.warm, "samples": samples, "includes": self.includes, "limit": self.limit,
        });
        if let Some(x) = self.x {
            line["x"] = json!(x);
        }
        if !self.counts.is_empty() {
            let counts: Map<_, _> =
                self.counts.iter().map(|(name, count)| ((*name).to_owned(), json!(count))).collect();
            line["counts"] = Value::Object(counts);
        }
        println!("{line}");
    }

    /// Prints the series with durations as its samples, in nanoseconds or seconds as its unit says.
    pub fn print_times(&self, samples: &[Duration]) {
        let scale = if self.unit == "ns" { 1e9 } else { 1.0 };
        let samples: Vec<f64> = samples.iter().map(|time| time.as_secs_f64() * scale).collect();
        self.print(&samples);
    }
}

/// Says that a peer could not be had for `work`, and why.
pub fn missing(work: &str, who: &str, why: &str) {
    println!("{}", json!({"missing": who, "why": why, "work": work}));
}

/// Why something is left out when the program was asked to be quick.
pub const QUICK: &str = "left out by QUICK=1";

/// Whether the program was asked to be quick: fewer rounds and smaller sizes. Series that it leaves out are
/// [`missing`] with [`QUICK`] as the reason.
#[must_use]
pub fn quick() -> bool {
    std::env::args().any(|arg| arg == "--quick")
}

/// `full`, or `quick` when that was asked for.
#[must_use]
pub fn rounds(full: usize, quick: usize) -> usize {
    if self::quick() { quick } else { full }
}

/// How long `work` takes.
pub fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    std::hint::black_box(work());
    start.elapsed()
}

/// Runs every rival in turn, `warm_up` rounds uncounted and then `rounds` counted, and returns each one's times. A rival
/// says itself how long the part that counts took.
pub fn interleaved<const N: usize>(
    warm_up: usize,
    rounds: usize,
    rivals: &mut [&mut dyn FnMut() -> Duration; N],
) -> [Vec<Duration>; N] {
    let mut taken = [const { Vec::new() }; N];
    for round in 0..warm_up + rounds {
        for (rival, taken) in rivals.iter_mut().zip(&mut taken) {
            let time = rival();
            if round >= warm_up {
                taken.push(time);
            }
        }
    }
    taken
}

/// Page faults of this process so far.
#[must_use]
pub fn page_faults() -> f64 {
    page_faults_of(libc::RUSAGE_SELF)
}

/// Page faults of this thread so far.
#[must_use]
pub fn thread_page_faults() -> f64 {
    page_faults_of(libc::RUSAGE_THREAD)
}

#[allow(unsafe_code, reason = "a system call")]
fn page_faults_of(whom: libc::c_int) -> f64 {
    // SAFETY: plain numbers, for which zeroes are a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: fills the struct.
    unsafe { libc::getrusage(whom, &raw mut usage) };
    (usage.ru_minflt + usage.ru_majflt) as f64
}
