//! Training: from "the channels are out of reset" to "known answers come back", by polling with a deadline.
//!
//! The released card has no register that says whether a channel has trained, so the link itself is asked: the memory side's
//! mark is read through it, then its known answers, then this side's own are written home and read back. With two ports the
//! transactions take turns, so 32 lines use both. Nothing goes on before all of it is right in one attempt.
//!
//! The public software sleeps five seconds, because the FPGA fails when it is used at once. Nobody has said why; in the
//! public design a transaction waits for its channel. [`Training::settle`] keeps such a pause for cards that need it: it is 0
//! unless asked for, and the known answers decide in any case.

use std::ops::ControlFlow;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::libc;

use crate::afu::mmio::Mmio;
use crate::afu::thymesisflow::compute::Borrow;
use crate::afu::thymesisflow::line::LinkMemory;
use crate::afu::thymesisflow::registers::Register;
use crate::afu::thymesisflow::window::ZoneSource;
use crate::afu::thymesisflow::zone::{
    LinkState, Mark, Side, look_for_mark, read_mark, write_answers, write_mark, wrong_answers,
};
use crate::afu::trace::Trace;
use crate::error::{Error, ErrorKind, Result};

/// What the last attempt has, however late it is: its reason is the one that people read.
const LEAST_PATIENCE: Duration = Duration::from_millis(200);

/// How patient training is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Training {
    /// The longest it may take, [`Training::settle`] included.
    pub deadline: Duration,
    /// How long the channels are left alone before the first transaction.
    pub settle: Duration,
    /// The pause between two attempts.
    pub pause: Duration,
}

impl Default for Training {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(30), settle: Duration::ZERO, pause: Duration::from_millis(20) }
    }
}

/// What training is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The channels are left alone.
    Settling,
    /// The link is asked.
    Asking,
}

/// How far training is: for a progress bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it is at.
    pub stage: Stage,
    /// How long it has taken.
    pub elapsed: Duration,
    /// How long it may take.
    pub deadline: Duration,
    /// Attempts that failed.
    pub attempts: u64,
    /// Why the last attempt failed; empty before.
    pub last: String,
}

/// A link that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trained {
    /// What the memory side says.
    pub memory: Mark,
    /// Attempts until it answered.
    pub attempts: u64,
    /// How long that took.
    pub elapsed: Duration,
}

/// What training needs of its surroundings.
pub(super) struct Trainer<'a> {
    pub(super) global: &'a mut dyn Mmio,
    pub(super) source: &'a mut dyn ZoneSource,
    pub(super) zone: &'a mut Option<Box<dyn LinkMemory>>,
    pub(super) borrow: &'a Borrow,
    pub(super) nonce: u64,
    pub(super) trace: &'a Trace,
    pub(super) progress: &'a mut dyn FnMut(&Progress) -> ControlFlow<()>,
}

/// Why an attempt failed.
enum Failed {
    /// The next one may succeed.
    NotYet(String),
    /// None will.
    Final(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        match error.errno() {
            libc::EAGAIN | libc::ENXIO | libc::EIO => Failed::NotYet(error.message().to_owned()),
            _ => Failed::Final(error),
        }
    }
}

fn not_yet<T>(why: impl Into<String>) -> Result<T, Failed> {
    Err(Failed::NotYet(why.into()))
}

