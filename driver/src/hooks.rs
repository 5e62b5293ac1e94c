//! What the tests do to a process from inside (feature `test-hooks`): kill it at a store, leave out or stop at
//! a step of the protocols, and write down which lines it stored to. An ordinary build has none of this.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::coherence::{Part, Step};
use crate::region::layout::LINE_BYTES;
use crate::sys::process::{kill_self, stop_self};

static VISITED: AtomicU64 = AtomicU64::new(0);
static KILL_AT: AtomicU64 = AtomicU64::new(u64::MAX);

/// Kills this process just before its `n`-th metadata store from now on (the first is 0).
pub fn arm(n: u64) {
    KILL_AT.store(VISITED.load(Ordering::SeqCst) + n, Ordering::SeqCst);
}

/// No kill from now on.
pub fn disarm() {
    KILL_AT.store(u64::MAX, Ordering::SeqCst);
}

/// How many metadata stores this process has made.
pub fn visited() -> u64 {
    VISITED.load(Ordering::SeqCst)
}

/// Called before each store to metadata.
pub(crate) fn before_store(address: u64) {
    if VISITED.fetch_add(1, Ordering::SeqCst) == KILL_AT.load(Ordering::SeqCst) {
        // As sudden as it gets: no destructor, no handler, no flush.
        kill_self();
    }
    if let Some(log) = stores() {
        let line = address / LINE_BYTES * LINE_BYTES;
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.seen.insert(line) {
            // A line of text is written in one call: the log of a killed process is whole.
            let _ = log.file.write_all(format!("{line:#x}\n").as_bytes());
        }
    }
}

struct Stores {
    seen: BTreeSet<u64>,
    file: std::fs::File,
}

/// `CSM_STORES=FILE`: every metadata line that this process stores to is appended there, once.
fn stores() -> Option<&'static Mutex<Stores>> {
    static STORES: OnceLock<Option<Mutex<Stores>>> = OnceLock::new();
    let open = || {
        let path = std::env::var_os("CSM_STORES")?;
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path).ok()?;
        Some(Mutex::new(Stores { seen: BTreeSet::new(), file }))
    };
    STORES.get_or_init(open).as_ref()
}

/// Every step and part of it that can be left out, as `CSM_SKIP` names it, and what it does.
pub fn steps() -> impl Iterator<Item = (String, &'static str)> {
    Step::ALL
        .iter()
        .flat_map(|(step, about)| step.parts().iter().map(move |part| (format!("{step:?}:{part:?}"), *about)))
}

/// Whether a part of a step is to be done: not when `CSM_SKIP=STEP:PART` names it.
pub(crate) fn does(step: Step, part: Part) -> bool {
    static SKIP: OnceLock<Option<(Step, Part)>> = OnceLock::new();
    let parse = || {
        let text = std::env::var("CSM_SKIP").ok()?;
        let all = Step::ALL.iter().flat_map(|(step, _)| step.parts().iter().map(|part| (*step, *part)));
        all.into_iter().find(|(step, part)| format!("{step:?}:{part:?}") == text)
    };
    *SKIP.get_or_init(parse) != Some((step, part))
}

/// `CSM_STOP=STEP` stops this process (SIGSTOP) before that step; `CSM_STOP=STEP:fence` between its moves and its
/// fence; with `#N` behind it, the N-th time that it comes there. It stops once.
pub(crate) fn visit(step: Step, at_fence: bool) {
    static STOP: OnceLock<Option<(String, AtomicI64)>> = OnceLock::new();
    let parse = || {
        let text = std::env::var("CSM_STOP").ok()?;
        let (name, n) = text.split_once('#').unwrap_or((&text, "1"));
        Some((name.to_owned(), AtomicI64::new(n.parse().unwrap_or(1))))
    };
    let Some((name, left)) = STOP.get_or_init(parse) else { return };
    let here = if at_fence { format!("{step:?}:fence") } else { format!("{step:?}") };
    if *name == here && left.fetch_sub(1, Ordering::SeqCst) == 1 {
        stop_self();
    }
}
