//! Each command's error on a machine without devices.

use crate::{Scratch, example};

const LENDER: &str = "thymesisflow:IBM,RMEM?role=memory&size=4M&slot=18";
const BORROWER: &str = "thymesisflow:IBM,RMEM?role=compute&size=4M&slot=18";

#[test]
fn wrong_command_lines() {
    let scratch = Scratch::new("usage");
    for (args, part) in [
        (&["frobnicate"][..], "unrecognized subcommand 'frobnicate'"),
        (&["attach"], "<URI>"),
        (&["attach", "shm:x", "--region", "r"], "cannot be used with"),
        (&["attach", "shm:x?node=0", "--node", "1"], "the URI says node=0"),
        (&["attach", "shm:x", "--timeout", "5"], "a whole number with ms, s or m"),
        (&["attach", "shm:x", "--timeout", "2h"], "an hour at most"),
        (&["attach", "shm:x", "--mode", "0777"], "as in 0660"),
        (&["detach"], "<NAME>"),
        (&["counters"], "<NAME>"),
        (&["probe", "--require"], "a value is required"),
    ] {
        scratch.fails(2, args, part);
    }
}

#[test]
fn the_documentation_has_the_exit_codes() {
    let help = Scratch::new("help").ok(&["--help"]);
    let codes = help.split_once("Exit codes:\n").expect("exit codes").1;
    assert_eq!(codes.lines().count(), 7);
    let page = std::fs::read_to_string(example().with_file_name("bring-up.md")).expect("the page");
    assert!(page.contains(codes.trim_end()), "{codes}");
}

#[test]
fn wrong_uris() {
    let scratch = Scratch::new("uris");
    for (uri, part) in [
        ("rdma:x", "unknown scheme \"rdma\""),
        ("thymesisflow:IBM,RMEM", "size= is missing"),
        ("thymesisflow:IBM,RMEM?size=4M", "role= is missing"),
        ("thymesisflow:IBM,RMEM?role=memory&size=4M", "slot= is missing: the region's address must be known"),
        ("thymesisflow:IBM,RMEM?role=compute&size=4M", "ea= is missing: the lender's attach prints it"),
        ("thymesisflow:IBM,RMEM?role=lender&size=4M", "memory lends, compute borrows"),
        ("thymesisflow:IBM,RMEM?role=memory&size=3M&slot=0", "use a multiple of 2 MiB"),
        ("thymesisflow:IBM,RMEM?role=memory&size=1T&slot=0", "fits a section of 1 TiB"),
        ("thymesisflow:IBM,RMEM?role=memory&size=4M&slot=x", "not a whole number"),
        ("thymesisflow:IBM,RMEM?role=memory&size=4M&slot=0&port=2", "write 0, 1 or both"),
        ("thymesisflow:IBM,RMEM?role=compute&size=4M&slot=0&section=8", "sections 0 to 7"),
        (
            "thymesisflow:IBM,RMEM?role=compute&size=4M&slot=0&via=hotplug",
            "with len=510M there are blocks to add",
        ),
        ("thymesisflow:IBM,RMEM?role=memory&size=4M&slot=0&name=a/b", "use 1 to 100 letters"),
    ] {
        scratch.fails_both(2, &["attach", uri], part);
        scratch.fails(2, &["attach", uri, "--dry-run"], part);
    }
}

#[test]
fn devices_that_are_not_there() {
    let scratch = Scratch::new("missing");
    scratch.fails_both(
        3,
        &["attach", LENDER],
        "/sys/class/ocxl is not there: the kernel's ocxl driver is not loaded",
    );
    scratch.fails_both(3, &["attach", BORROWER], "there is no AFU IBM,RMEM");
    scratch.fails_both(
        3,
        &["attach", "dax:/dev/dax99.0"],
        "csm-bringup probe says what dax devices there are",
    );
    scratch.fails_both(3, &["attach", "vfio:ffff:1f:1f.7"], "there is no PCI device ffff:1f:1f.7");
    scratch.fails_both(3, &["detach", "shared"], "nothing is attached on this machine as \"shared\"");
    scratch.fails_both(3, &["detach", LENDER], "nothing is attached on this machine as \"0\"");
    scratch.fails_both(3, &["status", "shared"], "nothing is attached on this machine as \"shared\"");
    scratch.fails_both(3, &["counters", LENDER], "there is no AFU IBM,RMEM");
    scratch.fails_both(2, &["counters", "shm:x"], "only thymesisflow: links have counters");
    scratch.fails_both(2, &["detach", "../etc"], "use 1 to 100 letters");
    assert_eq!(scratch.json(&["status"])["attached"], serde_json::json!([]));
    assert_eq!(scratch.ok(&["status"]), "nothing is attached on this machine\n");
    let left = std::fs::read_dir(scratch.0.join("run")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "what fails leaves nothing");
}

