//! What the benchmarks share: timing, medians, a region of their own, and rows with a goal.
#![allow(clippy::expect_used, reason = "a benchmark stops at the first error")]

use std::time::{Duration, Instant};

use csm::{Context, Region};

/// Runs `work` `times` times and returns how long each run took, in order of length.
pub fn timed(times: usize, mut work: impl FnMut()) -> Vec<Duration> {
    let mut taken: Vec<Duration> = (0..times)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    taken.sort_unstable();
    taken
}

/// The median of sorted durations.
#[must_use]
pub fn median(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Prints a figure beside its goal; `None` where none was set.
pub fn row(what: &str, figure: f64, unit: &str, goal: Option<f64>) {
    let verdict = match goal {
        Some(goal) if figure <= goal => format!("goal {goal} {unit}, met"),
        Some(goal) => format!("goal {goal} {unit}, MISSED"),
        None => String::new(),
    };
    println!("{what:<72} {figure:>10.2} {unit:<3} {verdict}");
}

/// A duration in microseconds.
#[must_use]
pub fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// A region of a benchmark's own, destroyed with it.
pub struct Scratch {
    context: Context,
    uri: String,
    /// The region.
    pub region: Option<Region>,
}

impl Scratch {
    /// Creates a region.
    #[must_use]
    pub fn new(name: &str, options: &str) -> Self {
        let uri = format!("shm:bench-{name}-{}", std::process::id());
        let context = Context::new().expect("context");
        let region = context.create(&format!("{uri}?{options}")).expect("region");
        Self { context, uri, region: Some(region) }
    }

    /// The region.
    #[must_use]
    pub fn region(&self) -> &Region {
        self.region.as_ref().expect("open")
    }

    /// The region's URI, without options.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.region = None;
        if let Err(e) = self.context.destroy(&self.uri) {
            eprintln!("leaving {}: {e}", self.uri);
        }
    }
}
