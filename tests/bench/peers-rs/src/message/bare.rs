//! The limit: a sequence number and the message in shared memory, and nothing else.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Entry, Link, MOST, Means};

/// One direction: a line for the number and up to 48 bytes of a message, which then moves with it; larger ones behind.
const CHANNEL_BYTES: usize = LARGE_AT + MOST;
const SMALL: usize = 48;
/// Where a larger message begins: two lines on, for some processors fetch lines in pairs.
pub(crate) const LARGE_AT: usize = 128;
pub(crate) const ACROSS: &str = "bare cache lines, clwb and clflushopt";
/// Two of the coherent link, two of the other one, two for answers.
const CHANNELS: usize = 6;

/// Memory for the channels.
pub(crate) fn memory() -> Vec<i32> {
    // SAFETY: a name that ends in a zero. Not closed on exec: the far process maps it.
    let fd = unsafe { libc::memfd_create(c"bench".as_ptr(), 0) };
    // SAFETY: the descriptor just made.
    let done = unsafe { libc::ftruncate(fd, i64::try_from(CHANNELS * CHANNEL_BYTES).expect("small")) };
    assert!(fd >= 0 && done == 0, "{}", std::io::Error::last_os_error());
    vec![fd]
}

fn map(fd: i32) -> *mut u8 {
    // SAFETY: a new shared mapping wherever the kernel likes; it stays until the process ends.
    let at = unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(std::ptr::null_mut(), CHANNELS * CHANNEL_BYTES, access, libc::MAP_SHARED, fd, 0)
    };
    assert!(at != libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
    at.cast()
}

/// Whether lines are moved by the caches themselves, or by cache instructions as where no hardware does it.
#[derive(Clone, Copy)]
struct Lines {
    #[cfg(target_arch = "x86_64")]
    by_hand: bool,
}

impl Lines {
    #[cfg(target_arch = "x86_64")]
    fn home(self, at: *const u8, len: usize) {
        if self.by_hand {
            for off in (0..len).step_by(64) {
                // SAFETY: writes a line of the channel back, which changes nothing.
                unsafe { std::arch::asm!("clwb [{}]", in(reg) at.add(off), options(nostack)) };
            }
            // SAFETY: orders stores.
            unsafe { std::arch::x86_64::_mm_sfence() };
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn anew(self, at: *const u8, len: usize) {
        if self.by_hand {
            for off in (0..len).step_by(64) {
                // SAFETY: drops a line of the channel that this side never writes.
                unsafe { std::arch::asm!("clflushopt [{}]", in(reg) at.add(off), options(nostack)) };
            }
            // SAFETY: orders loads and stores.
            unsafe { std::arch::x86_64::_mm_mfence() };
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn home(self, _at: *const u8, _len: usize) {}

    #[cfg(not(target_arch = "x86_64"))]
    fn anew(self, _at: *const u8, _len: usize) {}
}

struct Bare {
    to: *mut u8,
    from: *mut u8,
    sent: u64,
    got: u64,
    lines: Lines,
}

/// Where a message of `len` bytes is in a channel, behind its number.
pub(crate) fn place(len: usize) -> usize {
    if len <= SMALL { 8 } else { LARGE_AT }
}

fn number<'a>(channel: *mut u8) -> &'a AtomicU64 {
    // SAFETY: the first word of a channel, aligned, and mapped until the process ends.
    unsafe { &*channel.cast::<AtomicU64>() }
}

impl Link for Bare {
    fn send(&mut self, bytes: &[u8]) {
        let at = place(bytes.len());
        // SAFETY: inside the channel; the other side reads it when it sees the number.
        unsafe { self.to.add(at).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        if at == LARGE_AT {
            self.lines.home(self.to.wrapping_add(at), bytes.len());
        }
        self.sent += 1;
        number(self.to).store(self.sent, Ordering::Release);
        self.lines.home(self.to, 64);
    }

    fn receive(&mut self, into: &mut [u8]) {
        self.got += 1;
        let at = place(into.len());
        self.lines.anew(self.from, 64);
        while number(self.from).load(Ordering::Acquire) != self.got {
            std::hint::spin_loop();
            self.lines.anew(self.from, 64);
        }
        if at == LARGE_AT {
            self.lines.anew(self.from.wrapping_add(at), into.len());
        }
        // SAFETY: inside the channel; the other side waits for the answer before it writes again.
        unsafe { into.as_mut_ptr().copy_from_nonoverlapping(self.from.add(at), into.len()) };
    }
}

/// The link over two of the channels, from number `first` on.
fn link(means: &Means, first: usize, lines: Lines) -> Box<dyn Link> {
    let start = map(means.fds[0]).wrapping_add(first * CHANNEL_BYTES);
    let to = start.wrapping_add(means.side.sends_by() * CHANNEL_BYTES);
    let from = start.wrapping_add((1 - means.side.sends_by()) * CHANNEL_BYTES);
    Box::new(Bare { to, from, sent: 0, got: 0, lines })
}

const BY_HARDWARE: Lines = Lines {
    #[cfg(target_arch = "x86_64")]
    by_hand: false,
};

/// A link for the answers to what cannot answer itself.
pub(crate) fn answers(means: &Means) -> Box<dyn Link> {
    link(means, 4, BY_HARDWARE)
}

pub(crate) fn entry(means: &Means) -> Entry {
    Entry {
        who: "bare cache lines",
        how: "polled",
        limit: true,
        answers: true,
        includes: "store, one line from cache to cache (64 B: two, 4 KiB: 65), load, two clock readings",
        link: link(means, 0, BY_HARDWARE),
    }
}

/// The limit where nothing keeps caches coherent; None where it is not written for the instruction set.
pub(crate) fn across(means: &Means) -> Option<Entry> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::x86_64::__cpuid_count(7, 0).ebx >> 23 & 3 == 3 {
        return Some(Entry {
            who: ACROSS,
            how: "between nodes",
            limit: true,
            // As its rivals, whose far side borrows: else the answer's own clwb would be part of the next message.
            answers: false,
            includes: "store, clwb, sfence; clflushopt, mfence, load, again until it is there",
            link: link(means, 2, Lines { by_hand: true }),
        });
    }
    let _ = means;
    None
}
