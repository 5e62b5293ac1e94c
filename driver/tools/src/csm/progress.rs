//! A progress bar over the bytes of a file, on standard error, if that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that is taken away when it is dropped.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn new(what: &str, total_bytes: u64) -> Self {
        // Hides itself where standard error is no terminal.
        let bar = ProgressBar::new(total_bytes);
        let style =
            "{msg} [{bar:30}] {percent:>3}% of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what.to_owned());
        Self(bar)
    }

    pub(crate) fn at(&self, bytes: u64) {
        self.0.set_position(bytes);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
