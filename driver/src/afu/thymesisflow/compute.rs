//! The compute side (M1): the borrower.
//!
//! Order: global MMIO, Aurora channels out of reset, section, training, this side's line. Undone in reverse; the line first,
//! so that the memory side may go, and the section before the channel, so that nothing is sent into a channel in reset.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Duration;

use uuid::Uuid;

use crate::afu::context::AfuContext;
use crate::afu::thymesisflow::card::{Card, detached};
use crate::afu::thymesisflow::counters::Counters;
use crate::afu::thymesisflow::line::LinkMemory;
use crate::afu::thymesisflow::ports::{Ports, Section};
use crate::afu::thymesisflow::registers::{Register, section_value};
use crate::afu::thymesisflow::training::{Progress, Trained, Trainer, Training, announce};
use crate::afu::thymesisflow::undo::Undo;
use crate::afu::thymesisflow::window::ZoneSource;
use crate::afu::thymesisflow::zone::{LinkState, Mark, Side, look_for_mark, read_mark, write_mark};
use crate::afu::trace::Trace;
use crate::error::{Error, ErrorKind, Result};

/// How long a link that was trained may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What a compute side borrows, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Borrow {
    /// Where the window begins in the lender's process: [`super::LentWindow::ea`], told by the cluster description or the
    /// lender's operator.
    pub ea: u64,
    /// Bytes of the window, the link zone included.
    pub len_bytes: u64,
    /// The section of this card's address space that it appears in.
    pub section: Section,
    /// The ports to the lender.
    pub ports: Ports,
    /// How patient training is.
    pub training: Training,
}

impl Borrow {
    /// Whether the memory side lends what this side wants.
    pub(super) fn agrees_with(&self, memory: &Mark) -> Result<()> {
        if (memory.ea, memory.len_bytes) == (self.ea, self.len_bytes) {
            return Ok(());
        }
        let text = format!(
            "the memory side lends {} bytes at {:#x}, this side was told {} bytes at {:#x}: correct the one that is wrong",
            memory.len_bytes, memory.ea, self.len_bytes, self.ea
        );
        Err(Error::new(ErrorKind::OptionMismatch, text))
    }
}

/// An attached compute side. One thread at a time. Dropping it detaches.
pub struct ComputeSide {
    parts: Parts,
    undo: Undo<Parts>,
    trained: Trained,
}

struct Parts {
    borrow: Borrow,
    mark: Mark,
    card: Card,
    source: Box<dyn ZoneSource>,
    zone: Option<Box<dyn LinkMemory>>,
    /// Whether the link may be touched; not when an operator says that it is dead.
    touch: bool,
}

impl ComputeSide {
    /// Brings the link up and trains it. `source` is mapped once the card is set up; `progress` is called before each attempt
    /// and may stop. What was done is undone on failure.
    ///
    /// # Errors
    /// As [`section_value`]; [`ErrorKind::TimedOut`] when the link did not train; [`ErrorKind::OptionMismatch`] when the
    /// memory side lends something else; an error with errno `EINTR` when it was stopped; what the kernel refuses.
    pub fn attach(
        afu: Box<dyn AfuContext>,
        borrow: &Borrow,
        source: Box<dyn ZoneSource>,
        trace: &Trace,
        progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Self> {
        let value = section_value(borrow.section, borrow.ea, borrow.len_bytes, borrow.ports)?;
        let name = afu.name();
        let mark = Mark {
            state: LinkState::Attached,
            nonce: Uuid::new_v4().as_u64_pair().0,
            ea: borrow.ea,
            len_bytes: borrow.len_bytes,
            section: Some(borrow.section),
            ports: Some(borrow.ports),
            count: 0,
        };
        let mut parts =
            Parts { borrow: *borrow, mark, card: Card::new(afu, trace), source, zone: None, touch: true };
        let mut undo = Undo::new();
        match parts.bring_up(value, &mut undo, progress) {
            Ok(trained) => Ok(Self { parts, undo, trained }),
            Err(e) => Err(undo.because_of(e, &mut parts).context(format_args!("AFU {name}, compute side"))),
        }
    }

    /// How training went.
    #[must_use]
    pub fn trained(&self) -> Trained {
        self.trained
    }

    /// What this side borrows.
    #[must_use]
    pub fn terms(&self) -> &Borrow {
        &self.parts.borrow
    }

    /// What the memory side's line says now: a load through the link. None where it is no mark.
    ///
    /// # Errors
    /// When the link does not answer; [`ErrorKind::Closed`] after a detach.
    pub fn memory(&mut self) -> Result<Option<Mark>> {
        let zone = &mut **self.parts.zone.as_mut().ok_or_else(detached)?;
        look_for_mark(zone, Side::Memory, ANSWER_WITHIN, &mut || true)
    }

    /// Begins to count what goes through the card.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] while another process reads the counters; [`ErrorKind::Closed`] after a detach.
    pub fn counters(&mut self) -> Result<Counters<'_>> {
        self.parts.card.counters(Side::Compute)
    }

