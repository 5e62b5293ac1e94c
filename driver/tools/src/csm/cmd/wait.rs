//! `csm wait`

use std::time::Duration;

use clap::Args;
use csm::Result;

use super::At;

/// Wait until a table of that name is published
#[derive(Args)]
pub(crate) struct Wait {
    #[command(flatten)]
    at: At,

    /// The table's name
    name: String,

    /// The longest to wait, in s or ms; after that it fails
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    timeout: Duration,
}

impl Wait {
    pub(crate) fn run(self) -> Result<()> {
        self.at.open()?.wait(&self.name, self.timeout)
    }
}

fn duration(text: &str) -> std::result::Result<Duration, String> {
    let (number, unit_ms) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s').unwrap_or(text), 1000),
    };
    let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms));
    // A century, so that adding it to a clock cannot overflow.
    let longest = Duration::from_secs(3_155_760_000);
    ms.map(|ms| Duration::from_millis(ms).min(longest))
        .ok_or_else(|| "write a whole number with s or ms, as in 10s".into())
}
