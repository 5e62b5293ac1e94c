//! `csm-bringup bench`: what is measured and how it is told; speeds are nobody's business here.

use serde_json::Value;

use crate::selftest::{is_there, name};
use crate::{Scratch, outcome};

/// Runs a quick benchmark on a small window and checks every row.
fn quick(uri: &str) -> Value {
    let scratch = Scratch::new("bench");
    let report = scratch.json(&["bench", uri, "--quick", "--bytes", "1M", "--threads", "2"]);
    let rows = report["rows"].as_array().expect("rows");
    for row in rows {
        for figure in ["local", "window"] {
            let median = row[figure].as_f64().expect("a figure");
            let runs = row[format!("{figure}_runs")].as_array().expect("runs");
            assert!(median > 0.0 && runs.len() == 3, "{row:#}");
            assert!(
                runs.iter().any(|run| run.as_f64() == Some(median)),
                "a median is one of the runs: {row:#}"
            );
        }
        assert!(row["includes"].as_str().is_some_and(|text| !text.is_empty()), "{row:#}");
    }
    let find = |group: &str, what: &str| {
        let row = rows.iter().find(|row| row["group"] == group && row["what"] == what);
        row.unwrap_or_else(|| panic!("no {group} {what} in {report:#}"))
    };
    assert_eq!(find("serial", "write u64, 2 threads")["power9_remote"], 5.4);
    assert_eq!(find("serial", "read u64, 1 thread")["power9_remote"], 1.13);
    assert_eq!(find("strided", "read every 32")["power9_remote"], 0.19);
    assert_eq!(find("flush", "invalidate, dirty")["power9_local"], 61.3);
    assert_eq!(find("latency", "pointer chase")["unit"], "ns a load");
    assert!(find("home", "write u64, 2 threads")["power9_remote"].is_null());
    report
}

#[test]
fn it_measures_shared_memory_and_leaves_nothing() {
    let name = name("bench-shm");
    let report = quick(&format!("shm:{name}"));
    assert_eq!((&report["bytes"], &report["window_bytes"]), (&(1 << 20).into(), &(1 << 20).into()));
    assert!(!is_there(&name));
}

#[test]
fn it_measures_the_simulated_link() {
    quick(&format!("incoherent:{}?profile=lc", name("bench-sim")));
}

#[test]
fn text_stands_beside_the_reference_and_says_whose_it_is() {
    let scratch = Scratch::new("bench-text");
    let uri = format!("shm:{}", name("bench-text"));
    let child = scratch.start(&["bench", &uri, "--quick", "--bytes", "1M", "--threads", "2"]);
    let local = format!("csm-bench-local-{}", child.id());
    let (code, text, err) = outcome(child.wait_with_output().expect("wait"));
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(!is_there(&local));
    for part in [
        "POWER9: the reference's AC922 with ThymesisFlow, another machine",
        "Flushes, ms a GiB",
        "48 threads",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

#[test]
fn what_cannot_be_measured_is_said() {
    let scratch = Scratch::new("bench-bad");
    let uri = format!("shm:{}", name("bench-bad"));
    scratch.fails(2, &["bench", &uri, "--bytes", "1K"], "measure on 1M at least");
    scratch.fails_both(2, &["bench", &format!("{uri}?size=2M"), "--bytes", "64M"], "the window has 2.0 MiB");
    scratch.fails(2, &["bench", &uri, "--threads", "0"], "--threads");
    scratch.fails(3, &["bench", "dax:/dev/dax99.9"], "/dev/dax99.9");
    assert!(!is_there(&name("bench-bad")));
}
