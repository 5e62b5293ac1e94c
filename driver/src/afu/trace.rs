//! A trace of what is done to an AFU: calls and MMIO accesses, in order, shared by whoever holds a clone.
//!
//! It is for operators (`--verbose`), for tests, which assert whole sequences, and costs a lock an access: registers are
//! slower than that. It keeps the last [`ENTRIES`] entries, so that a link may be watched for days.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::afu::mmio::{Area, Mmio, Width};
use crate::error::Result;

/// One thing that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A call that succeeded, with what matters of its arguments.
    Call(String),
    /// A register that was read, and what it said.
    Read {
        /// Which area.
        area: Area,
        /// Offset in the area, in bytes.
        off: u64,
        /// How wide.
        width: Width,
        /// The value, as little-endian bytes say it.
        value: u64,
    },
    /// A register that was written.
    Write {
        /// Which area.
        area: Area,
        /// Offset in the area, in bytes.
        off: u64,
        /// How wide.
        width: Width,
        /// The value, as little-endian bytes say it.
        value: u64,
    },
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entry::Call(what) => f.write_str(what),
            Entry::Read { area, off, width, value } => {
                write!(f, "read{} {area} {off:#04x} -> {value:#x}", width.bytes() * 8)
            }
            Entry::Write { area, off, width, value } => {
                write!(f, "write{} {area} {off:#04x} = {value:#x}", width.bytes() * 8)
            }
        }
    }
}

/// Entries that a trace keeps.
const ENTRIES: usize = 4096;

/// The last things that were done, 4096 at most; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Trace(Arc<Mutex<VecDeque<Entry>>>);

impl Trace {
    /// An empty trace.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What was done since the last time this was asked.
    #[must_use]
    pub fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }

    /// Writes a call down.
    pub(super) fn call(&self, what: impl Into<String>) {
        self.push(Entry::Call(what.into()));
    }

    fn push(&self, entry: Entry) {
        log::debug!("afu: {entry}");
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() == ENTRIES {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    /// The same registers, each access written down once it succeeded.
    pub(super) fn of(&self, mmio: Box<dyn Mmio>) -> Box<dyn Mmio> {
        Box::new(Traced { mmio, trace: self.clone() })
    }
}

struct Traced {
    mmio: Box<dyn Mmio>,
    trace: Trace,
}

impl Mmio for Traced {
    fn area(&self) -> Area {
        self.mmio.area()
    }

    fn len_bytes(&self) -> u64 {
        self.mmio.len_bytes()
    }

    fn load(&mut self, off: u64, width: Width) -> Result<u64> {
        let value = self.mmio.load(off, width)?;
        self.trace.push(Entry::Read { area: self.area(), off, width, value });
        Ok(value)
    }

    fn store(&mut self, off: u64, width: Width, value: u64) -> Result<()> {
        self.mmio.store(off, width, value)?;
        self.trace.push(Entry::Write { area: self.area(), off, width, value });
        Ok(())
    }
}
