//! Both sides on the model of two cards: sequences, training, order, and a failure at every step.

mod failures;
mod order;
mod sequences;
mod trains;

use std::ops::ControlFlow;
use std::ptr::NonNull;
use std::time::Duration;

use memmap2::MmapMut;

use super::{Borrow, ComputeSide, LentWindow, MemorySide, Ports, Progress, Section, Side, Training};
use crate::afu::Trace;
use crate::afu::model::{Card, Fabric};
use crate::error::Result;
use crate::units::{MIB, index};

const LEN_BYTES: u64 = 4 * MIB;

const GO_ON: fn(&Progress) -> ControlFlow<()> = |_| ControlFlow::Continue(());

/// Two cards, and a window in this process that the memory side may lend.
struct Rig {
    fabric: Fabric,
    window: MmapMut,
    section: Section,
    ports: Ports,
    memory_trace: Trace,
    compute_trace: Trace,
}

impl Rig {
    fn new() -> Self {
        Self::with(0, Ports::Zero)
    }

    fn with(section: u64, ports: Ports) -> Self {
        Self {
            fabric: Fabric::new(),
            window: MmapMut::map_anon(index(LEN_BYTES)).unwrap(),
            section: Section::new(section).unwrap(),
            ports,
            memory_trace: Trace::new(),
            compute_trace: Trace::new(),
        }
    }

    fn ea(&self) -> u64 {
        self.window.as_ptr() as u64
    }

    /// As before an attach: the window's owner zeroes it.
    fn memory(&mut self) -> Result<MemorySide> {
        self.window.fill(0);
        let at = NonNull::new(self.window.as_mut_ptr()).unwrap();
        // SAFETY: the mapping is the rig's, and outlives what it lends.
        let window = unsafe { LentWindow::adopt(at, LEN_BYTES) }?;
        MemorySide::attach(self.fabric.open(Side::Memory)?, window, self.ports, &self.memory_trace)
    }

    fn borrow(&self) -> Borrow {
        let training =
            Training { deadline: Duration::from_secs(60), settle: Duration::ZERO, pause: Duration::ZERO };
        Borrow { ea: self.ea(), len_bytes: LEN_BYTES, section: self.section, ports: self.ports, training }
    }

    fn compute(&self) -> Result<ComputeSide> {
        self.compute_with(&self.borrow(), &mut { GO_ON })
    }

    fn compute_with(
        &self,
        borrow: &Borrow,
        progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<ComputeSide> {
        let window = self.fabric.window(self.section.start_off(), LEN_BYTES);
        ComputeSide::attach(self.fabric.open(Side::Compute)?, borrow, window, &self.compute_trace, progress)
    }

    fn traced(trace: &Trace) -> Vec<String> {
        trace.take().iter().map(ToString::to_string).collect()
    }

    /// Nothing is left of a side, and its host was not fenced.
    #[track_caller]
    fn assert_clean(&self, side: Side) {
        let card = self.fabric.card(side);
        let Card { open, attached, mapped, control, sections, aurora, fenced, .. } = card;
        assert_eq!((open, attached, mapped, control), (false, false, 0, 0), "{side}");
        assert_eq!((sections, aurora, fenced), ([0; 8], 0, false), "{side}");
    }
}
