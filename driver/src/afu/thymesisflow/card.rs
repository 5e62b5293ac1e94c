//! The card as both ends of a link have it: an AFU's context, and its registers while they are mapped.

use crate::afu::context::AfuContext;
use crate::afu::mmio::Mmio;
use crate::afu::thymesisflow::counters::Counters;
use crate::afu::thymesisflow::registers::{GLOBAL_MMIO_BYTES_MIN, Register};
use crate::afu::thymesisflow::zone::Side;
use crate::afu::trace::Trace;
use crate::error::{Error, ErrorKind, Result};

/// A card. What is asked of one that was closed is [`ErrorKind::Closed`].
pub(super) struct Card {
    pub(super) trace: Trace,
    // Unmapped before the context is closed.
    global: Option<Box<dyn Mmio>>,
    afu: Option<Box<dyn AfuContext>>,
}

pub(super) fn detached() -> Error {
    Error::new(ErrorKind::Closed, "the link was detached")
}

impl Card {
    pub(super) fn new(afu: Box<dyn AfuContext>, trace: &Trace) -> Self {
        Self { trace: trace.clone(), global: None, afu: Some(afu) }
    }

    pub(super) fn afu(&mut self) -> Result<&mut dyn AfuContext> {
        Ok(&mut **self.afu.as_mut().ok_or_else(detached)?)
    }

    /// Its registers.
    pub(super) fn global(&mut self) -> Result<&mut dyn Mmio> {
        Ok(&mut **self.global.as_mut().ok_or_else(detached)?)
    }

    /// Whether it can be ThymesisFlow's.
    pub(super) fn check(&mut self) -> Result<()> {
        let bytes = self.afu()?.metadata()?.global_mmio_bytes;
        if bytes >= GLOBAL_MMIO_BYTES_MIN {
            return Ok(());
        }
        let text = format!(
            "it has {bytes:#x} bytes of global MMIO, ThymesisFlow's has {GLOBAL_MMIO_BYTES_MIN:#x} at least: it is another AFU"
        );
        Err(Error::new(ErrorKind::Unsupported, text))
    }

    pub(super) fn map_global(&mut self) -> Result<()> {
        let global = self.afu()?.map_global()?;
        self.trace.call("map global");
        self.global = Some(self.trace.of(global));
        Ok(())
    }

    pub(super) fn write(&mut self, register: Register, value: u64) -> Result<()> {
        register.write(self.global()?, value)
    }

    /// Begins to count what goes through it.
    pub(super) fn counters(&mut self, side: Side) -> Result<Counters<'_>> {
        let lock = self.afu()?.counter_lock()?;
        Counters::begin(self.global()?, side, lock)
    }

    pub(super) fn unmap_global(&mut self) -> Result<()> {
        self.global = None;
        self.trace.call("unmap global");
        Ok(())
    }

    pub(super) fn close(&mut self) -> Result<()> {
        self.afu = None;
        self.trace.call("close");
        Ok(())
    }
}
