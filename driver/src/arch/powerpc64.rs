//! POWER9 and later: dcbst, dcbf, sync.
//!
//! There are no stores past the caches that user mode could rely on, so copies are ordinary stores written home
//! piece by piece. The instructions reach every processor of this node. dcbi, which would drop a dirty line, is
//! privileged. Rust has inline assembly here from 1.95 on.

use std::arch::asm;

use super::{CacheOps, checked_line_bytes, lines, pieces, spread};
use crate::error::Result;

pub(super) const CHOICES: &[&str] = &["dcbst"];

struct Power {
    line: u64,
}

pub(super) fn detect(_choice: Option<&str>) -> Result<Box<dyn CacheOps>> {
    const AT_DCACHEBSIZE: libc::c_ulong = 19;
    // SAFETY: plain query; 0 where the kernel does not say.
    let line = unsafe { libc::getauxval(AT_DCACHEBSIZE) };
    Ok(Box::new(Power { line: checked_line_bytes(line, "AT_DCACHEBSIZE")? }))
}

impl CacheOps for Power {
    fn line_bytes(&self) -> u64 {
        self.line
    }

    fn write_back(&self, address: *const u8, len: u64) {
        spread::over(self, address as u64, len, |start, len| dcbst(start, len, self.line));
    }

    fn invalidate(&self, address: *const u8, len: u64) {
        spread::over(self, address as u64, len, |start, len| dcbf(start, len, self.line));
    }

    fn fence(&self) {
        sync();
    }

    unsafe fn copy_home(&self, from: *const u8, to: *mut u8, len: u64) {
        // SAFETY: the caller's promise.
        unsafe { spread::copy(self, from, to, len, pieces::copy) };
    }
}

// Functions of their own, never inlined: tests/env/arch.sh reads their object code.

#[inline(never)]
fn dcbst(address: u64, len: u64, line: u64) {
    // SAFETY: writes a line home and changes nothing that the program can see. Not without the compiler's
    // memory clobber: the stores to the line come first.
    lines::for_each(address, len, line, |at| unsafe {
        asm!("dcbst 0, {}", in(reg) at, options(nostack, preserves_flags));
    });
}

#[inline(never)]
fn dcbf(address: u64, len: u64, line: u64) {
    // SAFETY: as above; the line also leaves the caches, and the next load fetches it.
    lines::for_each(address, len, line, |at| unsafe {
        asm!("dcbf 0, {}", in(reg) at, options(nostack, preserves_flags));
    });
}

#[inline(never)]
fn sync() {
    // SAFETY: orders, and changes nothing.
    unsafe { asm!("sync", options(nostack, preserves_flags)) };
}
