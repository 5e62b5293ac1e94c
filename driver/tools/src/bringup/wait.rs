//! Waiting: polls with a deadline, and stops for Ctrl-C. There is no sleep anywhere else.

use std::time::{Duration, Instant};

use clap::Args;
use csm::{Error, ErrorKind};

use crate::failure::{Done, Failure};
use crate::interrupt::Interrupt;

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(10);

/// How long a command waits.
#[derive(Args, Clone, Copy)]
pub(crate) struct Patience {
    /// The longest to wait, all in all, as in 30s or 500ms
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// Waits until `look` has an answer. `what` completes "timed out after 30 s waiting for ...".
pub(crate) fn until<T>(
    what: &str,
    timeout: Duration,
    interrupt: &Interrupt,
    mut look: impl FnMut() -> Done<Option<T>>,
) -> Done<T> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(answer) = look()? {
            return Ok(answer);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let text =
                format!("timed out after {} ms waiting for {what}; see --timeout", timeout.as_millis());
            return Err(Error::new(ErrorKind::TimedOut, text).into());
        }
        if interrupt.wait(left.min(POLL)) {
            return Err(Failure::interrupted(&format!("stopped waiting for {what}")));
        }
    }
}

/// Reads `30s`, `500ms`, `2m`: more than nothing, an hour at most.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const HOUR: Duration = Duration::from_secs(3600);
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => 0,
    };
    let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(scale));
    ms.map(Duration::from_millis)
        .filter(|duration| !duration.is_zero() && *duration <= HOUR)
        .ok_or_else(|| "write a whole number with ms, s or m, as in 30s; an hour at most".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_parse() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for text in ["", "5", "s", "0s", "-1s", "1.5s", "61m", "99999999999999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
