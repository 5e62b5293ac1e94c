//! The plays. The process that runs them is of the owner's node; readers are of node 1, each a process of its own.
//!
//! Regions are small, so that memory that is not protected is soon used again, and every table is stamped, so
//! that bytes of another one are seen. Without an adversary (seed 0) the simulated link moves nothing unasked and
//! everything that was started at the fence, so most plays go the same way every time.

use csm::{Context, ErrorKind, NodeState, Region};
use csm_conformance::fixture::small;
use csm_conformance::table::publish_stamp;

use crate::node::{Node, eventually};

/// A play and its name.
pub type Scenario = (&'static str, fn(&Stage));

/// All of them.
pub const ALL: &[Scenario] = &[
    ("a table is read as it was published", reads_what_was_published),
    ("memory that is used again is read anew", reads_what_came_after),
    ("a table opened and not yet read stays", lease_protects),
    ("memory returns when the reader closes", lease_ends),
    ("memory returns when the dead reader is cleared up after", lease_of_the_dead_ends),
    ("memory returns when who clears up after the dead dies too", lease_of_the_dead_ends_late),
    ("a late lease is noticed", late_lease),
    ("a lease that is still on its way", lease_on_its_way),
    ("what a dead publisher committed is brought home", dead_publisher),
    ("what a stopped publisher committed is brought home by its reader", stopped_publisher),
    ("a node learns of names, members and growth", news),
    ("raw extents", raw_extents),
    ("a fenced node is told", fenced),
    ("a fenced node comes back", comes_back),
    ("a fenced node comes back, and dies on the way", dies_coming_back),
    ("a descriptor of another generation is refused", other_generation),
    ("a node gives signs of life", signs_of_life),
];

const ROWS: i64 = 2000;

/// A region for one play, and this process's handle on it.
pub struct Stage {
    context: Context,
    uri: String,
    region: Option<Region>,
}

impl Stage {
    /// Makes a region whose link's adversary draws from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let uri = format!("incoherent:mutants-{}", std::process::id());
        let context = Context::new().expect("context");
        // What a play before this one left when it failed.
        let _ = context.destroy(&uri);
        let region = context.create(&format!("{uri}?{}&max=32M&seed={seed}", small(2))).expect("create");
        Self { context, uri, region: Some(region) }
    }

    fn region(&self) -> &Region {
        self.region.as_ref().expect("open")
    }

    fn publish(&self, name: &str, stamp: i64) {
        publish_stamp(self.region(), name, ROWS, stamp).expect("publish");
    }

    fn remove(&self, name: &str) {
        self.region().remove(name).expect("remove");
    }

    /// A process of node `node` that has the region open.
    fn node(&self, node: u64) -> Node {
        Node::ready(&format!("{}?node={node}", self.uri))
    }

    /// One that will stop before a step.
    fn node_that_stops(&self, node: u64, stop: &str, more: &str) -> Node {
        let mut peer = Node::start(&format!("{}?node={node}{more}", self.uri), Some(stop));
        assert_eq!(peer.hear(), "ready");
        peer
    }

    /// Uses all memory that is not protected, for tables of another stamp.
    fn use_all_memory(&self, stamp: i64) {
        let mut names = Vec::new();
        loop {
            let name = format!("filler {}", names.len());
            match publish_stamp(self.region(), &name, ROWS, stamp) {
                Ok(_) => names.push(name),
                Err(e) if e.kind() == ErrorKind::RegionFull => break,
                Err(e) => panic!("{e}"),
            }
        }
        assert!(names.len() > 5, "room for {} tables", names.len());
        names.iter().for_each(|name| self.remove(name));
    }

    fn all_memory_returns(&self) {
        eventually("all memory returns", || {
            let stats = self.region().stats().expect("stats");
            let report = self.region().verify().expect("verify");
            assert_eq!(report.problems, Vec::<String>::new());
            stats.retired == 0 && stats.region_owned_bytes == 0
        });
    }

    fn state_of(&self, node: u64) -> NodeState {
        let nodes = self.region().nodes().expect("nodes");
        nodes.iter().find(|info| info.node == node).expect("a node").state
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.region = None;
        if let Err(e) = self.context.destroy(&self.uri) {
            eprintln!("{e}");
        }
    }
}

fn reads_what_was_published(stage: &Stage) {
    stage.publish("t", 1);
    let mut reader = stage.node(1);
    reader.must("wait t", "ok");
    reader.must("open t", "ok");
    reader.must("read t", "1");
    stage.publish("t", 2);
    reader.must("read t", "1");
    reader.must("check t", "ok");
    reader.must("open t", "ok");
    reader.must("read t", "2");
    reader.must("close t", "ok");
    stage.remove("t");
    reader.must("open t", "error NameNotFound");
    stage.all_memory_returns();
}

