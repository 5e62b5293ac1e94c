//! The memory side (C1): the lender.
//!
//! Order, which is the public software's: attach, global MMIO, per-PASID MMIO, control, Aurora channels; around it what the
//! zone needs: known answers before, the mark after. Undone in reverse, which that software does not do: it closes the AFU
//! with the link still up.

use std::fmt;

use uuid::Uuid;

use crate::afu::context::AfuContext;
use crate::afu::event::TranslationFault;
use crate::afu::mmio::Mmio;
use crate::afu::thymesisflow::card::Card;
use crate::afu::thymesisflow::counters::Counters;
use crate::afu::thymesisflow::line::LinkMemory;
use crate::afu::thymesisflow::ports::Ports;
use crate::afu::thymesisflow::registers::{CONTROL_TEST_ENABLE, Register};
use crate::afu::thymesisflow::undo::Undo;
use crate::afu::thymesisflow::window::LentWindow;
use crate::afu::thymesisflow::zone::{
    LinkState, Mark, Side, read_mark, write_answers, write_mark, wrong_answers,
};
use crate::afu::trace::Trace;
use crate::error::{Error, ErrorKind, Result};

/// An attached memory side, which owns its window: that goes when this is dropped, which also detaches, whoever borrows.
/// One thread at a time.
pub struct MemorySide {
    parts: Parts,
    undo: Undo<Parts>,
}

struct Parts {
    ports: Ports,
    mark: Mark,
    per_pasid: Option<Box<dyn Mmio>>,
    card: Card,
    // Both outlive the AFU, which stores to them until it is closed.
    zone: Box<dyn LinkMemory>,
    window: LentWindow,
}

impl MemorySide {
    /// Lends `window` through `ports` of the card: from now on compute sides can reach it at [`LentWindow::ea`]. What was done
    /// is undone on failure, and the window dropped.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn attach(afu: Box<dyn AfuContext>, window: LentWindow, ports: Ports, trace: &Trace) -> Result<Self> {
        let name = afu.name();
        let mark = Mark {
            state: LinkState::Attached,
            nonce: Uuid::new_v4().as_u64_pair().0,
            ea: window.ea(),
            len_bytes: window.len_bytes(),
            section: None,
            ports: Some(ports),
            count: 1,
        };
        let mut parts = Parts {
            ports,
            mark,
            per_pasid: None,
            card: Card::new(afu, trace),
            zone: Box::new(window.zone()?),
            window,
        };
        let mut undo = Undo::new();
        match parts.bring_up(&mut undo) {
            Ok(()) => Ok(Self { parts, undo }),
            Err(e) => Err(undo.because_of(e, &mut parts).context(format_args!("AFU {name}, memory side"))),
        }
    }

    /// Where the window begins: what the compute side must be told.
    #[must_use]
    pub fn ea(&self) -> u64 {
        self.parts.window.ea()
    }

    /// Bytes of the window, the link zone included.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.parts.window.len_bytes()
    }

    /// The ports it answers on.
    #[must_use]
    pub fn ports(&self) -> Ports {
        self.parts.ports
    }

    /// What the compute side's line says. None where it is no mark: it may be arriving.
    ///
    /// # Errors
    /// None that are known.
    pub fn compute(&mut self) -> Result<Option<Mark>> {
        read_mark(&mut *self.parts.zone, Side::Compute)
    }

    /// Whether the known answers of the compute side that is attached have arrived here: the link works in that direction.
    ///
    /// # Errors
    /// None that are known.
    pub fn compute_arrived(&mut self) -> Result<bool> {
        match self.compute()? {
            Some(mark) if mark.state == LinkState::Attached => {
                Ok(wrong_answers(&mut *self.parts.zone, Side::Compute, mark.nonce)? == 0)
            }
            _ => Ok(false),
        }
    }

    /// The translation fault that waits to be reported: a borrower reached outside of the window.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] when the card was reset or is gone, or after a detach.
    pub fn fault(&mut self) -> Result<Option<TranslationFault>> {
        self.parts.card.afu()?.fault()
    }

    /// Begins to count what goes through the card.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] while another process reads the counters; [`ErrorKind::Closed`] after a detach.
    pub fn counters(&mut self) -> Result<Counters<'_>> {
        self.parts.card.counters(Side::Memory)
    }

    /// Takes the link down and ends the lending, everything of it whatever fails on the way. `force` does so although a compute
    /// side is attached: its operator's word that it is off, or its host is fenced by its next access.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] while a compute side is attached: nothing was done. Else the first step that failed.
    pub fn detach(&mut self, force: bool) -> Result<()> {
        if self.undo.is_empty() {
            return Ok(());
        }
        if !force {
            self.parts.nobody_borrows()?;
            // It may attach right now: whichever of the two lines comes second sees the other one.
            self.parts.set_mark(LinkState::Detached)?;
            if let Err(e) = self.parts.nobody_borrows() {
                self.parts.set_mark(LinkState::Attached)?;
                return Err(e);
            }
        }
        self.undo.run(&mut self.parts).map_err(|e| e.context("detaching the memory side"))
    }
}

impl fmt::Debug for MemorySide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let window = &self.parts.window;
        f.debug_struct("MemorySide")
            .field("window", window)
            .field("ports", &self.ports())
            .finish_non_exhaustive()
    }
}