impl Trainer<'_> {
    /// Asks until every answer is right.
    pub(super) fn run(mut self) -> Result<Trained> {
        let training = self.borrow.training;
        let start = Instant::now();
        let mut progress = Progress {
            stage: Stage::Settling,
            elapsed: Duration::ZERO,
            deadline: training.deadline,
            attempts: 0,
            last: String::new(),
        };
        let settle = training.settle.min(training.deadline);
        loop {
            progress.elapsed = start.elapsed();
            if (self.progress)(&progress).is_break() {
                return Err(Error::system("training the link was stopped", libc::EINTR));
            }
            // Short steps, so that it can be stopped.
            let left = settle.saturating_sub(progress.elapsed);
            if !left.is_zero() {
                sleep(left.min(training.pause.max(Duration::from_millis(1))));
                continue;
            }
            progress.stage = Stage::Asking;
            let patience = training.deadline.saturating_sub(progress.elapsed).max(LEAST_PATIENCE);
            progress.attempts += 1;
            match self.attempt(patience, start, &mut progress) {
                Ok(memory) => {
                    return Ok(Trained { memory, attempts: progress.attempts, elapsed: start.elapsed() });
                }
                Err(Failed::Final(error)) => return Err(error),
                Err(Failed::NotYet(why)) => progress.last = why,
            }
            if start.elapsed() >= training.deadline {
                return Err(self.late(&progress));
            }
            sleep(training.pause.min(training.deadline.saturating_sub(start.elapsed())));
        }
    }

    fn late(&self, progress: &Progress) -> Error {
        let text = format!(
            "the link did not train within {:.1} s, {} attempts; the last one: {}; is the memory side attached, \
             on a cable to port {} of this card?",
            self.borrow.training.deadline.as_secs_f64(),
            progress.attempts,
            progress.last,
            self.borrow.ports
        );
        Error::new(ErrorKind::TimedOut, text)
    }

    fn attempt(
        &mut self,
        patience: Duration,
        start: Instant,
        progress: &mut Progress,
    ) -> Result<Mark, Failed> {
        self.card_is_there()?;
        let zone = match self.zone {
            Some(zone) => zone,
            None => {
                let zone = self.source.map()?;
                self.trace.call("map zone");
                self.zone.insert(zone)
            }
        };
        let mut going = || {
            progress.elapsed = start.elapsed();
            (self.progress)(progress).is_continue()
        };
        // Not before a mark has come through is the link touched by this process itself.
        let Some(memory) = look_for_mark(&mut **zone, Side::Memory, patience, &mut going)? else {
            return not_yet(
                "what came through the link is no mark of a memory side: the channel trains, or the section leads elsewhere",
            );
        };
        match memory.state {
            LinkState::Attached => {}
            LinkState::Never => {
                return not_yet("zeroes came through the link: the memory side has not attached");
            }
            LinkState::Detached => return not_yet("the memory side has detached"),
        }
        self.borrow.agrees_with(&memory).map_err(Failed::Final)?;
        let wrong = wrong_answers(&mut **zone, Side::Memory, memory.nonce)?;
        if wrong != 0 {
            return not_yet(format!("{wrong} of the memory side's known answers came back wrong"));
        }
        write_answers(&mut **zone, Side::Compute, self.nonce)?;
        let wrong = wrong_answers(&mut **zone, Side::Compute, self.nonce)?;
        if wrong != 0 {
            return not_yet(format!("{wrong} lines written through the link did not come back"));
        }
        Ok(memory)
    }

    /// A card that was fenced or reset answers all ones, or has forgotten what it was told.
    fn card_is_there(&mut self) -> Result<(), Failed> {
        let bits = Register::AuroraReset.read(self.global).map_err(Failed::Final)?;
        if bits == self.borrow.ports.bits() {
            return Ok(());
        }
        let text = if bits == u64::MAX {
            "the card answers all ones: the host has fenced it or it is gone; see dmesg".to_owned()
        } else {
            format!(
                "the card's Aurora reset register reads {bits:#x} where {:#x} was written: it was reset meanwhile, or \
                 another process configures it",
                self.borrow.ports.bits()
            )
        };
        Err(Failed::Final(Error::new(ErrorKind::System, text)))
    }
}

/// Says on the link that this side is attached, then looks whether the memory side still is: whichever of the two lines
/// comes second sees the other one, so that a memory side that detaches at the same moment is noticed by one of us.
pub(super) fn announce(zone: &mut dyn LinkMemory, mark: &Mark) -> Result<()> {
    write_mark(zone, Side::Compute, *mark)?;
    match read_mark(zone, Side::Memory)? {
        Some(memory) if memory.state == LinkState::Attached => Ok(()),
        _ => Err(Error::new(ErrorKind::System, "the memory side detached while this side attached")),
    }
}
