//! Interrupts as doorbells: each MSI-X vector of a device counts into an eventfd.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::function::Function;
use super::uapi;
use crate::error::{Error, ErrorKind, Result};
use crate::sys::process;

/// The MSI-X vectors of a device, from 0 on, each with an eventfd. Dropping it turns them off.
///
/// A device has one set of them, whoever has it open: a process that takes them takes them from another one that was
/// lent the same device.
///
/// May be used from several threads at once; a ring wakes one that waits for its vector.
#[derive(Debug)]
pub struct Interrupts {
    function: Arc<Function>,
    events: Vec<EventFd>,
    forks: u32,
}

impl Interrupts {
    /// Turns `vectors` of them on.
    pub(super) fn new(function: Arc<Function>, vectors: u32) -> Result<Self> {
        let there = uapi::vectors(&function.file)?;
        if vectors == 0 || vectors > there {
            let text = format!(
                "{vectors} interrupt vectors of PCI device {} were asked for; it has {there} (MSI-X)",
                function.address
            );
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        let event = |_| EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
        let events = (0..vectors)
            .map(event)
            .collect::<nix::Result<Vec<_>>>()
            .map_err(|e| Error::system("eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)", e as i32))?;
        function.take_vectors()?;
        // From here on, dropping it gives them back.
        let this = Self { function, events, forks: process::fork_count() };
        let fds: Vec<_> = this.events.iter().map(EventFd::as_fd).collect();
        uapi::set_vectors(&this.function.file, &fds)?;
        // An interrupt of this kind is a write by the device, which the kernel does not allow it at first.
        this.function.set_master(true)?;
        Ok(this)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.events.len()
    }

    /// Waits until `vector` was raised and says how often since the last time; 0 when `patience` ended first.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] without such a vector; when the system refuses to wait.
    pub fn wait(&self, vector: usize, patience: Duration) -> Result<u64> {
        let event = self.event(vector)?;
        let call =
            |name| format!("{name}(eventfd of vector {vector} of PCI device {})", self.function.address);
        let deadline = Instant::now() + patience;
        loop {
            match event.read() {
                Ok(count) => return Ok(count),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(e) => return Err(Error::system(call("read"), e as i32)),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(0);
            }
            let mut fds = [PollFd::new(event.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(e) => return Err(Error::system(call("poll"), e as i32)),
            }
        }
    }

    /// The eventfd of a vector, for a loop that waits for several things.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] without such a vector.
    pub fn fd(&self, vector: usize) -> Result<BorrowedFd<'_>> {
        self.event(vector).map(EventFd::as_fd)
    }

    fn event(&self, vector: usize) -> Result<&EventFd> {
        self.events.get(vector).ok_or_else(|| {
            let text = format!("there is no vector {vector}: {} are on, from 0", self.events.len());
            Error::new(ErrorKind::InvalidArgument, text)
        })
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        // What a child inherited is the parent's.
        if self.forks != process::fork_count() {
            return;
        }
        let off = self.function.set_master(false).and_then(|()| uapi::set_vectors(&self.function.file, &[]));
        if let Err(e) = off {
            log::warn!("turning interrupts off: {e}");
        }
        self.function.vectors_taken.store(false, Ordering::Release);
    }
}