impl Drop for MemorySide {
    fn drop(&mut self) {
        if !self.undo.is_empty() && self.parts.nobody_borrows().is_err() {
            log::warn!("the memory side ends while a compute side is attached: its host may be fenced");
        }
        // What fails is logged.
        let _ = self.undo.run(&mut self.parts);
    }
}

impl Parts {
    fn bring_up(&mut self, undo: &mut Undo<Self>) -> Result<()> {
        undo.push("closing the AFU context", |parts| parts.card.close());
        write_answers(&mut *self.zone, Side::Memory, self.mark.nonce)?;
        self.card.check()?;
        // Closing is what detaches from the address space.
        self.card.afu()?.attach()?;
        self.card.trace.call("attach");
        self.card.map_global()?;
        undo.push("unmapping the global MMIO", |parts| parts.card.unmap_global());
        if let Some(per_pasid) = self.card.afu()?.map_per_pasid()? {
            self.card.trace.call("map per-PASID");
            self.per_pasid = Some(self.card.trace.of(per_pasid));
            undo.push("unmapping the per-PASID MMIO", Self::unmap_per_pasid);
        }
        self.card.write(Register::Control, CONTROL_TEST_ENABLE)?;
        undo.push("clearing the control register", |parts| parts.card.write(Register::Control, 0));
        self.card.write(Register::AuroraReset, self.ports.bits())?;
        undo.push("resetting the Aurora channels", |parts| parts.card.write(Register::AuroraReset, 0));
        undo.push("marking the window detached", |parts| match parts.mark.state {
            LinkState::Attached => parts.set_mark(LinkState::Detached),
            _ => Ok(()),
        });
        self.set_mark(LinkState::Attached)
    }

    fn set_mark(&mut self, state: LinkState) -> Result<()> {
        let mark = Mark { state, count: self.mark.count + 1, ..self.mark };
        write_mark(&mut *self.zone, Side::Memory, mark)?;
        self.mark = mark;
        Ok(())
    }

    fn nobody_borrows(&mut self) -> Result<()> {
        let who = match read_mark(&mut *self.zone, Side::Compute)? {
            Some(mark) if mark.state != LinkState::Attached => return Ok(()),
            Some(mark) => match (mark.section, mark.ports) {
                (Some(section), Some(ports)) => {
                    format!("a compute side is attached (its section {section}, port {ports})")
                }
                _ => "a compute side is attached".to_owned(),
            },
            None => "the compute side's line cannot be read: one may be attaching".to_owned(),
        };
        let text = format!(
            "{who}: detach it first, or its host is fenced at its next access; force this side only when that host is off"
        );
        Err(Error::new(ErrorKind::InUse, text))
    }

    fn unmap_per_pasid(&mut self) -> Result<()> {
        self.per_pasid = None;
        self.card.trace.call("unmap per-PASID");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ptr::NonNull;
    use std::sync::{Arc, Mutex};

    use memmap2::MmapMut;

    use super::*;
    use crate::afu::model::Fabric;
    use crate::afu::thymesisflow::line::Line;
    use crate::afu::thymesisflow::zone::ZONE_BYTES;
    use crate::units::index;

    /// A zone in which a compute side attaches at the moment when the memory side says that it goes.
    struct Racing {
        inner: Box<dyn LinkMemory>,
        compute: Mark,
        raced: Arc<Mutex<bool>>,
    }

    impl LinkMemory for Racing {
        fn load(&mut self, off: u64) -> Result<Line> {
            self.inner.load(off)
        }

        fn store(&mut self, off: u64, line: &Line) -> Result<()> {
            if !std::mem::replace(&mut *self.raced.lock().unwrap(), true) {
                write_mark(&mut *self.inner, Side::Compute, self.compute)?;
            }
            self.inner.store(off, line)
        }
    }

    #[test]
    fn a_memory_side_notices_a_compute_side_that_comes_at_the_same_moment() {
        let mut memory = MmapMut::map_anon(index(2 * ZONE_BYTES)).unwrap();
        // SAFETY: the mapping is dropped last.
        let window = unsafe { LentWindow::adopt(NonNull::new(memory.as_mut_ptr()).unwrap(), 2 * ZONE_BYTES) };
        let fabric = Fabric::new();
        let afu = fabric.open(Side::Memory).unwrap();
        let mut side = MemorySide::attach(afu, window.unwrap(), Ports::Zero, &Trace::new()).unwrap();
        let raced = Arc::new(Mutex::new(false));
        let compute = Mark { nonce: 5, ..side.parts.mark };
        let (inner, racing) = (Box::new(side.parts.window.zone().unwrap()), Arc::clone(&raced));
        side.parts.zone = Box::new(Racing { inner, compute, raced: racing });
        assert_eq!(side.detach(false).unwrap_err().kind(), ErrorKind::InUse);
        assert!(*raced.lock().unwrap());
        // It took its word back: whoever came finds an attached memory side.
        let zone = &mut *side.parts.zone;
        assert_eq!(read_mark(zone, Side::Memory).unwrap().unwrap().state, LinkState::Attached);
        assert_eq!(fabric.card(Side::Memory).aurora, 1);
        write_mark(zone, Side::Compute, Mark { state: LinkState::Detached, ..compute }).unwrap();
        side.detach(false).unwrap();
        assert_eq!(fabric.card(Side::Memory).aurora, 0);
    }
}
