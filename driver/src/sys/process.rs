//! The process itself: who it is, and whether it is still the one that made a handle.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

static FORKS: AtomicU32 = AtomicU32::new(0);

extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// A number that differs between a process and the children forked from it. Costs a load.
pub(crate) fn fork_count() -> u32 {
    static REGISTER: Once = Once::new();
    REGISTER.call_once(|| {
        // SAFETY: the handler does nothing but add to an atomic, which is allowed after fork.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
    FORKS.load(Ordering::Relaxed)
}

/// The effective user id.
pub(crate) fn effective_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// Nanoseconds since the epoch, for people to read: never used to decide anything.
pub(crate) fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The name of this process's program, at most 32 bytes.
pub(crate) fn command_name() -> String {
    let name = std::fs::read_to_string("/proc/self/comm").unwrap_or_default();
    name.trim_end().to_owned()
}

/// Ends this process as suddenly as a crash does.
#[cfg(feature = "test-hooks")]
pub(crate) fn kill_self() -> ! {
    loop {
        // SAFETY: plain system call.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
}

/// Stops this process until somebody continues it.
#[cfg(feature = "test-hooks")]
pub(crate) fn stop_self() {
    // SAFETY: plain system call.
    unsafe { libc::raise(libc::SIGSTOP) };
}
