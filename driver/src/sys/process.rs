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

/// How something that a child did ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChildEnd {
    /// It was done.
    Done,
    /// It killed the child.
    Signal(Signal),
    /// It was not over in time, or not waited for.
    Late,
}

/// Lets a child do `work`, so that a fault or a stall is not this process's end. `going` is asked every few milliseconds
/// whether to wait on.
///
/// # Safety
/// `work` does what is allowed in the child of a process with threads: no allocation, no lock.
pub(crate) unsafe fn do_in_child(
    work: &dyn Fn(),
    patience: Duration,
    going: &mut dyn FnMut() -> bool,
) -> Result<ChildEnd> {
    /// SIGKILL takes a moment, and forever where a load stalls the processor: such a child is left to the kernel.
    const GRACE: Duration = Duration::from_millis(200);
    // SAFETY: the child does the work, which the caller vouches for, and ends.
    let child = match unsafe { nix::unistd::fork() } {
        Ok(ForkResult::Child) => {
            work();
            // SAFETY: plain system call.
            unsafe { libc::_exit(0) }
        }
        Ok(ForkResult::Parent { child }) => child,
        Err(e) => return Err(Error::system("fork()", e as i32)),
    };
    let mut deadline = Instant::now() + patience;
    let mut killed = false;
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(..)) if !killed => return Ok(ChildEnd::Done),
            Ok(WaitStatus::Signaled(_, signal, _)) if !killed => return Ok(ChildEnd::Signal(signal)),
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) => return Ok(ChildEnd::Late),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(Error::system(format_args!("waitpid({child})"), e as i32)),
        }
        if killed && Instant::now() >= deadline {
            return Ok(ChildEnd::Late);
        }
        if !killed && (Instant::now() >= deadline || !going()) {
            (killed, deadline) = (true, Instant::now() + GRACE);
            nix::sys::signal::kill(child, Signal::SIGKILL)
                .map_err(|e| Error::system(format_args!("kill({child}, SIGKILL)"), e as i32))?;
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

#[cfg(test)]
mod tests {
    use memmap2::MmapOptions;

    use super::*;

    #[test]
    fn a_load_that_faults_is_the_childs() {
        let path = std::env::temp_dir().join(format!("csm-load-{}", std::process::id()));
        let file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let file = file.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        file.set_len(4096).unwrap();
        let map = MmapOptions::new().len(4 << 16).map_raw(&file).unwrap();
        std::fs::remove_file(&path).unwrap();
        let load = |at: *const u8| {
            let work = || {
                // SAFETY: a load, which ends the child at worst.
                let _ = unsafe { at.read_volatile() };
            };
            // SAFETY: the work is a load.
            unsafe { do_in_child(&work, Duration::from_secs(60), &mut || true) }.unwrap()
        };
        assert_eq!(load(map.as_ptr()), ChildEnd::Done);
        // Behind the end of the file there is nothing to load.
        assert_eq!(load(map.as_ptr().wrapping_add(1 << 16)), ChildEnd::Signal(Signal::SIGBUS));
    }

    #[test]
    fn a_child_that_stalls_is_not_waited_for() {
        let stall = || loop {
            std::hint::spin_loop();
        };
        let mut asked = 0;
        // SAFETY: the work does nothing.
        let end = unsafe {
            do_in_child(&stall, Duration::from_secs(60), &mut || {
                asked += 1;
                asked < 3
            })
        };
        assert_eq!((end.unwrap(), asked), (ChildEnd::Late, 3));
        // SAFETY: as above.
        let end = unsafe { do_in_child(&stall, Duration::ZERO, &mut || true) };
        assert_eq!(end.unwrap(), ChildEnd::Late);
    }
}
