//! A reader that does what it is told, a line at a time, and says what came of it.

use csm::{Context, Region, Table};

use crate::process::{Inside, Peer};
use crate::table::{open, stamp_of};
use crate::{Fixture, Scratch};

fn outcome<T>(result: &csm::Result<T>) -> String {
    result.as_ref().map_or_else(|e| e.kind().name(), |_| "Ok").to_owned()
}

/// The stamp of an open table, or the kind of error.
fn read(table: &Table) -> String {
    match table.record_batches() {
        Ok(batches) => stamp_of(&batches).expect("whole").to_string(),
        Err(e) => e.kind().name().to_owned(),
    }
}

/// Opens region 0 and others that its tables need, says "ready" or the error, and then does what it is told about one
/// table at a time:
/// "open NAME", "read", "check", "drop", "retries"; anything else ends it.
pub(super) fn role(inside: &mut Inside) {
    let region: Region = match Context::new().expect("context").open(inside.arg(0)) {
        Ok(region) => region,
        Err(e) => return inside.say(format_args!("{}: {e}", e.kind().name())),
    };
    let context = Context::new().expect("context");
    let others = (1..).take_while(|i| inside.has(*i)).map(|i| context.open(inside.arg(i)).expect("open"));
    let _others: Vec<Region> = others.collect();
    inside.say("ready");
    let mut held: Option<Table> = None;
    loop {
        let line = inside.hear();
        let (what, name) = line.split_once(' ').unwrap_or((&line, ""));
        let table = || held.as_ref().expect("an open table");
        inside.say(match what {
            "open" => {
                let opened = open(&region, name);
                let said = outcome(&opened);
                held = opened.ok();
                said
            }
            "read" => read(table()),
            "check" => outcome(&table().check()),
            "drop" => {
                held = None;
                "Ok".to_owned()
            }
            "retries" => region.stats().expect("stats").coherence.retries.to_string(),
            _ => return,
        });
    }
}

/// A [`role`] as the test sees it.
pub(super) struct Reader(pub(super) Peer);

impl Reader {
    /// Starts one with the region open.
    pub(super) fn start(uri: &str) -> Self {
        let mut peer = Peer::start("reader", &[uri]);
        peer.await_line("ready");
        Self(peer)
    }

    /// What opening the region with `uri` fails with.
    pub(super) fn refused(uri: &str) -> String {
        let mut peer = Peer::start("reader", &[uri]);
        let said = peer.hear();
        assert_ne!(said, "ready", "{uri} is not to be opened");
        peer.finish();
        said
    }

    /// Tells it to do something that must come out so.
    #[track_caller]
    pub(super) fn expect(&mut self, what: &str, outcome: &str) {
        assert_eq!(self.ask(what), outcome, "{what}");
    }

    pub(super) fn ask(&mut self, what: &str) -> String {
        self.0.say(what);
        self.0.hear()
    }

    pub(super) fn leave(mut self) {
        self.0.say("leave");
        self.0.finish();
    }
}

/// A process of `node` comes by and clears up after the node's dead, and the owner returns what they kept: where
/// nodes are hosts of their own nobody else can know that they are dead.
pub(super) fn clear_up(scratch: &Scratch<'_>, owner: &Region, node: u64) {
    Reader::start(&scratch.with(&format!("node={node}"))).leave();
    reclaim(owner);
}

/// Makes the owner look for leases.
pub(super) fn reclaim(owner: &Region) {
    crate::table::publish_stamp(owner, "for a moment", 1, 0).expect("publish");
    owner.remove("for a moment").expect("remove");
}

/// Whether this machine can play a second node of the device.
pub(super) fn two_nodes(fixture: &dyn Fixture) -> crate::Outcome {
    if fixture.nodes() < 2 { crate::skip("this machine plays one node of the device") } else { Ok(()) }
}
