//! The process itself: who it is, and whether it is still the one that made a handle.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::ForkResult;

use crate::error::{Error, Result};

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

/// How a load made by a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoadEnd {
    /// It gave a value.
    Answered,
    /// It killed the child.
    Signal(Signal),
    /// It was not over in time.
    Late,
}

/// Lets a child load from `at`, so that a load which faults or never ends is not this process's.
pub(crate) fn load_in_child(at: *const u64, patience: Duration) -> Result<LoadEnd> {
    let deadline = Instant::now() + patience;
    // SAFETY: the child does nothing but a load and _exit, which are allowed in the child of a threaded process.
    let child = match unsafe { nix::unistd::fork() } {
        Ok(ForkResult::Child) => {
            // SAFETY: the caller's pointer is aligned and mapped; a fault ends this child and nobody else.
            unsafe {
                let _ = at.read_volatile();
                libc::_exit(0)
            }
        }
        Ok(ForkResult::Parent { child }) => child,
        Err(e) => return Err(Error::system("fork()", e as i32)),
    };
    let mut killed = false;
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(..)) if !killed => return Ok(LoadEnd::Answered),
            Ok(WaitStatus::Signaled(_, signal, _)) if !killed => return Ok(LoadEnd::Signal(signal)),
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) => return Ok(LoadEnd::Late),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(Error::system(format_args!("waitpid({child})"), e as i32)),
        }
        if Instant::now() >= deadline {
            if killed {
                // A stalled load holds even SIGKILL up: the child is left to the kernel.
                return Ok(LoadEnd::Late);
            }
            killed = true;
            let _ = nix::sys::signal::kill(child, Signal::SIGKILL);
            continue;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
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
