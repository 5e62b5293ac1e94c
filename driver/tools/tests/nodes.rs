//! Several nodes: reading on one what another wrote, on a simulated link, and an operator's fence.
#![allow(clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::{Scratch, fails, ok};
use csm::{Context, OpenOptions};
use serde_json::{Value, json};

fn node(scratch: &Scratch, number: u64) -> Value {
    let stat = scratch.json("stat");
    let nodes = stat["nodes"].as_array().expect("nodes").clone();
    nodes.into_iter().find(|node| node["node"] == json!(number)).expect("a node")
}

/// A region on a simulated link, with a table of one column.
fn scratch(test: &str) -> Scratch {
    let mut scratch = Scratch::new(test);
    scratch.uri = scratch.uri.replace("shm:", "incoherent:");
    ok(&["create", &format!("{}?size=16M&nodes=3", scratch.uri)]);
    scratch.put("t", &scratch.file("t.csv", "n\n1\n2\n3\n"));
    scratch
}

#[test]
fn another_node_reads_and_changes_nothing() {
    let scratch = scratch("nodes");
    let borrowed = format!("{}?node=1", scratch.uri);
    assert_eq!(ok(&["cat", &borrowed, "t", "--format", "csv"]), "n\n1\n2\n3\n");
    assert!(ok(&["ls", &borrowed]).contains('t'));
    fails(1, &["rm", &borrowed, "t"], "only processes of its owner, node 0");
    fails(1, &["fence", &borrowed, "2", "--confirm-off"], "only processes of its owner, node 0");
    let stat = ok(&["stat", &scratch.uri]);
    assert!(
        stat.contains("not kept coherent between nodes; all write back and invalidate; lines of 128 bytes"),
        "{stat}"
    );
    assert_eq!(scratch.json("stat")["coherence"]["borrowers_invalidate"], json!(true));
    scratch.verify();
}

#[test]
fn a_silent_node_is_in_quarantine_until_it_is_fenced() {
    let scratch = scratch("fence");
    let region = Context::new().expect("context").open(&format!("{}?node=1", scratch.uri)).expect("open");
    let table = region.open_table("t", &OpenOptions::default()).expect("table");
    assert_eq!((&node(&scratch, 1)["state"], &node(&scratch, 1)["leases"]), (&json!("present"), &json!(1)));

    fails(2, &["fence", &scratch.uri, "1"], "--confirm-off");
    fails(1, &["fence", &scratch.uri, "0", "--confirm-off"], "cannot be fenced");
    fails(1, &["fence", &scratch.uri, "3", "--confirm-off"], "cannot be fenced");
    fails(1, &["fence", &scratch.uri, "2", "--confirm-off"], "never had the region open");
    let told = ok(&["fence", &scratch.uri, "1", "--confirm-off"]);
    assert!(told.contains("fenced node 1: 1 leases count no more"), "{told}");
    assert_eq!(node(&scratch, 1)["state"], json!("fenced"));
    assert!(ok(&["stat", &scratch.uri]).contains("declared off by an operator"));

    // Late as it is, the node learns it.
    let e = table.check().expect_err("fenced");
    assert_eq!(e.kind(), csm::ErrorKind::Fenced, "{e}");
    fails(1, &["cat", &format!("{}?node=1", scratch.uri), "t"], "processes of it still have the region open");
    drop((table, region));
    assert_eq!(ok(&["cat", &format!("{}?node=1", scratch.uri), "t", "--format", "csv"]), "n\n1\n2\n3\n");
    assert_eq!(node(&scratch, 1)["state"], json!("present"));
}

#[test]
fn a_dead_reader_without_a_lease_keeps_nothing() {
    let scratch = scratch("quarantine");
    // A reader that is stopped: it gives no sign of life, and nothing is proven.
    let mut reader =
        common::command(&["wait", &format!("{}?node=1", scratch.uri), "never", "--timeout", "600s"])
            .spawn()
            .expect("a reader");
    let until = Instant::now() + Duration::from_secs(60);
    while scratch.json("stat")["nodes"].as_array().is_none_or(|nodes| nodes.len() < 2) {
        assert!(Instant::now() < until, "the reader never came");
    }
    reader.kill().expect("kill");
    reader.wait().expect("wait");
    // It has no lease, so that nothing is in quarantine; its slot is cleared by the next process of its node.
    assert_eq!(node(&scratch, 1)["state"], json!("present"));
    ok(&["ls", &format!("{}?node=1", scratch.uri)]);
    assert_eq!(node(&scratch, 1)["members"], json!(0));
}
