//! What happened, and whether it may have.
//!
//! A write takes effect at some time between its begin and its end, so what it published is current from its begin
//! at the earliest to the end of the next write of the name at the latest. An open that found it must overlap that.

use std::collections::{BTreeMap, HashMap};

/// Nanoseconds of the clock that all processes of this host share.
pub(super) fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills the struct.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) }, 0);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// What a name stands for: a table of that stamp, or nothing.
pub(super) type Seen = Option<i64>;

struct Write {
    made: Seen,
    begin: u64,
    /// `None`: it was not heard of again.
    end: Option<u64>,
}

struct Read {
    who: usize,
    name: String,
    seen: Seen,
    begin: u64,
    end: u64,
}

/// The lines by which players tell what they did.
pub(super) fn write_begins(name: &str, made: Seen) -> String {
    format!("begin {name} {} {}", made.map_or_else(|| "-".to_owned(), |stamp| stamp.to_string()), now())
}

/// The write that began last is done, or did not happen.
pub(super) fn write_ends(done: bool) -> String {
    if done { format!("end {}", now()) } else { "not".to_owned() }
}

pub(super) fn read_line(name: &str, seen: Seen, begin: u64) -> String {
    format!(
        "read {name} {} {begin} {}",
        seen.map_or_else(|| "-".to_owned(), |stamp| stamp.to_string()),
        now()
    )
}

/// Everything that was told.
#[derive(Default)]
pub(super) struct History {
    writes: BTreeMap<String, Vec<Write>>,
    reads: Vec<Read>,
    /// The name that each writes at the moment.
    writing: HashMap<usize, String>,
}

impl History {
    /// Takes down what `who` told.
    pub(super) fn note(&mut self, who: usize, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().expect("a time");
        let seen = |at: usize| (words[at] != "-").then(|| words[at].parse().expect("a stamp"));
        match words[0] {
            "begin" => {
                let write = Write { made: seen(2), begin: number(3), end: None };
                self.writes.entry(words[1].to_owned()).or_default().push(write);
                self.writing.insert(who, words[1].to_owned());
            }
            "end" => self.last_of(who).end = Some(number(1)),
            "not" => {
                self.last_of(who);
                self.writes.get_mut(&self.writing[&who]).expect("it began").pop();
            }
            "read" => {
                let name = words[1].to_owned();
                self.reads.push(Read { who, name, seen: seen(2), begin: number(3), end: number(4) });
            }
            _ => panic!("a player says {line:?}"),
        }
    }

    fn last_of(&mut self, who: usize) -> &mut Write {
        let writes = self.writes.get_mut(&self.writing[&who]).expect("it began");
        writes.last_mut().filter(|write| write.end.is_none()).expect("it began")
    }

    /// Who wrote `name` died; `found` is there since, at `time` at the latest.
    pub(super) fn resolve(&mut self, name: &str, found: Seen, time: u64) {
        let writes = self.writes.entry(name.to_owned()).or_default();
        if let Some(last) = writes.last_mut().filter(|write| write.end.is_none()) {
            if last.made == found {
                last.end = Some(time);
            } else {
                writes.pop();
            }
        }
        let expected = writes.last().and_then(|write| write.made);
        assert_eq!(found, expected, "what is left of {name}");
    }

    /// Fails unless every open found what was current while it lasted, and nobody saw time go back. Returns how
    /// many there were.
    pub(super) fn judge(&self) -> u64 {
        let mut last: HashMap<(usize, &str), usize> = HashMap::new();
        for read in &self.reads {
            let writes = self.writes.get(&read.name).map_or(&[][..], Vec::as_slice);
            // State 0 is before the first write.
            let made = |state: usize| state.checked_sub(1).and_then(|at| writes[at].made);
            let begins = |state: usize| state.checked_sub(1).map_or(0, |at| writes[at].begin);
            let ends = |state: usize| writes.get(state).map_or(u64::MAX, |next| next.end.unwrap_or(u64::MAX));
            let not_before = last.get(&(read.who, read.name.as_str())).copied().unwrap_or(0);
            let found = (not_before..=writes.len()).find(|state| {
                made(*state) == read.seen && begins(*state) <= read.end && ends(*state) >= read.begin
            });
            let Some(state) = found else {
                let around: Vec<_> =
                    writes.iter().map(|write| (write.made, write.begin, write.end)).collect();
                panic!(
                    "player {} found {:?} of {:?} from {} to {}, after state {not_before} of {around:#?}",
                    read.who, read.seen, read.name, read.begin, read.end
                );
            };
            last.insert((read.who, &read.name), state);
        }
        self.reads.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(reads: &[&str]) -> History {
        let mut history = History::default();
        for line in ["begin t 1 100", "end 110", "begin t 2 200", "end 210", "begin t - 300", "end 310"] {
            history.note(0, line);
        }
        reads.iter().for_each(|line| history.note(1, line));
        history
    }

    #[test]
    fn what_was_current_is_right() {
        for read in [
            "read t - 90 100",
            "read t 1 105 106",
            "read t 1 205 206",
            "read t 2 205 206",
            "read t 2 50 400",
            "read t - 400 401",
        ] {
            assert_eq!(history(&[read]).judge(), 1, "{read}");
        }
        history(&["read t 1 205 206", "read t 2 205 207", "read t 2 208 209"]).judge();
    }

    #[test]
    fn what_was_not_is_wrong() {
        for reads in [
            &["read t 1 80 99"][..],
            &["read t - 111 150"],
            &["read t 1 211 212"],
            &["read t 2 311 312"],
            &["read t 7 50 400"],
            &["read u 1 105 106"],
            &["read t 2 205 206", "read t 1 207 208"],
        ] {
            let history = history(reads);
            assert!(std::panic::catch_unwind(|| history.judge()).is_err(), "{reads:?}");
        }
    }
}
