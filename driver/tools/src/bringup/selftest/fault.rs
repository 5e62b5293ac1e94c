//! Memory that is broken in a known way, for the tests of the tests.

use std::cell::RefCell;
use std::ops::Range;

use super::memory::{Cells, WORD};

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// This bit of an address is not looked at.
    AddressLine(u32),
    /// Two bits of an address are tied: each is high only when both are.
    AddressTied(u32, u32),
    /// This bit of every word at an odd multiple of 64 KiB reads as 0.
    DataLow(u32),
}

/// Words, behind faulty wires.
pub(super) struct Broken {
    cells: RefCell<Vec<u64>>,
    fault: Fault,
}

impl Broken {
    pub(super) fn new(len_bytes: u64, fault: Fault) -> Self {
        Self { cells: RefCell::new((0..len_bytes / WORD).map(|_| 0).collect()), fault }
    }

    fn cell(&self, off: u64) -> usize {
        let off = match self.fault {
            Fault::AddressLine(bit) => off & !(1 << bit),
            Fault::AddressTied(a, b) if off >> a & 1 != off >> b & 1 => off & !(1 << a) & !(1 << b),
            _ => off,
        };
        usize::try_from(off / WORD).unwrap_or(usize::MAX)
    }
}

impl Cells for Broken {
    fn load(&self, off: u64) -> u64 {
        let word = self.cells.borrow()[self.cell(off)];
        match self.fault {
            Fault::DataLow(bit) if off >> 16 & 1 == 1 => word & !(1 << bit),
            _ => word,
        }
    }

    fn store(&self, off: u64, value: u64) {
        self.cells.borrow_mut()[self.cell(off)] = value;
    }

    fn release(&self, _range: Range<u64>) {}

    fn acquire(&self, _range: Range<u64>) {}
}
