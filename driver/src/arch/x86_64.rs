//! x86-64: clwb, clflushopt or clflush, the best that cpuid reports.
//!
//! clwb may leave the line in the cache, so it never invalidates. The fence is mfence and not sfence: a load
//! after an invalidation must not run ahead of it. Lines are home when they reached the memory controller.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count, __m128i, _mm_loadu_si128, _mm_stream_si128};
use std::ptr;

use super::{CacheOps, Coherent, LINE_BYTES_MAX, checked_line_bytes, lines, spread};
use crate::error::{Error, ErrorKind, Result};
use crate::units::index;

pub(super) const CHOICES: &[&str] = &["clwb", "clflushopt", "clflush"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instruction {
    Clwb,
    Clflushopt,
    Clflush,
}

use Instruction::{Clflush, Clflushopt, Clwb};

struct X86 {
    line: u64,
    write_back: Instruction,
    invalidate: Instruction,
}

pub(super) fn detect(choice: Option<&str>) -> Result<Box<dyn CacheOps>> {
    let cpu = Cpu::ask();
    let forced = match choice {
        None => None,
        Some(name) => {
            let all = [Clwb, Clflushopt, Clflush];
            let wanted = CHOICES.iter().position(|known| *known == name).map(|i| all[i]);
            let Some(wanted) = wanted.filter(|wanted| cpu.has(*wanted)) else {
                let text = format!("flush={name}: this processor has no {name}; leave flush= out");
                return Err(Error::new(ErrorKind::Unsupported, text));
            };
            Some(wanted)
        }
    };
    let best = |of: &[Instruction]| of.iter().copied().find(|instruction| cpu.has(*instruction));
    let (Some(write_back), Some(invalidate)) = (
        forced.or_else(|| best(&[Clwb, Clflushopt, Clflush])),
        forced.filter(|forced| *forced != Clwb).or_else(|| best(&[Clflushopt, Clflush])),
    ) else {
        let text = "this processor has none of clwb, clflushopt and clflush; use memory that the hardware keeps coherent";
        return Err(Error::new(ErrorKind::Unsupported, text));
    };
    Ok(Box::new(X86 { line: checked_line_bytes(cpu.line_bytes, "cpuid 1")?, write_back, invalidate }))
}

/// What cpuid says about cache lines.
struct Cpu {
    line_bytes: u64,
    clflush: bool,
    clflushopt: bool,
    clwb: bool,
}

impl Cpu {
    #[allow(unused_unsafe, reason = "cpuid became a safe function after the oldest Rust this builds with")]
    fn ask() -> Self {
        // SAFETY: every x86-64 processor has cpuid and its leaf 1; leaf 7 is asked for where leaf 0 says it is.
        let (one, seven) =
            unsafe { (__cpuid(1), if __cpuid(0).eax >= 7 { __cpuid_count(7, 0).ebx } else { 0 }) };
        Self {
            line_bytes: u64::from(one.ebx >> 8 & 0xff) * 8,
            clflush: one.edx >> 19 & 1 == 1,
            clflushopt: seven >> 23 & 1 == 1,
            clwb: seven >> 24 & 1 == 1,
        }
    }

    fn has(&self, instruction: Instruction) -> bool {
        match instruction {
            Clwb => self.clwb,
            Clflushopt => self.clflushopt,
            Clflush => self.clflush,
        }
    }
}

impl CacheOps for X86 {
    fn line_bytes(&self) -> u64 {
        self.line
    }

    fn write_back(&self, address: *const u8, len: u64) {
        let work = match self.write_back {
            Clwb => clwb,
            Clflushopt => clflushopt,
            Clflush => clflush,
        };
        spread::over(self, address as u64, len, |start, len| work(start, len, self.line));
    }

    fn invalidate(&self, address: *const u8, len: u64) {
        let work = if self.invalidate == Clflushopt { clflushopt } else { clflush };
        spread::over(self, address as u64, len, |start, len| work(start, len, self.line));
    }

    fn fence(&self) {
        mfence();
    }

    unsafe fn copy_home(&self, from: *const u8, to: *mut u8, len: u64) {
        // SAFETY: the caller's promise.
        unsafe { spread::copy(self, from, to, len, copy) };
    }
}

/// Copies whole lines past the caches, and writes home what of the first and last line has to be ordinary stores.
///
/// # Safety
/// As [`CacheOps::copy_home`].
unsafe fn copy(ops: &X86, from: *const u8, to: *mut u8, len: u64) {
    // SAFETY: the caller's promise.
    let (head, tail) = unsafe { copy_lines(from, to, len, ops.line) };
    ops.write_back(to, head);
    ops.write_back(to.wrapping_add(index(len - tail)), tail);
}

/// Copies past the caches in memory that hardware keeps coherent, where lines need not go home.
///
/// # Safety
/// As [`CacheOps::copy_home`].
pub(super) unsafe fn copy_past_caches(_: &Coherent, from: *const u8, to: *mut u8, len: u64) {
    // SAFETY: the caller's promise.
    unsafe { copy_lines(from, to, len, LINE_BYTES_MAX) };
}

/// Copies whole lines of `to` past the caches and the bytes before and behind them with ordinary stores; returns how
/// many those are.
///
/// # Safety
/// As [`CacheOps::copy_home`].
unsafe fn copy_lines(from: *const u8, to: *mut u8, len: u64, line: u64) -> (u64, u64) {
    let start = to as u64;
    let head = start.next_multiple_of(line).min(start + len) - start;
    let body = (len - head) / line * line;
    let tail = len - head - body;
    let done = index(head + body);
    // SAFETY: three parts of the caller's ranges; the second one begins and ends with a line of `to`.
    unsafe {
        ptr::copy_nonoverlapping(from, to, index(head));
        stream(from.add(index(head)), to.add(index(head)), body);
        ptr::copy_nonoverlapping(from.add(done), to.add(done), index(tail));
    }
    (head, tail)
}

// Functions of their own, never inlined: tests/env/arch.sh reads their object code.

#[inline(never)]
fn clwb(address: u64, len: u64, line: u64) {
    // SAFETY: writes a line home and changes nothing that the program can see. Not without the compiler's
    // memory clobber: the stores to the line come first.
    lines::for_each(address, len, line, |at| unsafe {
        asm!("clwb [{}]", in(reg) at, options(nostack, preserves_flags));
    });
}

#[inline(never)]
fn clflushopt(address: u64, len: u64, line: u64) {
    // SAFETY: as above; the line also leaves the cache, and the next load fetches it.
    lines::for_each(address, len, line, |at| unsafe {
        asm!("clflushopt [{}]", in(reg) at, options(nostack, preserves_flags));
    });
}

#[inline(never)]
fn clflush(address: u64, len: u64, line: u64) {
    // SAFETY: as above.
    lines::for_each(address, len, line, |at| unsafe {
        asm!("clflush [{}]", in(reg) at, options(nostack, preserves_flags));
    });
}

#[inline(never)]
fn mfence() {
    // SAFETY: orders, and changes nothing.
    unsafe { asm!("mfence", options(nostack, preserves_flags)) };
}

/// Copies `len` bytes, a multiple of 16, with stores that go past the caches.
///
/// # Safety
/// Both ranges are valid and do not overlap; `to` is aligned to 16 bytes.
#[inline(never)]
#[expect(clippy::cast_ptr_alignment, reason = "loads are unaligned ones, stores are aligned by contract")]
unsafe fn stream(from: *const u8, to: *mut u8, len: u64) {
    for off in (0..index(len)).step_by(16) {
        // SAFETY: inside the caller's ranges.
        unsafe {
            let bytes = _mm_loadu_si128(from.add(off).cast::<__m128i>());
            _mm_stream_si128(to.add(off).cast::<__m128i>(), bytes);
        }
    }
}
