//! A small message or descriptor from one process to another and back: libcsm beside iceoryx2, a pipe, a UNIX socket, and
//! the bare exchange of cache lines, which nothing can beat.
//!
//! Two processes, each on a processor of its own. The sender puts the time into the first 8 bytes; the receiver takes the
//! time when it has all bytes in memory of its own, and sends the same back. The links take turns, and rest while it is
//! not theirs: a reader that polls would take the processor from the others.
#![allow(clippy::expect_used, reason = "a benchmark stops at the first error")]

mod bare;
mod extent;
#[cfg(feature = "iceoryx2")]
mod iceoryx;
mod kernel;
mod processors;
mod publish;

use csm_bench::Scratch;
use csm_bench::peer::{self, Peer};
use csm_bench::series::{Series, missing, rounds};

const SIZES: [usize; 3] = [8, 64, 4096];
const MOST: usize = 4096;
const WARM_UP: usize = 200;

/// One side of a link between two processes.
trait Link {
    /// Sends a message.
    fn send(&mut self, bytes: &[u8]);
    /// Waits for a message of this length and copies it out.
    fn receive(&mut self, into: &mut [u8]);
}

/// Which side of a link a process has: who begins, or who answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Near,
    Far,
}

impl Side {
    /// Which of two one-way channels this side sends by; the other side receives by it.
    fn sends_by(self) -> usize {
        usize::from(self == Self::Far)
    }
}

/// A link as the report shows it.
struct Entry {
    who: &'static str,
    /// How the receiver learns of a message, after `one way, ` and `round trip, `.
    how: &'static str,
    limit: bool,
    /// Whether the far side can answer by it; where it cannot, because its node borrows the region, it answers by a bare
    /// line that is not part of the figure.
    answers: bool,
    includes: &'static str,
    link: Box<dyn Link>,
}

/// What both processes make their links of.
struct Means {
    side: Side,
    /// Descriptors of the bare link's memory, two pipes, a socket pair.
    fds: Vec<i32>,
    /// Regions: everybody on node 0 of a coherent link; the far side on node 1 of one that is not.
    coherent: String,
    incoherent: String,
    /// The processor of the far side.
    far_processor: usize,
}

impl Means {
    fn argument(&self) -> String {
        let fds: Vec<_> = self.fds.iter().map(ToString::to_string).collect();
        format!("{} {} {} {}", self.far_processor, self.coherent, self.incoherent, fds.join(" "))
    }

    fn far(argument: &str) -> Self {
        let mut words = argument.split(' ').map(str::to_owned);
        let far_processor = words.next().and_then(|word| word.parse().ok()).expect("a processor");
        let coherent = words.next().expect("a region");
        let incoherent = format!("{}?node=1", words.next().expect("a region"));
        let fds = words.map(|fd| fd.parse().expect("a descriptor")).collect();
        Self { side: Side::Far, fds, coherent, incoherent, far_processor }
    }

    /// The links, the same in both processes and in the same order.
    fn links(&self) -> Vec<Entry> {
        let mut links = vec![
            bare::entry(self),
            publish::polled(self),
            extent::coherent(self),
            publish::waited(self),
            kernel::pipe(self),
            kernel::socket(self),
            publish::across(self),
            extent::across(self),
        ];
        links.extend(bare::across(self));
        #[cfg(feature = "iceoryx2")]
        links.extend(iceoryx::entries(self.side, &self.coherent));
        links
    }
}

fn now_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills the struct.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// The near side: sends `count` messages and returns how long each took to come back.
fn ping(link: &mut dyn Link, mut answers: Option<&mut Box<dyn Link>>, size: usize, count: usize) -> Vec<f64> {
    let (mut message, mut back) = (vec![7u8; size], vec![0; size]);
    let mut taken = Vec::with_capacity(count);
    for _ in 0..count {
        let start = now_ns();
        message[..8].copy_from_slice(&start.to_le_bytes());
        link.send(&message);
        match &mut answers {
            Some(other) => other.receive(&mut back),
            None => link.receive(&mut back),
        }
        taken.push((now_ns() - start) as f64);
        assert!(back == message, "another message came back");
    }
    taken
}

