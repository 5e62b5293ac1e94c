//! The process itself: who it is, and whether it is still the one that made a handle.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::OFlag;
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

/// How a child's look at memory ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// This is what it saw.
    Saw([u64; 16]),
    /// It killed the child.
    Signal(Signal),
    /// It was not over in time, or not waited for.
    Late,
}

/// Lets a child `look`, so that a fault or a stall is not this process's end. `going` is asked every millisecond or so
/// whether to wait on.
///
/// # Safety
/// `look` does what is allowed in the child of a process with threads: no allocation, no lock.
pub(crate) unsafe fn look_in_child(
    look: &dyn Fn() -> [u64; 16],
    patience: Duration,
    going: &mut dyn FnMut() -> bool,
) -> Result<Looked> {
    /// SIGKILL takes a moment, and forever where a load stalls the processor: such a child is left to the kernel.
    const GRACE: Duration = Duration::from_millis(200);
    let (out, into) =
        nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|e| Error::system("pipe2(O_CLOEXEC)", e as i32))?;
    // SAFETY: the child looks, which the caller vouches for, writes and ends.
    let child = match unsafe { nix::unistd::fork() } {
        Ok(ForkResult::Child) => {
            let saw = look();
            // SAFETY: plain system calls on what the child has.
            unsafe {
                let written = libc::write(into.as_raw_fd(), saw.as_ptr().cast(), size_of_val(&saw));
                libc::_exit(i32::from(written != size_of_val(&saw).cast_signed()))
            }
        }
        Ok(ForkResult::Parent { child }) => child,
        Err(e) => return Err(Error::system("fork()", e as i32)),
    };
    drop(into);
    let mut deadline = Instant::now() + patience;
    let mut killed = false;
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) if killed => return Ok(Looked::Late),
            Ok(WaitStatus::Exited(..)) => break,
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(Looked::Signal(signal)),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(Error::system(format_args!("waitpid({child})"), e as i32)),
        }
        if killed && Instant::now() >= deadline {
            return Ok(Looked::Late);
        }
        if !killed && (Instant::now() >= deadline || !going()) {
            (killed, deadline) = (true, Instant::now() + GRACE);
            nix::sys::signal::kill(child, Signal::SIGKILL)
                .map_err(|e| Error::system(format_args!("kill({child}, SIGKILL)"), e as i32))?;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let (mut saw, mut word) = ([0; 16], [0; 8]);
    let mut pipe = File::from(out);
    for to in &mut saw {
        pipe.read_exact(&mut word)
            .map_err(|e| Error::system("read(what a child saw)", e.raw_os_error().unwrap_or(libc::EPIPE)))?;
        *to = u64::from_ne_bytes(word);
    }
    Ok(Looked::Saw(saw))
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

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn a_load_that_faults_is_the_childs() {
        let path = std::env::temp_dir().join(format!("csm-load-{}", std::process::id()));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        file.set_len(4096).unwrap();
        std::fs::remove_file(&path).unwrap();
        let map = MmapOptions::new().len(4 << 16).map_raw(&file).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[5; 128], 0).unwrap();
        let look = |at: *const [u64; 16]| {
            // SAFETY: a load, which ends the child at worst.
            let look = || unsafe { at.read_volatile() };
            // SAFETY: loads alone.
            unsafe { look_in_child(&look, PATIENCE, &mut || true) }.unwrap()
        };
        assert_eq!(look(map.as_ptr().cast()), Looked::Saw([0x0505_0505_0505_0505; 16]));
        // Behind the end of the file there is nothing to load.
        let behind = map.as_ptr().wrapping_add(1 << 16).cast();
        assert_eq!(look(behind), Looked::Signal(Signal::SIGBUS));
    }

    #[test]
    fn a_child_that_stalls_is_not_waited_for() {
        let stall = || loop {
            std::hint::spin_loop();
        };
        let mut asked = 0;
        let going = &mut || {
            asked += 1;
            asked < 3
        };
        // SAFETY: the child does nothing.
        assert_eq!(unsafe { look_in_child(&stall, PATIENCE, going) }.unwrap(), Looked::Late);
        assert_eq!(asked, 3);
        // SAFETY: as above.
        let end = unsafe { look_in_child(&stall, Duration::ZERO, &mut || true) };
        assert_eq!(end.unwrap(), Looked::Late);
    }
}
