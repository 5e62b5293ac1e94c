//! The protocol holds: every state of every configuration here is visited. A floor on the number of
//! states and the list of what must have been reached keep a model that explores nothing from
//! passing.

use std::collections::HashMap;

use csm_model::config::{Config, Faults, Link, Order};
use csm_model::explore::explore;
use csm_model::property;
use csm_model::protocol::Protocol;
use csm_model::state::State;
use stateright::Model;

const LINKS: [Link; 3] = [Link::Coherent, Link::Lender, Link::Incoherent];
const CRASHES: Faults = Faults {
    owners_crash: true,
    readers_crash: true,
    restart: false,
    silence: false,
    reboot: false,
    detach: false,
    words: 0,
};

/// Checks a configuration on every link.
fn holds(config: Config, least_states: usize, reached: &[&str]) {
    holds_on(&LINKS, config, least_states, reached);
}

fn holds_on(links: &[Link], config: Config, least_states: usize, reached: &[&str]) {
    for &link in links {
        let config = Config { link, ..config };
        let verdict = explore(config);
        println!("{link:?}: {} states", verdict.states);
        for (law, run) in &verdict.broken {
            println!("{link:?}: not so: {law}\n{run}");
        }
        assert!(verdict.broken.is_empty(), "{link:?}: a law is broken");
        assert!(verdict.states >= least_states, "{link:?}: only {} states", verdict.states);
        for name in reached {
            assert!(verdict.reached.contains(name), "{link:?}: never reached: {name}");
        }
    }
}

fn base() -> Config {
    Config::new(Link::Coherent)
}

#[test]
fn one_owner_and_one_reader() {
    let reached = [property::LATER_OPENED, property::PLACE_REUSED, property::OLD_KEPT];
    holds(Config { opens: 3, ..base() }, 1_000, &reached[..2]);
    holds(Config { order: Order::AcquireFirst, opens: 3, ..base() }, 1_000, &reached[..2]);
    holds(Config { places: 2, generations: 4, opens: 2, ..base() }, 3_000, &reached);
}

#[test]
fn two_owners_and_two_readers_that_crash() {
    let reached =
        [property::LATER_OPENED, property::PLACE_REUSED, property::DIED_LOCKED, property::DIED_LEASED];
    holds(Config { owners: 2, borrowers: 2, faults: CRASHES, ..base() }, 400_000, &reached);
}

#[test]
fn replacing_tables() {
    let reached = [property::OLD_KEPT, property::PLACE_REUSED, property::DIED_LOCKED];
    let two_places = Config { places: 2, generations: 3, faults: CRASHES, ..base() };
    holds(Config { owners: 2, ..two_places }, 20_000, &reached);
    holds(Config { borrowers: 2, ..two_places }, 300_000, &reached[..2]);
    let acquire_first = Config { order: Order::AcquireFirst, ..two_places };
    holds(Config { owners: 2, ..acquire_first }, 20_000, &reached);
}

#[test]
fn readers_on_both_nodes() {
    let local = Config { locals: 1, track_order: true, faults: CRASHES, ..base() };
    holds(local, 90_000, &[property::LATER_OPENED, property::DIED_LEASED]);
}

#[test]
fn slots_change_hands() {
    let faults = Faults { restart: true, ..CRASHES };
    holds(Config { borrowers: 2, faults, ..base() }, 100_000, &[property::DIED_LEASED]);
}

#[test]
fn silent_nodes_are_quarantined() {
    let faults = Faults { silence: true, ..CRASHES };
    let reached = [property::QUARANTINED, property::PLACE_REUSED];
    holds(Config { owners: 2, opens: 2, faults, ..base() }, 20_000, &reached);
    holds(Config { places: 2, generations: 3, faults, ..base() }, 8_000, &reached);
}

#[test]
fn nodes_that_reboot_or_are_cut_off() {
    let faults = Faults { reboot: true, detach: true, restart: true, ..CRASHES };
    let reached = [property::BACK_AFTER_BOOT, property::DIED_LEASED];
    holds(Config { opens: 2, faults, ..base() }, 15_000, &reached);
    let faults = Faults { reboot: true, ..Faults::default() };
    holds(Config { borrowers: 2, faults, ..base() }, 100_000, &reached[..1]);
}

/// The operator is wrong: the node is alive, or comes back late.
#[test]
fn nodes_that_are_fenced_alive() {
    let word = Faults { words: 1, ..Faults::default() };
    let reached = [property::CAUGHT, property::PLACE_REUSED, property::LATER_OPENED];
    holds(Config { opens: 2, faults: word, ..base() }, 40_000, &reached);
    let faults = Faults { owners_crash: true, ..word };
    holds(Config { owners: 2, faults, ..base() }, 100_000, &reached);
    let acquire_first = Config { order: Order::AcquireFirst, ..base() };
    holds(Config { faults: word, ..acquire_first }, 15_000, &reached);
}

