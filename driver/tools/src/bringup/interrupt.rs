//! Ctrl-C, SIGTERM and SIGHUP: noted, never deadly, so that whoever holds something can undo it.
//!
//! A signal writes a byte to a socket pair: waiting for it is a `poll` with a deadline, together with whatever else
//! a command waits for, and no signal between a look and a wait is lost. The byte stays there, so the answer does.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use csm::{Error, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

/// Whether the operator wants an end.
pub(crate) struct Interrupt {
    wake: UnixStream,
}

impl Interrupt {
    /// Catches the signals from now on.
    pub(crate) fn catch() -> Result<Self> {
        let system = |what: &str, e: &std::io::Error| Error::system(what, e.raw_os_error().unwrap_or(0));
        let (wake, end) = UnixStream::pair().map_err(|e| system("socketpair(AF_UNIX, SOCK_STREAM)", &e))?;
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // Under nohup, the end of a session is meant to mean nothing.
            if signal == SIGHUP && is_ignored(signal) {
                continue;
            }
            let end = end.try_clone().map_err(|e| system("dup(signal pipe)", &e))?;
            pipe::register(signal, end).map_err(|e| system(&format!("sigaction({signal})"), &e))?;
        }
        wake.set_nonblocking(true).map_err(|e| system("fcntl(signal pipe, O_NONBLOCK)", &e))?;
        Ok(Self { wake })
    }

    #[cfg(test)]
    pub(crate) fn of(wake: UnixStream) -> Self {
        wake.set_nonblocking(true).expect("O_NONBLOCK");
        Self { wake }
    }

    /// Readable from the first signal on.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Whether a signal came since this was last asked: for whoever goes on after one.
    pub(crate) fn take(&self) -> bool {
        let mut any = false;
        while (&self.wake).read(&mut [0; 16]).is_ok_and(|n| n > 0) {
            any = true;
        }
        any
    }

    /// Whether a signal came that nobody took.
    pub(crate) fn raised(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits for a signal, no longer than `timeout`; whether one came.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::new(self.fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
                // Interrupted by the signal itself; the byte is there now.
                Err(Errno::EINTR) => {}
                Ok(0) if left > Duration::ZERO => {}
                Ok(0) | Err(_) => return false,
                Ok(_) => return true,
            }
        }
    }
}

/// Whether this process was started with the signal ignored.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}
