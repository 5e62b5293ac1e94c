//! Progress of what takes over a second, on standard error, if that is a terminal and no JSON is asked for.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::run::Run;

/// A bar that is taken away when it is dropped.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Over bytes: `what [=====>    ]  42% of 1.00 GiB, 5.1 GiB/s, 2s left`.
    pub(crate) fn bytes(run: &Run, what: &str, total_bytes: u64) -> Self {
        let style =
            "{msg} [{bar:30}] {percent:>3}% of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
        Self::new(run, what, total_bytes, style)
    }

    /// Over steps: `what [=====>    ] 3/8`.
    pub(crate) fn steps(run: &Run, what: &str, steps: u64) -> Self {
        Self::new(run, what, steps, "{msg} [{bar:30}] {pos}/{len}, {elapsed}")
    }

    fn new(run: &Run, what: &str, total: u64, style: &str) -> Self {
        // Hides itself where standard error is no terminal.
        let target = if run.json() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what.to_owned());
        Self(bar)
    }

    /// So far.
    pub(crate) fn at(&self, done: u64) {
        self.0.set_position(done);
    }

    /// What it is at.
    pub(crate) fn what(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
