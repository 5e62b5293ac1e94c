//! One writer a line: no line of a region's metadata is ever stored to by processes of two nodes.
//!
//! Every process writes down the lines that it stores to (`CSM_STORES`), a file a node, while they do all there is to
//! do: come and go, publish and read, die and be cleared up after, be fenced and join again, start anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use csm::Context;
use csm_conformance::process::{Inside, Peer};
use csm_conformance::table::{assert_sound, publish_stamp};
use csm_conformance::{Fixture, Outcome, Scratch};

/// Grows region 0, and fences node 1.
pub fn chores_role(inside: &mut Inside) {
    let region = Context::new().expect("context").open(inside.arg(0)).expect("open");
    region.grow(24 << 20).expect("grow");
    publish_stamp(&region, "t", 100, 1).expect("publish");
    region.fence_node(1).expect("fence");
    region.remove("t").expect("remove");
    region.reap().expect("reap");
    assert_sound(&region);
}

/// A directory of files for the nodes' lines, gone with this.
struct Logs(PathBuf);

impl Logs {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("csm-writers-{}-{name}", std::process::id()));
        std::fs::create_dir(&dir).expect("a directory");
        Self(dir)
    }

    fn path(&self, node: usize) -> String {
        self.0.join(node.to_string()).to_str().expect("a path in UTF-8").to_owned()
    }

    /// The lines that a node stored to.
    fn lines(&self, node: usize) -> BTreeSet<String> {
        let text = std::fs::read_to_string(Path::new(&self.path(node))).expect("the log of a node");
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{}: {e}", self.0.display());
        }
    }
}

/// Everything at once, and who stored where.
pub fn run(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let logs = Logs::new(fixture.name());
    let start = |role: &str, node: usize, uri: &str, more: &str| {
        Peer::start_with(role, &[uri, more], &[("CSM_STORES", &logs.path(node))])
    };
    let at_work = |role: &str, node: usize, more: &str| {
        let mut peer = start(role, node, &scratch.with(&format!("node={node}{more}")), &node.to_string());
        peer.await_line("at work");
        peer
    };
    let shape = "size=20M&max=24M&catalog=32&nodes=3&members=8&leases=560";
    start("create", 0, &scratch.to_create(shape), &(1u64 << 40).to_string()).finish();
    let workers = [at_work("worker", 0, ""), at_work("worker", 0, "")];
    let readers = [at_work("reader-of-all", 1, ""), at_work("reader-of-all", 1, "")];
    let other = at_work("reader-of-all", 2, "");
    let mut passing = start("come-and-go", 0, &scratch.uri, "7");
    passing.await_line("ready");
    passing.await_line("done");
    passing.finish();
    let [worker, left] = workers;
    worker.kill();
    readers.into_iter().for_each(Peer::kill);
    // Whoever comes next clears up.
    let mut fenced = Peer::start_with("reader", &[&scratch.with("node=1")], &[("CSM_STORES", &logs.path(1))]);
    fenced.await_line("ready");
    start("chores", 0, &scratch.uri, "").finish();
    fenced.say("leave");
    fenced.finish();
    at_work("reader-of-all", 1, "").kill();
    if scratch.has("boot") {
        at_work("reader-of-all", 1, "&boot=2").kill();
    }
    other.kill();
    left.kill();
    start("chores-left", 0, &scratch.uri, "").finish();

    let lines = [0, 1, 2].map(|node| logs.lines(node));
    for (node, most) in [(0, 100), (1, 5), (2, 5)] {
        assert!(lines[node].len() > most, "node {node} stored to {} lines", lines[node].len());
    }
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        let both: Vec<_> = lines[one].intersection(&lines[other]).collect();
        assert!(both.is_empty(), "nodes {one} and {other} both stored to {both:?}");
    }
    Ok(())
}

/// Clears region 0 of what the dead left, and of its tables.
pub fn chores_left_role(inside: &mut Inside) {
    let region = Context::new().expect("context").open(inside.arg(0)).expect("open");
    for table in region.tables().expect("tables") {
        region.remove(&table.name).expect("remove");
    }
    assert_sound(&region);
}
