//! What must hold, and what must be reached for that to mean anything.

use stateright::Property;

use crate::memory::{COMMIT, LINES, PLACES, PROCS, data, lease};
use crate::protocol::Protocol;
use crate::state::{Life, Place, State, commit};

/// Safety: what a reader reads is of the generation it opened, all of it.
pub const WHOLE: &str = "a reader sees one generation, whole";
/// Safety: nothing is written where a reader has a table open.
pub const NO_REUSE: &str = "nothing is reused under a lease";
/// Safety: nobody but its holder ends a lease.
pub const LEASE_STANDS: &str = "a lease stands while its table is open";
/// Safety: once the fence stands (and the operator is told so), a fenced process opens nothing more.
pub const FENCED_OUT: &str = "a fenced process opens nothing";
/// Safety: what it reads from then on does not pass its check.
pub const FENCED_KNOWS: &str = "a fenced process knows when it checks";
/// Safety: what one open has acted on, every later open sees too, on any node.
pub const IN_ORDER: &str = "no open goes back";
/// Safety: the commit word is home whenever the catalog lock is free, so that helping is needed
/// only after a take-over.
pub const UNLOCKED_IS_HOME: &str = "the commit word is home while nobody holds the lock";
/// Liveness: when all processes have come to rest, all space is back for which proof is there.
pub const RETURNS: &str = "space returns once proof is there";
/// Reached: a generation after the first is open.
pub const LATER_OPENED: &str = "a later generation is opened";
/// Reached: a generation is open that is no longer the newest.
pub const OLD_KEPT: &str = "an old generation is kept for its reader";
/// Reached: a place holds its second table.
pub const PLACE_REUSED: &str = "a place is used again";
/// Reached: an owner process dies holding the lock.
pub const DIED_LOCKED: &str = "a process dies holding the lock";
/// Reached: a reader's lease outlives it.
pub const DIED_LEASED: &str = "a process dies holding a lease";
/// Reached: space is quarantined.
pub const QUARANTINED: &str = "space is quarantined";
/// Reached: a table is open on a node that was rebooted.
pub const BACK_AFTER_BOOT: &str = "a rebooted node opens a table";
/// Reached: a table is open on a node that was fenced and not rebooted.
pub const BACK_AFTER_FENCE: &str = "a fenced node has joined again and opens a table";
/// Reached: a process that was fenced alive has read other bytes, and knows.
pub const CAUGHT: &str = "a check finds that other bytes were read";

/// All of them.
pub(crate) fn all() -> Vec<Property<Protocol>> {
    let always = Property::<Protocol>::always;
    let sometimes = Property::<Protocol>::sometimes;
    vec![
        always(WHOLE, |_, s: &State| !s.wrongs.saw_other_bytes),
        always(NO_REUSE, |_, s: &State| !s.wrongs.reused_under_lease),
        always(LEASE_STANDS, |m: &Protocol, s: &State| {
            (0..m.config().procs()).all(|p| s.lease_stands(m.config(), p))
        }),
        always(FENCED_OUT, |_, s: &State| !s.wrongs.opened_fenced),
        always(FENCED_KNOWS, |_, s: &State| !s.wrongs.passed_fenced),
        always(IN_ORDER, |_, s: &State| !s.wrongs.went_back),
        always(UNLOCKED_IS_HOME, |_, s: &State| {
            s.lock.is_some() || (0..PROCS).all(|view| !s.memory.is_dirty(view, COMMIT))
        }),
        always(RETURNS, |m: &Protocol, s: &State| !m.is_quiet(s) || m.is_all_back(s)),
        sometimes(LATER_OPENED, |_, s: &State| s.procs.iter().any(|proc| proc.open && proc.generation > 1)),
        sometimes(OLD_KEPT, |_, s: &State| {
            let newest = commit::generation(s.commit_word());
            s.procs.iter().any(|proc| proc.open && proc.generation < newest)
        }),
        sometimes(PLACE_REUSED, |m: &Protocol, s: &State| {
            (0..m.config().places).any(|place| s.memory.home(data(place)) > m.config().places)
        }),
        sometimes(DIED_LOCKED, |_, s: &State| {
            s.lock.is_some_and(|holder| s.procs[usize::from(holder)].life != Life::Running)
        }),
        sometimes(DIED_LEASED, |m: &Protocol, s: &State| {
            (0..m.config().procs()).any(|p| s.procs[p].life == Life::Dead && s.memory.home(lease(p)) != 0)
        }),
        sometimes(QUARANTINED, |_, s: &State| s.places.contains(&Place::Quarantined)),
        sometimes(BACK_AFTER_BOOT, |m: &Protocol, s: &State| {
            s.rebooted && m.borrowers().any(|p| s.procs[p].open)
        }),
        sometimes(BACK_AFTER_FENCE, |_, s: &State| {
            !s.rebooted && s.procs.iter().any(|proc| proc.open && proc.incarnation > 0)
        }),
        sometimes(CAUGHT, |_, s: &State| s.procs.iter().any(|proc| proc.misread && proc.stale)),
    ]
}

impl Protocol {
    /// Whether every process has come to rest, and every store buffer has drained.
    fn is_quiet(&self, state: &State) -> bool {
        let drained =
            |p| self.config().has_cache(p) || (0..LINES).all(|line| !state.memory.is_dirty(p, line));
        let mut steps = Vec::new();
        self.steps(state, &mut steps);
        steps.is_empty() && (0..self.config().procs()).all(drained)
    }

    /// Whether every place is back, except those under the lease of a process that nobody who
    /// could prove its death is left to reap.
    fn is_all_back(&self, state: &State) -> bool {
        let owner_lives =
            (0..usize::from(self.config().owners)).any(|p| state.procs[p].life == Life::Running);
        let excused = |place| {
            state.is_retired(place)
                && state.holders(self.config(), place).any(|q| !state.has_neighbour(self.config(), q))
        };
        let back = |place| state.places[place] == Place::Free || excused(place);
        !owner_lives || (!commit::is_live(state.commit_word()) && (0..PLACES).all(back))
    }
}