fn reads_what_came_after(stage: &Stage) {
    let mut reader = stage.node(1);
    for stamp in 0..20 {
        // Small and large ones, so that descriptors and data come to lie where the reader has read others.
        publish_stamp(stage.region(), "t", 1 + stamp * 97 % ROWS, stamp).expect("publish");
        reader.must("open t", "ok");
        reader.must("read t", &stamp.to_string());
        reader.must("close t", "ok");
        stage.remove("t");
    }
}

fn lease_protects(stage: &Stage) {
    stage.publish("t", 1);
    let mut reader = stage.node(1);
    reader.must("open t", "ok");
    stage.publish("t", 2);
    stage.use_all_memory(9);
    // Only now does the reader fetch what its lease kept.
    reader.must("read t", "1");
    // More leases than fit the first block, so that further blocks count too.
    for i in 0..60 {
        stage.publish("t", 100 + i);
        reader.must("open t", "ok");
        reader.must("read t", &(100 + i).to_string());
    }
}

fn lease_ends(stage: &Stage) {
    stage.publish("t", 1);
    let mut reader = stage.node(1);
    reader.must("open t", "ok");
    stage.remove("t");
    assert_eq!(stage.region().stats().expect("stats").retired, 1);
    reader.must("close t", "ok");
    stage.all_memory_returns();
}

fn lease_of_the_dead_ends(stage: &Stage) {
    stage.publish("t", 1);
    let mut reader = stage.node(1);
    reader.must("open t", "ok");
    stage.remove("t");
    reader.kill();
    assert_eq!(stage.region().verify().expect("verify").retired, 1, "nothing is proven yet");
    let _cleared_up = stage.node(1);
    stage.all_memory_returns();
}

/// What cleared up has freed the dead one's slot when it dies, so that nobody does it again.
fn lease_of_the_dead_ends_late(stage: &Stage) {
    stage.publish("t", 1);
    let mut reader = stage.node(1);
    reader.must("open t", "ok");
    stage.remove("t");
    reader.kill();
    // Its own line first, then the dead one's.
    let reaper = Node::start(&format!("{}?node=1", stage.uri), Some("MemberHome:fence#2"));
    reaper.stopped();
    reaper.kill();
    let _next = stage.node(1);
    stage.all_memory_returns();
}

/// The table is replaced, and its memory used again, after the reader looked and before its lease is seen.
fn late_lease(stage: &Stage) {
    stage.publish("t", 1);
    let mut reader = stage.node_that_stops(1, "LeaseHome", "");
    reader.say("open t");
    reader.stopped();
    stage.publish("t", 2);
    stage.use_all_memory(9);
    reader.go_on();
    assert_eq!(reader.hear(), "ok");
    reader.must("read t", "2");
}

/// The same between the lease's write-back and its fence, and between the second look's invalidation and its own,
/// with links that do one early and the other late.
fn lease_on_its_way(stage: &Stage) {
    for step in ["LeaseHome:fence", "SecondLookIn:fence"] {
        for seed in 1..=8 {
            stage.publish("t", 1);
            let mut reader = stage.node_that_stops(1, step, &format!("&seed={seed}"));
            reader.say("open t");
            reader.stopped();
            stage.publish("t", 2);
            stage.use_all_memory(9);
            reader.go_on();
            assert_eq!(reader.hear(), "ok", "{step}, seed {seed}");
            let read = reader.ask("read t");
            assert!(read == "1" || read == "2", "{step}, seed {seed}: {read}");
            reader.must("check t", "ok");
            reader.must("close t", "ok");
        }
    }
}

fn dead_publisher(stage: &Stage) {
    let mut reader = stage.node(1);
    let mut publisher = stage.node_that_stops(0, "CommitHome", "");
    publisher.say("publish t 2000 1");
    publisher.stopped();
    publisher.kill();
    // Whoever takes the lock next builds on what the dead one stored.
    stage.publish("u", 2);
    let listed = stage.region().tables().expect("tables");
    assert_eq!(listed.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["t", "u"]);
    for (name, stamp) in [("u", "2"), ("t", "1")] {
        reader.must(&format!("open {name}"), "ok");
        reader.must(&format!("read {name}"), stamp);
    }
}

fn stopped_publisher(stage: &Stage) {
    let mut reader = stage.node(1);
    let mut publisher = stage.node_that_stops(0, "CommitHome", "");
    publisher.say("publish t 2000 1");
    publisher.stopped();
    // This node sees the table, so what it says about it must hold on the other one.
    let table = stage.region().open_table("t", &csm::OpenOptions::default()).expect("open");
    reader.must("open t", "ok");
    reader.must("read t", "1");
    drop(table);
    publisher.go_on();
    assert_eq!(publisher.hear(), "ok");
}

