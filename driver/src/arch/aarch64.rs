//! AArch64: dc cvac, dc civac, dsb sy.
//!
//! All of them work to the point of coherency, on every cache of this node. Steps are the smallest line of any
//! data cache (CTR_EL0.DminLine); what must not be shared by two writers is the largest piece that an eviction
//! may write (CTR_EL0.CWG). Where CWG is 0, "not told", the architecture lets it be 2 KiB. It is taken for 128
//! bytes, as Linux does for DMA that is not coherent: the processors with longer lines (A64FX: 256) say so.
//! There are no stores that are sure to go past the caches: stnp is a hint.

use std::arch::asm;

use super::{CacheOps, LINE_BYTES_MAX, checked_line_bytes, lines, pieces, spread};
use crate::error::{Error, ErrorKind, Result};

pub(super) const CHOICES: &[&str] = &["dc"];

struct Arm {
    line: u64,
}

pub(super) fn detect(_choice: Option<&str>) -> Result<Box<dyn CacheOps>> {
    let register: u64;
    // SAFETY: Linux lets user mode read this register, or answers for it.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) register, options(nomem, nostack, preserves_flags)) };
    Ok(Box::new(Arm { line: step_bytes(register)? }))
}

/// The step of the instructions, if CTR_EL0 says nothing that a region's layout is not made for.
fn step_bytes(ctr_el0: u64) -> Result<u64> {
    let granule = match ctr_el0 >> 24 & 0xf {
        0 => LINE_BYTES_MAX,
        log2_words => 4 << log2_words,
    };
    if granule > LINE_BYTES_MAX {
        let text = format!(
            "this processor writes back up to {granule} bytes at once (CTR_EL0.CWG): a region keeps writers \
             apart by {LINE_BYTES_MAX} bytes; use memory that the hardware keeps coherent on this machine"
        );
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    checked_line_bytes(4 << (ctr_el0 >> 16 & 0xf), "CTR_EL0.DminLine")
}

impl CacheOps for Arm {
    fn line_bytes(&self) -> u64 {
        self.line
    }

    fn write_back(&self, address: *const u8, len: u64) {
        spread::over(self, address as u64, len, |start, len| dc_cvac(start, len, self.line));
    }

    fn invalidate(&self, address: *const u8, len: u64) {
        spread::over(self, address as u64, len, |start, len| dc_civac(start, len, self.line));
    }

    fn fence(&self) {
        dsb_sy();
    }

    unsafe fn copy_home(&self, from: *const u8, to: *mut u8, len: u64) {
        // SAFETY: the caller's promise.
        unsafe { spread::copy(self, from, to, len, pieces::copy) };
    }
}

// Functions of their own, never inlined: tests/env/arch.sh reads their object code.

#[inline(never)]
fn dc_cvac(address: u64, len: u64, line: u64) {
    // SAFETY: writes a line home and changes nothing that the program can see. Not without the compiler's
    // memory clobber: the stores to the line come first.
    lines::for_each(address, len, line, |at| unsafe {
        asm!("dc cvac, {}", in(reg) at, options(nostack, preserves_flags));
    });
}

#[inline(never)]
fn dc_civac(address: u64, len: u64, line: u64) {
    // SAFETY: as above; the line also leaves the caches, and the next load fetches it.
    lines::for_each(address, len, line, |at| unsafe {
        asm!("dc civac, {}", in(reg) at, options(nostack, preserves_flags));
    });
}

#[inline(never)]
fn dsb_sy() {
    // SAFETY: orders, and changes nothing.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_the_smallest_line_and_too_large_a_granule_is_refused() {
        let ctr = |granule: u64, line: u64| 1 << 31 | granule << 24 | line << 16 | 4;
        assert_eq!(step_bytes(ctr(4, 4)).unwrap(), 64);
        assert_eq!(step_bytes(ctr(5, 4)).unwrap(), 64);
        assert_eq!(step_bytes(ctr(0, 5)).unwrap(), 128);
        for refused in [ctr(6, 4), ctr(6, 6), ctr(0, 6), ctr(4, 0)] {
            assert_eq!(step_bytes(refused).unwrap_err().kind(), ErrorKind::Unsupported, "{refused:#x}");
        }
    }
}
