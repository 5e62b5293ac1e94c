//! Waiting on the low half of a word in shared memory.
//!
//! Where the memory cannot carry a futex (device memory: EFAULT), waiting is a bounded nap: the callers
//! poll with a deadline in any case, so a lost wake costs one nap and nothing else.

use std::time::Duration;

/// Sleeps while the low 32 bits of `*word` are those of `expected`, at most `at_most`.
pub(crate) fn wait_low(word: *const u64, expected: u64, at_most: Duration) {
    let timeout = libc::timespec {
        tv_sec: libc::time_t::try_from(at_most.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: at_most.subsec_nanos().into(),
    };
    #[expect(clippy::cast_possible_truncation, reason = "a futex compares 32 bits")]
    let expected = expected as u32;
    // SAFETY: the kernel reads 4 aligned bytes at `word` (the low half on a little-endian machine) or
    // answers EFAULT; `timeout` outlives the call.
    let result = unsafe {
        libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, expected, &raw const timeout, 0usize, 0)
    };
    if result != 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT) {
        std::thread::sleep(at_most.min(Duration::from_micros(50)));
    }
}

/// Wakes up to `count` sleepers of [`wait_low`].
pub(crate) fn wake_low(word: *const u64, count: i32) {
    // SAFETY: FUTEX_WAKE does not access the memory beyond looking up its page.
    unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, count) };
}