/// The far side: answers `count` messages and returns how long each was under way.
fn pong(link: &mut dyn Link, mut answers: Option<&mut Box<dyn Link>>, size: usize, count: usize) -> Vec<f64> {
    let mut message = vec![0; size];
    let mut taken = Vec::with_capacity(count);
    for _ in 0..count {
        link.receive(&mut message);
        let sent = u64::from_le_bytes(message[..8].try_into().expect("8 bytes"));
        taken.push(now_ns().saturating_sub(sent) as f64);
        match &mut answers {
            Some(other) => other.send(&message),
            None => link.send(&message),
        }
    }
    taken
}

/// The far process: told which link, size and count, it answers that many messages and says their times.
fn far(argument: &str) {
    let means = Means::far(argument);
    processors::stay_on(means.far_processor);
    let (mut links, mut line) = (means.links(), bare::answers(&means));
    peer::say("ready");
    for told in peer::told() {
        let numbers: Vec<usize> = told.split(' ').map(|n| n.parse().expect("a number")).collect();
        let [which, size, count] = numbers[..] else { return };
        let entry = &mut links[which];
        let answers = if entry.answers { None } else { Some(&mut line) };
        let taken = pong(&mut *entry.link, answers, size, count);
        let taken: Vec<_> = taken[WARM_UP..].iter().map(ToString::to_string).collect();
        peer::say(&taken.join(" "));
    }
}

fn main() {
    if let Some((_, argument)) = peer::role() {
        return far(&argument);
    }
    let Some(two) = processors::two() else {
        // Who polls would use up his time slice before the other one could answer.
        return missing(
            "message",
            "all of them",
            "two processes that poll want two processors, there is one",
        );
    };
    processors::stay_on(two.near);
    let shape = "size=64M&catalog=100";
    let coherent = Scratch::new("message", shape);
    let incoherent = Scratch::new("message-lc", &format!("{shape}&coherence=lc"));
    let means = Means {
        side: Side::Near,
        fds: [bare::memory(), kernel::pipes(), kernel::sockets()].concat(),
        coherent: coherent.uri().to_owned(),
        incoherent: incoherent.uri().to_owned(),
        far_processor: two.far,
    };
    // What the far side looks for is made by the near one.
    let (mut links, mut line) = (means.links(), bare::answers(&means));
    let mut other = Peer::start("far", &means.argument());
    assert_eq!(other.hear(), "ready");
    let (turns, count) = (rounds(10, 3), rounds(1000, 300));
    for size in SIZES {
        let mut times = vec![(Vec::new(), Vec::new()); links.len()];
        for _ in 0..turns {
            for (which, entry) in links.iter_mut().enumerate() {
                other.tell(&format!("{which} {size} {}", WARM_UP + count));
                let answers = if entry.answers { None } else { Some(&mut line) };
                let trips = ping(&mut *entry.link, answers, size, WARM_UP + count);
                times[which].0.extend(other.hear_numbers());
                times[which].1.extend_from_slice(&trips[WARM_UP..]);
            }
        }
        for (entry, (one_way, round_trip)) in links.iter().zip(times) {
            let (case, x) = (format!("{size} B"), Some(size as f64));
            let Entry { who, includes, limit, .. } = *entry;
            // Where the limit was measured, all were.
            let includes = if limit { format!("{includes}; {two}") } else { includes.to_owned() };
            let includes = includes.as_str();
            let series =
                Series { work: "message", case: &case, x, who, includes, limit, ..Series::default() };
            let what = format!("one way, {}", entry.how);
            Series { what: &what, ..series }.print(&one_way);
            if entry.answers {
                Series { what: &format!("round trip, {}", entry.how), ..series }.print(&round_trip);
            }
        }
    }
    if !links.iter().any(|entry| entry.who == bare::ACROSS) {
        missing("message", bare::ACROSS, "this processor lacks one of the two instructions");
    }
    if cfg!(not(feature = "iceoryx2")) {
        missing("message", "iceoryx2 0.10", "it could not be built here: see the output of the build");
    }
}
