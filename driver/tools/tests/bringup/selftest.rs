//! `csm-bringup selftest`: what it measures is what the link is, and it says no where it must.

use csm::Context;
use serde_json::{Value, json};

use crate::Scratch;

/// A name for a window of this test.
pub(crate) fn name(test: &str) -> String {
    format!("csm-selftest-{test}-{}", std::process::id())
}

/// Whether a `shm:` or `incoherent:` window of that name is there.
pub(crate) fn is_there(name: &str) -> bool {
    let files = std::fs::read_dir("/dev/shm").expect("/dev/shm");
    files.flatten().any(|file| file.file_name().to_string_lossy().contains(name))
}

/// A step's details.
pub(crate) fn step<'a>(report: &'a Value, name: &str) -> &'a Value {
    let steps = report["steps"].as_array().expect("steps");
    steps.iter().find(|step| step["name"] == name).expect("a step")
}

/// Every step but these passes.
pub(crate) fn passes(report: &Value, but: &[(&str, &str)]) {
    let names = ["same-memory", "aliases", "patterns", "coherence", "arrival", "line-size", "table"];
    for name in names {
        let expected = but.iter().find(|(step, _)| *step == name).map_or("pass", |(_, verdict)| verdict);
        assert_eq!(step(report, name)["verdict"], expected, "{name}: {report:#}");
    }
    assert_eq!(report["steps"].as_array().expect("steps").len(), names.len());
}

/// The needs that are measured on a simulated link are those that it was made with.
fn simulated(profile: &str, line: u64) {
    let scratch = Scratch::new(&format!("profile-{profile}-{line}"));
    let name = name(&format!("{profile}-{line}"));
    let uri = format!("incoherent:{name}?profile={profile}&line={line}&size=8M");
    let report = scratch.json(&["selftest", &uri, "--quick"]);
    // Nothing can show the line of a link that is coherent.
    let (measured, but) = match (profile, line) {
        ("gc", 128) => (64, &[("line-size", "note")][..]),
        _ => (line, &[][..]),
    };
    passes(&report, but);
    let found = &step(&report, "coherence")["details"];
    assert_eq!(
        (&found["said"]["name"], &found["measured"]["name"]),
        (&json!(profile), &json!(profile)),
        "{found:#}"
    );
    assert_eq!(step(&report, "line-size")["details"]["measured_bytes"], measured);
    for direction in found["directions"].as_array().expect("directions") {
        let seen = &direction["seen"];
        assert_eq!(
            (&seen["everything"]["stale"], &seen["everything"]["lines"]),
            (&json!(0), &json!(512)),
            "{seen:#}"
        );
    }
    assert!(!is_there(&name));
}

#[test]
fn nothing_is_needed_of_a_coherent_link() {
    simulated("gc", 64);
    simulated("gc", 128);
}

#[test]
fn the_borrower_alone_is_found_to_need_care_where_a_lender_answers() {
    simulated("lender", 64);
    simulated("lender", 128);
}

#[test]
fn everybody_is_found_to_need_care_where_no_host_answers() {
    simulated("lc", 64);
    simulated("lc", 128);
}

#[test]
fn one_host_passes_and_nothing_is_left() {
    let scratch = Scratch::new("shm");
    let name = name("shm");
    let uri = format!("shm:{name}?size=8M");
    let report = scratch.json(&["selftest", &uri, "--seed", "7"]);
    passes(&report, &[]);
    assert_eq!((&report["seed"], &report["quick"]), (&json!(7), &json!(false)));
    assert_eq!(report["window"]["device_says"]["name"], "gc");
    let patterns = &step(&report, "patterns")["details"];
    assert_eq!(patterns["bytes"], (8 << 20) - (64 << 10), "all of the window but what the ends talk through");
    // Six patterns, written by two ends, read by two.
    assert_eq!(patterns["runs"].as_array().expect("runs").len(), 24);
    assert_eq!(step(&report, "table")["details"]["right"], true);
    assert!(!is_there(&name));
}

#[test]
fn text_says_what_is_proof_and_what_is_not() {
    let scratch = Scratch::new("text");
    let text =
        scratch.ok(&["selftest", &format!("incoherent:{}?profile=lender&size=8M", name("text")), "--quick"]);
    for part in [
        "the device says lender; measured: lender",
        "the owner (node 0) need not write back, says the device; measured: no stale line in 512 tries without. That is no proof",
        "the borrower (node 1) must invalidate, says the device; measured: 512 of 512 lines stale without. That is proof",
        "pass  table",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

#[test]
fn a_region_is_not_destroyed_unasked() {
    let scratch = Scratch::new("exists");
    let uri = format!("shm:{}", name("exists"));
    let context = Context::new().expect("context");
    let region = context.create(&format!("{uri}?size=16M")).expect("region");
    for command in ["selftest", "bench"] {
        scratch.fails_both(1, &[command, &uri, "--quick"], "add --overwrite");
        scratch.fails(1, &[command, &uri, "--quick", "--overwrite"], "in use");
    }
    region.stats().expect("as it was");
    drop(region);
    passes(&scratch.json(&["selftest", &uri, "--quick", "--overwrite"]), &[]);
    assert!(!is_there(&name("exists")));
}

#[test]
fn what_cannot_be_tested_is_said() {
    let scratch = Scratch::new("bad");
    let shm = format!("shm:{}", name("bad"));
    for (code, args, part) in [
        (
            2,
            &["selftest", &format!("{shm}?size=4M")][..],
            "the window has 4.0 MiB; the test needs 8.0 MiB at least",
        ),
        (2, &["selftest", &shm, "--node", "2"], "between the owner, node 0, and node 1"),
        (2, &["selftest", &shm, "--both", "--node", "1"], "--both starts node 1 itself"),
        (2, &["selftest", &format!("{shm}?node=0"), "--node", "1"], "the URI says node=0"),
        (2, &["selftest", "nothing"], "no scheme"),
        (2, &["selftest", &shm, "--timeout", "5"], "as in 30s"),
        (3, &["selftest", "dax:/dev/dax99.9", "--both"], "/dev/dax99.9"),
        (2, &["selftest", "file:relative"], "whole path"),
    ] {
        scratch.fails(code, args, part);
    }
    assert!(!is_there(&name("bad")));
}