fn news(stage: &Stage) {
    let mut reader = stage.node(1);
    let listed = stage.region().members().expect("members");
    assert_eq!(listed.iter().filter(|member| member.node == 1).count(), 1);
    reader.must("names", "0");
    stage.publish("t", 1);
    reader.must("names", "1");
    stage.publish("u", 1);
    reader.must("names", "2");
    stage.region().grow(16 << 20).expect("grow");
    reader.must("size", &(16 << 20).to_string());
    publish_stamp(stage.region(), "large", 60_000, 7).expect("publish");
    reader.must("open large", "ok");
    reader.must("read large", "7");
    // Another process of the node, which has never seen the region, finds everything too.
    let mut other = stage.node(1);
    other.must("names", "3");
    other.must("size", &(16 << 20).to_string());
    let listed = stage.region().members().expect("members");
    assert_eq!(listed.iter().filter(|member| member.node == 1).count(), 2);
}

fn raw_extents(stage: &Stage) {
    let mut reader = stage.node(1);
    let extent = stage.region().alloc(4096, 64).expect("alloc").cast::<u64>();
    for value in [1, 2, 3] {
        // SAFETY: an extent of this process; the reader only looks.
        unsafe { extent.as_ptr().write_volatile(value) };
        stage.region().release(extent.as_ptr().cast_const().cast(), 8).expect("release");
        reader.must(&format!("peek {}", extent.as_ptr() as usize), &value.to_string());
    }
    // SAFETY: nobody uses it any more.
    unsafe { stage.region().free(extent.cast(), None) }.expect("free");
}

fn fenced(stage: &Stage) {
    stage.publish("t", 1);
    let mut reader = stage.node(1);
    reader.must("open t", "ok");
    stage.publish("t", 2);
    reader.must("check t", "ok");
    stage.region().fence_node(1).expect("fence");
    assert_eq!(stage.state_of(1), NodeState::Fenced);
    reader.must("check t", "error Fenced");
    reader.must("open t", "error Fenced");
    let mut another = Node::start(&format!("{}?node=1", stage.uri), None);
    assert_eq!(another.hear(), "error Fenced");
    stage.remove("t");
    stage.all_memory_returns();
}

fn comes_back(stage: &Stage) {
    stage.publish("t", 1);
    let mut late = stage.node(1);
    late.must("open t", "ok");
    late.kill();
    stage.region().fence_node(1).expect("fence");
    // Under the new incarnation nothing of the old one holds anything, and what it leases counts.
    let mut reader = stage.node(1);
    assert_eq!(stage.state_of(1), NodeState::Present);
    stage.remove("t");
    stage.all_memory_returns();
    stage.publish("t", 3);
    reader.must("open t", "ok");
    stage.publish("t", 4);
    stage.use_all_memory(9);
    reader.must("read t", "3");
    reader.must("check t", "ok");
}

/// Whoever comes next finds the new incarnation and clears nothing: the old leases must be gone before it.
fn dies_coming_back(stage: &Stage) {
    for seed in 1..=8 {
        stage.publish("t", 1);
        let mut late = stage.node(1);
        late.must("open t", "ok");
        late.kill();
        stage.region().fence_node(1).expect("fence");
        let first = Node::start(&format!("{}?node=1&seed={seed}", stage.uri), Some("MemberHome"));
        first.stopped();
        first.kill();
        let next = stage.node(1);
        stage.remove("t");
        stage.all_memory_returns();
        next.kill();
    }
}

/// Another descriptor where the catalog says that one of this generation is: only the generation tells.
fn other_generation(stage: &Stage) {
    let generation = publish_stamp(stage.region(), "t", ROWS, 1).expect("publish").generation;
    let info = stage.region().info().expect("info");
    let words = usize::try_from(info.size_bytes / 8).expect("a size");
    let base = std::ptr::with_exposed_provenance_mut::<u64>(usize::try_from(info.base).expect("an address"));
    // The descriptor begins with its magic number, and has its generation near.
    let magic = csm::table::descriptor::MAGIC;
    // SAFETY: the region's own bytes, aligned, while nobody else works in it.
    let found = (0..words)
        .step_by(16)
        .find(|at| unsafe { base.add(*at).read_volatile() } == magic)
        .expect("a descriptor");
    // SAFETY: as above.
    let place = (found..found + 16)
        .find(|at| unsafe { base.add(*at).read_volatile() } == generation)
        .expect("its label");
    // SAFETY: as above; the label is what this play is about.
    let place = unsafe { base.add(place) };
    // SAFETY: as above.
    unsafe { place.write_volatile(generation + 4) };
    stage.region().release(place.cast_const().cast(), 8).expect("release");
    let mut reader = stage.node(1);
    reader.must("open t", "error Corrupt");
    // SAFETY: as above.
    unsafe { place.write_volatile(generation) };
}

fn signs_of_life(stage: &Stage) {
    let _reader = stage.node(1);
    let since = || {
        stage.region().members().expect("members").iter().find(|m| m.node == 1).expect("member").beat_unix_ns
    };
    let first = since();
    eventually("a sign of life", || since() > first);
}
