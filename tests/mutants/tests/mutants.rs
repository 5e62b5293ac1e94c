//! Leaves out one step after the other and prints who noticed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use csm_conformance::process::{Inside, Peer, Role, run_role};
use csm_mutants::scenarios::{ALL, Stage};
use csm_mutants::{EXPLAINED, node};

/// Plays all scenarios until one fails, and says which.
fn play(inside: &mut Inside) {
    for (name, scenario) in ALL {
        inside.say(name);
        scenario(&Stage::new(0));
    }
    inside.say("survived");
}

/// The scenario that fails when `mutant` is left out; None if all pass.
fn killed_by(mutant: Option<&str>) -> Option<String> {
    let env: Vec<_> = mutant.map(|mutant| ("CSM_SKIP", mutant)).into_iter().collect();
    let mut peer = Peer::start_with("play", &[], &env);
    let mut last = String::new();
    while let Some(line) = peer.try_hear() {
        last = line;
    }
    peer.wait();
    (last != "survived").then_some(last)
}

fn main() {
    let roles: &[(&str, Role)] = &[("play", play), ("node", node::role)];
    if let Some(status) = run_role(roles) {
        std::process::exit(status);
    }
    let only: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    if let Some(failed) = killed_by(None) {
        eprintln!("without any mutation this fails: {failed}");
        std::process::exit(1);
    }
    let (mut killed, mut survived, mut explained) = (0, 0, 0);
    println!("{:<28} {:<62} what is left out", "step", "noticed by");
    for (mutant, about) in csm::hooks::steps() {
        if !only.is_empty() && !only.iter().any(|part| mutant.contains(part.as_str())) {
            continue;
        }
        let reason = EXPLAINED.iter().find(|(name, _)| *name == mutant).map(|(_, reason)| *reason);
        let outcome = catch_unwind(AssertUnwindSafe(|| killed_by(Some(&mutant))))
            .unwrap_or_else(|_| Some("hangs".to_owned()));
        let verdict = match (&outcome, reason) {
            (Some(by), _) => {
                killed += 1;
                by.clone()
            }
            (None, Some(reason)) => {
                explained += 1;
                format!("SURVIVES: {reason}")
            }
            (None, None) => {
                survived += 1;
                "SURVIVES UNEXPLAINED".to_owned()
            }
        };
        println!("{mutant:<28} {verdict:<62} {}", about.trim());
    }
    println!("{killed} noticed, {explained} survive with a reason, {survived} without");
    std::process::exit(i32::from(survived > 0));
}