    /// Takes the link down, everything of it whatever fails on the way. `force` leaves out the line that tells the memory side:
    /// for a link that is dead, where the host would be fenced by the access.
    ///
    /// # Errors
    /// The first step that failed. The memory side refuses to detach when it was not told, unless it is forced too.
    pub fn detach(&mut self, force: bool) -> Result<()> {
        self.parts.touch = !force;
        self.undo.run(&mut self.parts).map_err(|e| e.context("detaching the compute side"))
    }
}

impl fmt::Debug for ComputeSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComputeSide").field("terms", self.terms()).finish_non_exhaustive()
    }
}

impl Drop for ComputeSide {
    fn drop(&mut self) {
        // What fails is logged.
        let _ = self.undo.run(&mut self.parts);
    }
}

impl Parts {
    fn bring_up(
        &mut self,
        value: u64,
        undo: &mut Undo<Self>,
        progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Trained> {
        undo.push("closing the AFU context", |parts| parts.card.close());
        self.card.check()?;
        self.card.map_global()?;
        undo.push("unmapping the global MMIO", |parts| parts.card.unmap_global());
        self.card.write(Register::AuroraReset, self.borrow.ports.bits())?;
        undo.push("resetting the Aurora channels", |parts| parts.card.write(Register::AuroraReset, 0));
        self.card.write(Register::Section(self.borrow.section), value)?;
        undo.push("clearing the section", |parts| {
            parts.card.write(Register::Section(parts.borrow.section), 0)
        });
        undo.push("unmapping the link zone", Self::unmap_zone);
        let trace = self.card.trace.clone();
        let trained = Trainer {
            global: self.card.global()?,
            source: &mut *self.source,
            zone: &mut self.zone,
            borrow: &self.borrow,
            nonce: self.mark.nonce,
            trace: &trace,
            progress,
        }
        .run()?;
        let zone = &mut **self.zone.as_mut().ok_or_else(detached)?;
        if let Some(before) = read_mark(zone, Side::Compute)? {
            if before.state == LinkState::Attached {
                log::warn!("a compute side died attached to this window; this one takes its place");
            }
            self.mark.count = before.count + 1;
        }
        // Even a line that fails to come back may have gone home.
        undo.push("telling the memory side", Self::say_detached);
        announce(zone, &self.mark)?;
        Ok(trained)
    }

    fn say_detached(&mut self) -> Result<()> {
        if !self.touch {
            return Ok(());
        }
        let mark = Mark { state: LinkState::Detached, count: self.mark.count + 1, ..self.mark };
        let zone = &mut **self.zone.as_mut().ok_or_else(detached)?;
        // A dead link shall not be the end of whoever takes it down.
        look_for_mark(zone, Side::Memory, ANSWER_WITHIN, &mut || true)?;
        write_mark(zone, Side::Compute, mark)
    }

    fn unmap_zone(&mut self) -> Result<()> {
        if self.zone.take().is_some() {
            self.card.trace.call("unmap zone");
        }
        Ok(())
    }
}