#[test]
fn fenced_nodes_join_again() {
    let reached = [property::CAUGHT, property::BACK_AFTER_FENCE, property::PLACE_REUSED];
    let faults = Faults { words: 1, readers_crash: true, restart: true, ..Faults::default() };
    holds(Config { opens: 2, faults, ..base() }, 70_000, &reached);
    let faults = Faults { words: 2, restart: true, ..Faults::default() };
    holds(Config { opens: 2, faults, ..base() }, 100_000, &reached);
}

#[test]
fn fences_and_reboots() {
    let faults = Faults { words: 1, readers_crash: true, reboot: true, ..Faults::default() };
    let reached = [property::CAUGHT, property::BACK_AFTER_BOOT, property::PLACE_REUSED];
    holds(Config { opens: 2, faults, ..base() }, 100_000, &reached);
}

/// One process reads, or two are about to join, while the node is fenced and given a new incarnation.
#[test]
fn neighbours_on_a_fenced_node() {
    holds_on(&[Link::Lender], one_late(1), 500_000, &[property::BACK_AFTER_FENCE]);
    holds_on(&[Link::Lender], two_late(), 500_000, &[property::BACK_AFTER_FENCE]);
}

fn one_late(words: u8) -> Config {
    let faults = Faults { words, restart: true, ..Faults::default() };
    Config { borrowers: 2, latecomers: 1, generations: 1, faults, ..base() }
}

fn two_late() -> Config {
    Config { latecomers: 2, ..one_late(1) }
}

/// The same and more of it on every link: minutes.
#[test]
#[ignore = "minutes of both cores"]
fn neighbours_on_a_fenced_node_on_every_link() {
    let reached = [property::BACK_AFTER_FENCE];
    holds(one_late(2), 500_000, &reached);
    holds(two_late(), 500_000, &reached);
    let faults = Faults { readers_crash: true, ..one_late(1).faults };
    holds(Config { latecomers: 0, faults, ..one_late(1) }, 1_000_000, &reached);
    let reused = [property::BACK_AFTER_FENCE, property::CAUGHT, property::PLACE_REUSED];
    holds(Config { generations: 2, ..one_late(1) }, 2_000_000, &reused);
}

/// And neighbours on a node that is switched off, fenced and booted.
#[test]
#[ignore = "minutes of both cores"]
fn neighbours_on_a_rebooted_node_on_every_link() {
    let faults = Faults { detach: true, reboot: true, ..Faults::default() };
    let config = Config { borrowers: 2, faults, ..base() };
    holds(config, 500_000, &[property::BACK_AFTER_BOOT, property::PLACE_REUSED]);
    let faults = Faults { words: 1, silence: true, restart: true, ..faults };
    holds(Config { opens: 2, faults, ..base() }, 200_000, &[property::QUARANTINED, property::CAUGHT]);
}

/// Copies that nobody could notice are left out of the state; that must not change a verdict.
/// (The mutations are compared in the same way.)
#[test]
fn leaving_out_dead_copies_changes_nothing() {
    let config = Config { owners: 2, faults: CRASHES, exhaustive_copies: true, ..base() };
    holds(config, 200_000, &[property::LATER_OPENED, property::DIED_LOCKED]);
}

/// Liveness is judged where all processes have come to rest. That covers every run only if every
/// run comes to rest: the graph of all events has no cycle.
#[test]
fn every_run_ends() {
    for link in LINKS {
        // (But for processes that die and are replaced for ever.)
        let faults = Faults { silence: true, detach: true, ..CRASHES };
        let config = Config { link, owners: 2, opens: 2, faults, ..base() };
        let (states, left) = cycles(&Protocol::new(config));
        assert!(states >= 40_000, "{link:?}: only {states} states");
        assert_eq!(left, 0, "{link:?}: states on or behind a cycle");
    }
}

/// Number of states, and how many of them a topological sort cannot place.
fn cycles(protocol: &Protocol) -> (usize, usize) {
    let mut index: HashMap<State, usize> = HashMap::new();
    let mut edges: Vec<Vec<usize>> = Vec::new();
    let mut into: Vec<usize> = Vec::new();
    let mut found = protocol.init_states();
    for state in &found {
        index.insert(*state, index.len());
        into.push(0);
    }
    while edges.len() < found.len() {
        let mut targets = Vec::new();
        for next in protocol.next_states(&found[edges.len()]) {
            let target = *index.entry(next).or_insert(found.len());
            if target == found.len() {
                found.push(next);
                into.push(0);
            }
            into[target] += 1;
            targets.push(target);
        }
        edges.push(targets);
    }
    let mut ready: Vec<usize> = (0..found.len()).filter(|&state| into[state] == 0).collect();
    let mut placed = 0;
    while let Some(state) = ready.pop() {
        placed += 1;
        for &target in &edges[state] {
            into[target] -= 1;
            if into[target] == 0 {
                ready.push(target);
            }
        }
    }
    (found.len(), found.len() - placed)
}
