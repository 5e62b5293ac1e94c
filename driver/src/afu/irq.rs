//! An AFU's interrupts, each delivered to an eventfd.

use std::fs::File;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::mman::{MapFlags, ProtFlags};

use crate::afu::uapi;
use crate::error::{Error, ErrorKind, Result};
use crate::sys::mem::{page_bytes, unmap};
use crate::units::index;

/// One interrupt of an AFU, until dropped. The AFU raises it by storing to its trigger page.
#[derive(Debug)]
pub struct Irq {
    // Undone in this order on drop: see there.
    trigger: NonNull<u8>,
    offset: u64,
    event: EventFd,
    afu: Arc<File>,
}

// SAFETY: the trigger page is never accessed through this pointer but by the AFU.
unsafe impl Send for Irq {}

impl Irq {
    /// Allocates an interrupt, ties it to an eventfd and maps its trigger page.
    pub(super) fn new(afu: Arc<File>) -> Result<Self> {
        let event = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|e| Error::system("eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)", e as i32))?;
        let mut offset = 0;
        // SAFETY: the kernel writes one u64.
        unsafe { uapi::irq_alloc(afu.as_raw_fd(), &raw mut offset) }
            .map_err(|e| Error::system("ioctl(OCXL_IOCTL_IRQ_ALLOC)", e as i32))?;
        // From here on, what fails gives the interrupt back.
        let allocated = Allocated { afu: &afu, offset };
        let arg =
            uapi::IrqFd { irq_offset: offset, eventfd: event.as_fd().as_raw_fd(), ..Default::default() };
        // SAFETY: the kernel reads one such struct.
        unsafe { uapi::irq_set_fd(afu.as_raw_fd(), &raw const arg) }.map_err(|e| {
            let call = format!("ioctl(OCXL_IOCTL_IRQ_SET_FD, interrupt {offset:#x}, fd {})", arg.eventfd);
            Error::system(call, e as i32)
        })?;
        let call = format!("mmap(the trigger page of interrupt {offset:#x})");
        let at = libc::off_t::try_from(offset).map_err(|_| Error::system(&call, libc::EOVERFLOW))?;
        let len = NonZeroUsize::new(index(page_bytes())).ok_or_else(|| Error::system(&call, libc::EINVAL))?;
        // The kernel wants it writable and nothing else.
        // SAFETY: a new mapping wherever there is room.
        let trigger = unsafe {
            nix::sys::mman::mmap(None, len, ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, &*afu, at)
        }
        .map_err(|e| Error::system(&call, e as i32))?;
        std::mem::forget(allocated);
        Ok(Self { trigger: trigger.cast(), offset, event, afu })
    }

    /// The effective address the AFU stores to when it raises the interrupt: what its own registers want.
    #[must_use]
    pub fn handle(&self) -> u64 {
        self.trigger.as_ptr() as u64
    }

    /// Waits until the interrupt was raised and says how often since the last time; 0 when `patience` ended first.
    ///
    /// # Errors
    /// When the system refuses to wait.
    pub fn wait(&self, patience: Duration) -> Result<u64> {
        let deadline = Instant::now() + patience;
        loop {
            match self.event.read() {
                Ok(count) => return Ok(count),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(e) => return Err(Error::system("read(eventfd of an AFU interrupt)", e as i32)),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(0);
            }
            let mut fds = [PollFd::new(self.event.as_fd(), PollFlags::POLLIN)];
            match nix::poll::poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(e) => return Err(Error::system("poll(eventfd of an AFU interrupt)", e as i32)),
            }
        }
    }

    /// The eventfd, for a loop that waits for several things.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// An interrupt that is not whole yet.
struct Allocated<'a> {
    afu: &'a File,
    offset: u64,
}

impl Drop for Allocated<'_> {
    fn drop(&mut self) {
        // SAFETY: the kernel reads one u64.
        if let Err(e) = unsafe { uapi::irq_free(self.afu.as_raw_fd(), &raw const self.offset) } {
            log::warn!("ioctl(OCXL_IOCTL_IRQ_FREE, interrupt {:#x}): {e}", self.offset);
        }
    }
}

impl Drop for Irq {
    fn drop(&mut self) {
        if let Err(e) = unmap(self.trigger, page_bytes()) {
            log::warn!("{e}");
        }
        drop(Allocated { afu: &self.afu, offset: self.offset });
    }
}

/// An interrupt that the card cannot give.
pub(super) fn none_left(error: Error) -> Error {
    match error.errno() {
        libc::ENOSPC => error.with_kind(ErrorKind::NoMemory).hint("the AFU has no interrupt left"),
        _ => error,
    }
}
