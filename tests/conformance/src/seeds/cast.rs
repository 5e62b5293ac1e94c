//! The processes that play: started once, and again when one was killed.

use crate::process::Peer;
use crate::random::Random;

/// The number of the process that runs the play, which publishes too.
pub(super) const DIRECTOR: usize = usize::MAX;

/// What a process is to do.
#[derive(Clone)]
pub(super) struct Part {
    node: u64,
    pub(super) writes: bool,
    count: u64,
    /// What it publishes.
    pub(super) names: Vec<String>,
}

impl Part {
    /// Opens tables as a process of `node`.
    pub(super) fn reads(node: u64, count: u64) -> Self {
        Self { node, writes: false, count, names: Vec::new() }
    }

    /// Publishes tables of these names.
    pub(super) fn writes(names: &[&str], count: u64) -> Self {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Self { node: 0, writes: true, count, names }
    }

    fn line(&self, uri: &str, random: &mut Random) -> String {
        let what = if self.writes { "write" } else { "read" };
        let names: String = self.names.iter().map(|name| format!(" {name}")).collect();
        format!("{what} {uri}?node={} {} {}{names}", self.node, random.number(), self.count)
    }
}

/// The processes, by the number of their part.
#[derive(Default)]
pub(super) struct Cast {
    peers: Vec<Option<Peer>>,
}

impl Cast {
    /// Gives each its part, and waits until they have the region open.
    pub(super) fn start(&mut self, parts: &[Part], uri: &str, random: &mut Random) {
        self.peers.resize_with(parts.len().max(self.peers.len()), || None);
        for (who, part) in parts.iter().enumerate() {
            self.tell(who, &part.line(uri, random));
        }
        (0..parts.len()).for_each(|who| self.peer(who).await_line("ready"));
    }

    /// Kills one, and returns what it had told.
    pub(super) fn kill(&mut self, who: usize) -> Vec<String> {
        let mut told = self.peers[who].take().expect("it plays").last_words();
        told.retain(|line| line != "done");
        told
    }

    /// Starts another in the place of one that was killed.
    pub(super) fn restart(&mut self, who: usize, part: &Part, uri: &str, random: &mut Random) {
        self.tell(who, &part.line(uri, random));
        self.peer(who).await_line("ready");
    }

    /// Hears what one tells until it is done.
    pub(super) fn finish(&mut self, who: usize, mut hear: impl FnMut(&str)) {
        loop {
            match self.peer(who).hear().as_str() {
                "done" => return,
                line => hear(line),
            }
        }
    }

    fn tell(&mut self, who: usize, line: &str) {
        self.peers[who].get_or_insert_with(|| Peer::start("player", &[])).say(line);
    }

    fn peer(&mut self, who: usize) -> &mut Peer {
        self.peers[who].as_mut().expect("it plays")
    }
}
