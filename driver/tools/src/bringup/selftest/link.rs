//! The two ends of a link while a test runs: the window as this end sees it, and waiting for the other end.
//!
//! The ends talk through the window itself, since there is nothing else that all devices have in common. They go
//! through the same steps in the same order, and meet in [`Link::exchange`](super::mailbox). Which end may write the
//! part of the window that is tested is agreed on: [`Link::grant`].

use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use csm::{Error, ErrorKind};

use super::mailbox::{AREA_BYTES, CONTROL_BYTES};
use super::memory::{Cells, Memory, words};
use super::partner::Partner;
use crate::failure::{Done, Failure};
use crate::progress::Progress;
use crate::run::Run;

/// What is done between two signs of life, in bytes.
pub(super) const CHUNK_BYTES: u64 = 2 << 20;
/// Looks without giving the processor away, and looks before it is given away for longer.
const SPINS: u64 = 100;
const YIELDS: u64 = 20_000;
const NAP: Duration = Duration::from_millis(1);

/// What node 0 decides and both ends do alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// What patterns and nonces are drawn from.
    pub(super) seed: u64,
    /// Fewer patterns and rounds, and a sample of a large window.
    pub(super) quick: bool,
}

/// One end of the link.
pub(super) struct Link<'a> {
    pub(super) memory: Rc<Memory>,
    /// 0, the owner, or 1.
    pub(super) node: u64,
    pub(super) plan: Plan,
    pub(super) run: &'a Run,
    pub(super) timeout: Duration,
    /// The process of the other end, where this one started it.
    pub(super) partner: Option<Partner>,
    /// What both ends call this run; 0 until they have met.
    pub(super) id: u64,
    /// How often they have exchanged.
    pub(super) sequence: u64,
    pub(super) beats: u64,
    /// Which offsets node 0 has beacons at.
    pub(super) beacons: Vec<u64>,
    /// Nothing needs to be told to the other end any more.
    pub(super) over: bool,
}

impl<'a> Link<'a> {
    /// This end, which has not met the other one.
    pub(super) fn new(
        memory: Rc<Memory>,
        node: u64,
        plan: Plan,
        run: &'a Run,
        timeout: Duration,
        partner: Option<Partner>,
    ) -> Self {
        let beacons = Vec::new();
        let link = Self {
            memory,
            node,
            plan,
            run,
            timeout,
            partner,
            id: 0,
            sequence: 0,
            beats: 0,
            beacons,
            over: false,
        };
        link.set_writer(0);
        link
    }

    /// The other end's node.
    pub(super) fn other(&self) -> u64 {
        1 - self.node
    }

    /// The window's length, in bytes.
    pub(super) fn len_bytes(&self) -> u64 {
        self.memory.0.len_bytes()
    }

    /// The part of the window that is tested: all but what the ends talk through.
    pub(super) fn data(&self) -> Range<u64> {
        Range { start: CONTROL_BYTES, end: self.len_bytes() }
    }

    fn set_writer(&self, node: u64) {
        self.set_writers(&[(self.data(), node)]);
    }

    /// Says which end writes which parts of the data.
    pub(super) fn set_writers(&self, parts: &[(Range<u64>, u64)]) {
        let control = [(0..AREA_BYTES, 0), (AREA_BYTES..CONTROL_BYTES, 1)];
        let writers: Vec<_> = control.iter().chain(parts).cloned().collect();
        self.memory.0.set_writers(&writers);
    }

    /// Makes `node` the one that writes all the data: nothing of it is in any cache then.
    pub(super) fn grant(&mut self, node: u64) -> Done {
        self.leave_data()?;
        self.exchange("the other end to let go of the data", [0; 4])?;
        self.set_writer(node);
        self.exchange("the other end to know who writes", [0; 4])?;
        Ok(())
    }

    /// Brings home what this end's caches have of the data, and drops it there.
    pub(super) fn leave_data(&mut self) -> Done {
        self.chunks("caches emptied", self.data(), 1, |memory, chunk| memory.acquire(chunk))?;
        self.memory.0.drain();
        Ok(())
    }

    /// Goes through a range piece by piece, or through one of so many pieces: alive, as the other end sees it, with a
    /// progress bar, and ready to be interrupted.
    pub(super) fn chunks(
        &mut self,
        what: &str,
        range: Range<u64>,
        every: u64,
        mut work: impl FnMut(&Memory, Range<u64>),
    ) -> Done {
        let progress = Progress::bytes(self.run, what, range.end - range.start);
        let mut at = range.start;
        while at < range.end {
            let end = (at + CHUNK_BYTES).min(range.end);
            work(&self.memory, at..end);
            self.beat();
            progress.at(end - range.start);
            if self.run.interrupt().raised() {
                return Err(Failure::interrupted("the window holds test patterns, and no region"));
            }
            at = if every <= 1 { end } else { at + CHUNK_BYTES * every };
        }
        Ok(())
    }

    /// Looks until there is an answer. The deadline counts from the other end's last sign of life.
    pub(super) fn poll<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&Memory) -> Done<Option<T>>,
    ) -> Done<T> {
        let mut deadline = Instant::now() + self.timeout;
        let mut heard = 0;
        for turn in 0_u64.. {
            if let Some(answer) = look(&self.memory)? {
                return Ok(answer);
            }
            if turn < SPINS {
                std::hint::spin_loop();
                continue;
            }
            if turn % SPINS == 0 || turn > YIELDS {
                let beat = self.other_beat(what)?;
                if beat != heard {
                    (heard, deadline) = (beat, Instant::now() + self.timeout);
                }
                if Instant::now() > deadline {
                    break;
                }
            }
            if turn < YIELDS {
                std::thread::yield_now();
            } else if self.run.interrupt().wait(NAP) {
                return Err(Failure::interrupted(&format!("stopped waiting for {what}")));
            }
        }
        Err(self.timed_out(what).into())
    }

    fn timed_out(&self, what: &str) -> Error {
        let (other, ms) = (self.other(), self.timeout.as_millis());
        let text = format!(
            "timed out: node {other} gave no sign of life for {ms} ms (waiting for {what}). Run csm-bringup selftest with --node {other} on \
             the other machine, at the same time; see --timeout"
        );
        Error::new(ErrorKind::TimedOut, text)
    }

    /// Makes what both ends talked through zeroes again, and ends. Both call it; node 0 returns when node 1 hears no more.
    pub(super) fn close(mut self) -> Done<(Option<Memory>, Option<Partner>)> {
        self.leave_data()?;
        self.exchange("the end", [0; 4])?;
        if self.node == 1 {
            self.tell([0; 4]);
        } else {
            self.sequence += 1;
            self.hear("the end")?;
            self.memory.0.set_writers(&[(0..self.len_bytes(), 0)]);
            self.wipe(0..CONTROL_BYTES);
        }
        self.over = true;
        let (memory, partner) = (self.memory.clone(), self.partner.take());
        drop(self);
        Ok((Rc::into_inner(memory), partner))
    }

    /// Stores zeroes, home.
    pub(super) fn wipe(&self, range: Range<u64>) {
        for off in words(range.clone()) {
            self.memory.store(off, 0);
        }
        self.memory.release(range);
    }
}
