//! Lines of the link zone: what the link moves at once, read from home and written home.

use std::ptr::NonNull;
use std::time::Duration;

use nix::libc;

use crate::afu::thymesisflow::zone::ZONE_BYTES;
use crate::arch::{self, CacheOps};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::process::{self, Looked};
use crate::units::index;

/// Bytes of a line.
pub const LINE_BYTES: u64 = 128;

/// What a line holds.
pub type Line = [u64; 16];

/// A link zone as one side reaches it. One thread at a time.
pub trait LinkMemory: Send {
    /// Loads the line at `off` of the zone, from its home: what this machine's caches hold of it is dropped first.
    ///
    /// # Errors
    /// Where the line is outside of the zone, or the link does not answer.
    fn load(&mut self, off: u64) -> Result<Line>;
    /// Stores the line at `off` of the zone and writes it home.
    ///
    /// # Errors
    /// As [`LinkMemory::load`].
    fn store(&mut self, off: u64, line: &Line) -> Result<()>;
    /// Loads the line at `off` where that may end or stall whoever does it: whenever it is not known that the link is up. Takes
    /// at most `patience`, and as long as `going`, which is asked meanwhile, says yes.
    ///
    /// # Errors
    /// With errno `EAGAIN` when it took too long; another error when the access failed.
    fn look(&mut self, off: u64, _patience: Duration, _going: &mut dyn FnMut() -> bool) -> Result<Line> {
        self.load(off)
    }
}

/// A link zone that is mapped into this process, by ordinary stores, loads and cache instructions.
pub(super) struct Mapped {
    zone: NonNull<u8>,
    cache: Box<dyn CacheOps>,
}

// SAFETY: the mapping belongs to the process, not to a thread, and accesses need `&mut self`.
unsafe impl Send for Mapped {}

impl Mapped {
    /// A zone that is mapped at `zone`.
    ///
    /// # Safety
    /// [`ZONE_BYTES`] at `zone` are mapped, readable and writable, as long as this lives, and aligned to a page.
    pub(super) unsafe fn new(zone: NonNull<u8>) -> Result<Self> {
        let cache = arch::native(None).map_err(|e| e.context("training a link needs cache instructions"))?;
        Ok(Self { zone, cache })
    }

    fn at(&self, off: u64) -> Result<*mut u64> {
        if off.is_multiple_of(LINE_BYTES) && off < ZONE_BYTES {
            return Ok(self.zone.as_ptr().wrapping_add(index(off)).cast());
        }
        Err(Error::new(ErrorKind::Internal, format!("offset {off:#x} is no line of a link zone")))
    }

    /// Of a line of the zone.
    fn load_at(&self, at: *mut u64) -> Line {
        self.cache.invalidate(at.cast(), LINE_BYTES);
        self.cache.fence();
        let mut line = Line::default();
        for (n, word) in line.iter_mut().enumerate() {
            // SAFETY: inside the zone, which is mapped; volatile, since the other side stores to it.
            *word = unsafe { at.wrapping_add(n).read_volatile() };
        }
        line
    }
}

impl LinkMemory for Mapped {
    fn load(&mut self, off: u64) -> Result<Line> {
        Ok(self.load_at(self.at(off)?))
    }

    fn store(&mut self, off: u64, line: &Line) -> Result<()> {
        let at = self.at(off)?;
        for (n, word) in line.iter().enumerate() {
            // SAFETY: as above.
            unsafe { at.wrapping_add(n).write_volatile(*word) };
        }
        self.cache.write_back(at.cast(), LINE_BYTES);
        self.cache.fence();
        Ok(())
    }

    /// A load that the link does not answer is a SIGBUS at best and a stalled processor until OpenCAPI times out at worst.
    /// So a child makes it.
    fn look(&mut self, off: u64, patience: Duration, going: &mut dyn FnMut() -> bool) -> Result<Line> {
        let at = self.at(off)?;
        let call = format!("a load through the link, at {at:p}");
        // SAFETY: a cache instruction and loads neither allocate nor lock.
        match unsafe { process::look_in_child(&|| self.load_at(at), patience, going) }? {
            Looked::Saw(line) => Ok(line),
            Looked::Signal(signal) => {
                let text = format!(
                    "{call} ended with {signal}: the other end has no memory there (see the translation faults of the \
                     memory side), or this host has fenced the link (see dmesg)"
                );
                Err(Error::new(ErrorKind::System, text))
            }
            Looked::Late => Err(Error::system(call, libc::EAGAIN)
                .hint(format_args!("it was not answered within {} ms", patience.as_millis()))),
        }
    }
}
