//! A process of some node that does what it is told, a line at a time, and answers with a line.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use csm::{Context, Error, Region, Table};
use csm_conformance::process::{Inside, Peer};
use csm_conformance::table::{open, publish_stamp, stamp_of};

/// The peer's side: opens the region of its first argument, then obeys.
pub fn role(inside: &mut Inside) {
    let region = match Context::new().expect("context").open(inside.arg(0)) {
        Ok(region) => region,
        Err(e) => return inside.say(refusal(&e)),
    };
    inside.say("ready");
    let mut tables = HashMap::new();
    loop {
        let line = inside.hear();
        let words: Vec<&str> = line.split(' ').collect();
        inside.say(obey(&region, &mut tables, &words).unwrap_or_else(|e| refusal(&e)));
    }
}

fn refusal(e: &Error) -> String {
    eprintln!("{e}");
    format!("error {}", e.kind().name())
}

fn obey(region: &Region, tables: &mut HashMap<String, Table>, words: &[&str]) -> Result<String, Error> {
    let number = |i: usize| words[i].parse::<u64>().expect("a number");
    let signed = |i: usize| words[i].parse::<i64>().expect("a number");
    Ok(match words[0] {
        "open" => {
            tables.insert(words[1].to_owned(), open(region, words[1])?);
            "ok".to_owned()
        }
        "read" => {
            let batches = tables[words[1]].record_batches()?;
            stamp_of(&batches).map_or_else(|why| format!("torn: {why}"), |stamp| stamp.to_string())
        }
        "check" => tables[words[1]].check().map(|()| "ok".to_owned())?,
        "close" => {
            drop(tables.remove(words[1]));
            "ok".to_owned()
        }
        "publish" => publish_stamp(region, words[1], signed(2), signed(3)).map(|_| "ok".to_owned())?,
        "remove" => region.remove(words[1]).map(|()| "ok".to_owned())?,
        "wait" => region.wait(words[1], Duration::from_secs(2)).map(|()| "ok".to_owned())?,
        "names" => region.stats()?.tables.to_string(),
        "size" => region.info()?.size_bytes.to_string(),
        "peek" => {
            let address =
                std::ptr::with_exposed_provenance::<u64>(usize::try_from(number(1)).expect("address"));
            region.acquire(address.cast(), 8)?;
            // SAFETY: in the region's data, by the call before.
            unsafe { address.read_volatile() }.to_string()
        }
        other => panic!("no command {other:?}"),
    })
}

/// Waits until something holds. In an unmutated library it soon does.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(3);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The test's side.
pub struct Node(Peer);

impl Node {
    /// Starts a process that opens `uri`; it is to be stopped before step `stop`, if that is given.
    #[must_use]
    pub fn start(uri: &str, stop: Option<&str>) -> Self {
        let env: Vec<_> = stop.map(|stop| ("CSM_STOP", stop)).into_iter().collect();
        Self(Peer::start_with("node", &[uri], &env))
    }

    /// Starts a process that must be able to open `uri`.
    #[must_use]
    pub fn ready(uri: &str) -> Self {
        let mut node = Self::start(uri, None);
        node.0.await_line("ready");
        node
    }

    /// Waits for its next line.
    pub fn hear(&mut self) -> String {
        self.0.hear()
    }

    /// Gives an order without waiting for the answer.
    pub fn say(&mut self, order: &str) {
        self.0.say(order);
    }

    /// Gives an order and returns the answer.
    pub fn ask(&mut self, order: &str) -> String {
        self.0.say(order);
        self.0.hear()
    }

    /// Gives an order that must be answered so.
    #[track_caller]
    pub fn must(&mut self, order: &str, answer: &str) {
        assert_eq!(self.ask(order), answer, "to {order:?}");
    }

    /// Waits until it has stopped itself.
    pub fn stopped(&self) {
        let mut status = 0;
        eventually("it stops itself", || {
            // SAFETY: asks for the state of a child of this process.
            let got = unsafe { libc::waitpid(self.pid(), &raw mut status, libc::WUNTRACED | libc::WNOHANG) };
            got == self.pid()
        });
        assert!(libc::WIFSTOPPED(status), "it ended instead of stopping: {status:#x}");
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        // SAFETY: a signal to a child.
        unsafe { libc::kill(self.pid(), libc::SIGCONT) };
    }

    /// Kills it.
    pub fn kill(self) {
        self.0.kill();
    }

    fn pid(&self) -> libc::pid_t {
        self.0.pid().try_into().expect("a process id")
    }
}
