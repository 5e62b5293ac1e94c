//! Running the checker, and saying what it found.

use std::collections::BTreeMap;

use stateright::{Checker, HasDiscoveries, Model, Path};

use crate::config::Config;
use crate::property;
use crate::protocol::{Action, Protocol};
use crate::state::State;

/// The properties that must hold; the others are states that must be reached.
const LAWS: [&str; 8] = [
    property::WHOLE,
    property::NO_REUSE,
    property::FENCED_OUT,
    property::FENCED_KNOWS,
    property::LEASE_STANDS,
    property::IN_ORDER,
    property::UNLOCKED_IS_HOME,
    property::RETURNS,
];

/// What the whole state space holds.
#[derive(Debug)]
pub struct Verdict {
    /// Number of distinct states.
    pub states: usize,
    /// A run that breaks a law, for each law that can be broken.
    pub broken: BTreeMap<&'static str, String>,
    /// What was reached.
    pub reached: Vec<&'static str>,
}

/// Visits every state.
#[must_use]
pub fn explore(config: Config) -> Verdict {
    let protocol = Protocol::new(config);
    let checker = protocol.checker().spawn_dfs().join();
    let mut verdict =
        Verdict { states: checker.unique_state_count(), broken: BTreeMap::new(), reached: Vec::new() };
    for (name, path) in checker.discoveries() {
        if LAWS.contains(&name) {
            verdict.broken.insert(name, narrate(checker.model(), path));
        } else {
            verdict.reached.push(name);
        }
    }
    verdict
}

/// Looks for a shortest run that breaks one law.
#[must_use]
pub fn refute(config: Config, law: &'static str) -> Option<String> {
    let protocol = Protocol::new(config);
    let enough = HasDiscoveries::AllOf([law].into());
    let checker = protocol.checker().finish_when(enough).spawn_bfs().join();
    checker.discovery(law).map(|path| narrate(checker.model(), path))
}

/// A run, one line an event.
fn narrate(protocol: &Protocol, path: Path<State, Action>) -> String {
    let events = path.into_vec().into_iter().filter_map(|(state, action)| {
        action.map(|action| format!("  {}\n", protocol.describe(&state, action)))
    });
    events.collect()
}