#[test]
fn cluster_files() {
    let scratch = Scratch::new("cluster");
    let file = example();
    let file = file.to_str().expect("UTF-8");
    scratch.fails_both(2, &["plan", "/nonexistent.toml"], "read cluster file \"/nonexistent.toml\"");
    scratch.fails_both(2, &["plan", file, "--node", "2"], "has no node 2; it has 0 (lender), 1 (borrower)");
    scratch.fails_both(
        2,
        &["attach", "--cluster", file, "--region", "x", "--node", "0"],
        "has no region \"x\"",
    );
    scratch.fails_both(2, &["attach", "--cluster", file, "--region", "shared"], "which is no node's host");
    scratch.fails_both(
        3,
        &["attach", "--cluster", file, "--region", "shared", "--node", "1"],
        "no AFU IBM,RMEM",
    );
    scratch.fails_both(
        3,
        &["detach", "--cluster", file, "--region", "shared", "--node", "1"],
        "as \"shared\"",
    );
    let bad = scratch.0.join("bad.toml");
    let text = std::fs::read_to_string(file).expect("the example").replace("section = 0", "section = 9");
    std::fs::write(&bad, text).expect("a file");
    let at = format!("{}:30:11: region \"shared\" on \"borrower\": section: section 9", bad.display());
    scratch.fails_both(2, &["plan", bad.to_str().expect("UTF-8")], &at);
}

#[test]
fn what_needs_no_attaching_says_so() {
    let scratch = Scratch::new("plain");
    for uri in ["shm:x", "incoherent:x", "file:/tmp/x", "dax:/dev/null"] {
        assert!(scratch.ok(&["attach", uri]).contains("nothing to attach"), "{uri}");
        assert_eq!(scratch.json(&["attach", uri])["held"], false);
    }
}

#[test]
fn dry_runs_touch_nothing() {
    let scratch = Scratch::new("dry");
    let steps = scratch.json(&["attach", LENDER, "--dry-run"]);
    assert_eq!(steps["steps"][2], "write 0x00 = 0x1: initialise the tag FIFO, send ACTAG");
    let text = scratch.ok(&[
        "attach",
        "thymesisflow:IBM,RMEM?role=compute&size=510M&slot=18&via=hotplug&port=both",
        "--dry-run",
    ]);
    assert!(text.contains("write 0x78 = 0x3") && text.contains("write 0x20 = 0x520000000003"), "{text}");
    assert!(text.contains("add 1 memory blocks of 256.0 MiB at real address 0x2000000000000"), "{text}");
    assert!(!scratch.0.join("run").exists());
}

#[test]
fn cluster_uris_are_understood_where_uris_are() {
    let scratch = Scratch::new("cluster-uri");
    let uri = format!("cluster:shared?file={}&node=1", example().display());
    assert!(scratch.ok(&["attach", &uri, "--dry-run"]).contains("write 0x20 = 0x900000000001"));
    scratch.fails_both(3, &["attach", &uri], "there is no AFU IBM,RMEM");
    scratch.fails_both(3, &["detach", &uri], "nothing is attached on this machine as \"shared\"");
    scratch.fails_both(3, &["counters", &uri], "there is no AFU IBM,RMEM");
}

#[test]
fn the_state_of_a_process_that_died_is_seen_and_cleared() {
    let scratch = Scratch::new("dead");
    let run = scratch.0.join("run");
    std::fs::create_dir_all(&run).expect("run");
    let left = scratch.0.join("window");
    std::fs::write(&left, "x").expect("a file");
    let state = serde_json::json!({
        "name": "shared", "uri": LENDER, "pid": 12345, "state": "attached", "since_unix_s": 0,
        "device": { "role": "memory", "file": left },
    });
    std::fs::write(run.join("shared.json"), state.to_string()).expect("a state file");
    let status = scratch.json(&["status"]);
    assert_eq!(
        (&status["attached"][0]["live"], &status["attached"][0]["pid"]),
        (&false.into(), &12345.into())
    );
    assert!(
        scratch.ok(&["status", "shared"]).contains("process 12345 died; csm-bringup detach shared clears up")
    );
    assert!(scratch.ok(&["detach", "shared", "--dry-run"]).contains("close the AFU"));
    assert!(left.exists());
    assert_eq!(scratch.json(&["detach", "shared"])["was"], "dead");
    assert!(!left.exists() && std::fs::read_dir(&run).expect("run").next().is_none());
}
