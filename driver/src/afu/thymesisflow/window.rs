//! The two ends' memory: what the lender gives away, and how the borrower reaches the link zone.
//!
//! The lender's window is a shared file, so that its other processes map the same memory, at the region's fixed address, so
//! that the effective address is the region's. Its pages are locked: the AFU would fault on one that is not there.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::time::Duration;

use memmap2::{MmapOptions, MmapRaw};
use nix::libc;

use crate::afu::thymesisflow::line::{Line, LinkMemory, Mapped};
use crate::afu::thymesisflow::zone::ZONE_BYTES;
use crate::error::{Error, ErrorKind, Result};
use crate::sys::file;
use crate::sys::mem::{Advice, advise, lock, map_over, reserve, unmap};
use crate::units::{MIB, index};

/// Bytes that are locked between two reports of progress.
const LOCK_STEP_BYTES: u64 = 256 * MIB;

/// Memory that this process lends: mapped, locked and zeroed. What [`LentWindow::create`] made goes when it is dropped.
#[derive(Debug)]
pub struct LentWindow {
    address: NonNull<u8>,
    len_bytes: u64,
    /// The file that was made, if it was made here.
    path: Option<PathBuf>,
}

// SAFETY: the mapping belongs to the process, and is only accessed through the zone, by one thread.
unsafe impl Send for LentWindow {}

impl LentWindow {
    /// Makes the shared file `path` (in `/dev/shm`) with permissions `mode`, maps it at `address` and nowhere else, locks
    /// and zeroes it. `progress` hears how many bytes are locked and may stop it. What was done is undone on failure.
    ///
    /// # Errors
    /// [`ErrorKind::BadSize`] unless a multiple of 2 MiB of at least 4 MiB, [`ErrorKind::AddressTaken`],
    /// [`ErrorKind::RegionExists`] when the file is there, [`ErrorKind::NoMemory`] when it does not fit or must not be
    /// locked, an error with errno `EINTR` when it was stopped.
    pub fn create(
        path: &Path,
        mode: u32,
        address: u64,
        len_bytes: u64,
        progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Self> {
        check_len(len_bytes)?;
        let at = reserve(address, len_bytes)?;
        // From here on, what fails unmaps, and removes the file once it is ours.
        let mut this = Self { address: at, len_bytes, path: None };
        let made = File::options().read(true).write(true).create_new(true).mode(mode).open(path);
        let made = made.map_err(|e| create_failed(path, &e))?;
        this.path = Some(path.to_owned());
        file::set_len(&made, path, len_bytes)?;
        // Fails now, rather than with a signal on the way. A new file's bytes are zero.
        file::allocate(&made, path, 0, len_bytes)?;
        // SAFETY: over the reservation made just above.
        unsafe { map_over(at, len_bytes, made.as_fd(), 0, true, false) }?;
        advise(at, len_bytes, Advice::DontDump)?;
        let mut locked = 0;
        while locked < len_bytes {
            let step = LOCK_STEP_BYTES.min(len_bytes - locked);
            let start = NonNull::new(at.as_ptr().wrapping_add(index(locked))).unwrap_or(at);
            lock(start, step).map_err(lock_failed)?;
            locked += step;
            if progress(locked).is_break() {
                let what = format!("locking {len_bytes} bytes of {}", path.display());
                return Err(Error::system(what, libc::EINTR));
            }
        }
        Ok(this)
    }

    /// Lends what the caller has mapped, locked and zeroed, and takes down itself after the window was dropped.
    ///
    /// # Safety
    /// `len_bytes` at `address` are mapped, readable and writable, as long as the window lives, and the caller lets the card
    /// store to them.
    ///
    /// # Errors
    /// [`ErrorKind::BadSize`] unless a multiple of 2 MiB of at least 4 MiB.
    pub unsafe fn adopt(address: NonNull<u8>, len_bytes: u64) -> Result<Self> {
        check_len(len_bytes)?;
        Ok(Self { address, len_bytes, path: None })
    }

    /// The effective address: what the compute side must be told.
    #[must_use]
    pub fn ea(&self) -> u64 {
        self.address.as_ptr() as u64
    }

    /// Bytes of the window, the link zone included.
    #[must_use]
    pub const fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// The link zone. To be dropped before the window.
    pub(super) fn zone(&self) -> Result<Mapped> {
        let off = index(self.len_bytes - ZONE_BYTES);
        let zone = NonNull::new(self.address.as_ptr().wrapping_add(off)).unwrap_or(self.address);
        // SAFETY: the last bytes of the window, which is mapped as long as this lives.
        unsafe { Mapped::new(zone) }
    }
}

impl Drop for LentWindow {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            if let Err(e) = file::unlink(path) {
                log::warn!("{e}");
            }
            if let Err(e) = unmap(self.address, self.len_bytes) {
                log::warn!("{e}");
            }
        }
    }
}

fn check_len(len_bytes: u64) -> Result<()> {
    if len_bytes.is_multiple_of(ZONE_BYTES) && len_bytes >= 2 * ZONE_BYTES {
        return Ok(());
    }
    let text = format!(
        "a window of {len_bytes} bytes: it is a multiple of 2 MiB of at least 4 MiB, the last 2 MiB being the link zone"
    );
    Err(Error::new(ErrorKind::BadSize, text))
}

fn create_failed(path: &Path, error: &io::Error) -> Error {
    let call = format!("open({}, O_CREAT | O_EXCL)", path.display());
    let failed = Error::system(call, error.raw_os_error().unwrap_or(0));
    match error.kind() {
        io::ErrorKind::AlreadyExists => failed
            .with_kind(ErrorKind::RegionExists)
            .hint("a window of that name is lent already; remove the file if its attach process is gone"),
        _ => failed,
    }
}

fn lock_failed(error: Error) -> Error {
    match error.errno() {
        libc::ENOMEM | libc::EPERM | libc::EAGAIN => error.with_kind(ErrorKind::NoMemory).hint(
            "a lent window is locked in memory: run as root, or raise the limit (ulimit -l, LimitMEMLOCK=)",
        ),
        _ => error,
    }
}

/// How the compute side gets at the link zone. Nothing is mapped before the card is set up: a processor may touch whatever
/// is mapped, and what it touches before there is a link is an access that nobody answers.
pub trait ZoneSource: Send {
    /// Maps the zone.
    ///
    /// # Errors
    /// An error with errno `EAGAIN`, `ENXIO` or `EIO` says that the link is not up yet; every other one is final.
    fn map(&mut self) -> Result<Box<dyn LinkMemory>>;
    /// What people call it.
    fn name(&self) -> String;
}

/// The window as a character device hands it out: `/dev/tfshmem`, `/dev/mishmem-s1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CharDevice {
    /// The device file.
    pub path: PathBuf,
    /// Where the window begins in it, in bytes: a section's [`super::Section::start_off`], where the device maps the card's whole
    /// address space.
    pub off_bytes: u64,
    /// Bytes of the window, the link zone included.
    pub len_bytes: u64,
}

impl ZoneSource for CharDevice {
    fn map(&mut self) -> Result<Box<dyn LinkMemory>> {
        check_len(self.len_bytes)?;
        let off = self.off_bytes.checked_add(self.len_bytes - ZONE_BYTES).ok_or_else(|| {
            Error::new(ErrorKind::BadSize, format!("offset {:#x} is out of range", self.off_bytes))
        })?;
        let errno = |e: io::Error| e.raw_os_error().unwrap_or(0);
        let file = File::options().read(true).write(true).open(&self.path).map_err(|e| {
            let error = Error::system(format_args!("open({}, O_RDWR)", self.path.display()), errno(e));
            match error.errno() {
                libc::ENOENT => error.hint("load the module that makes it, or name another device (via=)"),
                _ => error,
            }
        })?;
        let map = MmapOptions::new().offset(off).len(index(ZONE_BYTES)).map_raw(&file).map_err(|e| {
            let call = format!("mmap({}, {ZONE_BYTES} bytes at offset {off:#x})", self.path.display());
            Error::system(call, errno(e))
        })?;
        let at = NonNull::new(map.as_mut_ptr())
            .ok_or_else(|| Error::new(ErrorKind::Internal, "mmap gave address 0"))?;
        // SAFETY: the mapping is held beside it.
        let zone = unsafe { Mapped::new(at) }?;
        Ok(Box::new(MappedZone { zone, _map: map }))
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

struct MappedZone {
    zone: Mapped,
    _map: MmapRaw,
}

impl LinkMemory for MappedZone {
    fn load(&mut self, off: u64) -> Result<Line> {
        self.zone.load(off)
    }

    fn store(&mut self, off: u64, line: &Line) -> Result<()> {
        self.zone.store(off, line)
    }

    fn look(&mut self, off: u64, patience: Duration, going: &mut dyn FnMut() -> bool) -> Result<Line> {
        self.zone.look(off, patience, going)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GO_ON: fn(u64) -> ControlFlow<()> = |_| ControlFlow::Continue(());

    fn path(name: &str) -> PathBuf {
        Path::new("/dev/shm").join(format!("csm-tf.test-{name}-{}", std::process::id()))
    }

    /// At the end of a slot, where no region reaches.
    const ADDRESS: u64 = 0x53f0_0000_0000;

    #[test]
    fn a_window_is_at_its_address_and_goes_with_its_file() {
        let path = path("life");
        let window = LentWindow::create(&path, 0o600, ADDRESS, 4 * MIB, &mut { GO_ON }).unwrap();
        assert_eq!((window.ea(), window.len_bytes()), (ADDRESS, 4 * MIB));
        // Another process of the lender sees the zone at the end of the file.
        let mut device = CharDevice { path: path.clone(), off_bytes: 0, len_bytes: 4 * MIB };
        let (mut here, mut there) = (window.zone().unwrap(), device.map().unwrap());
        assert_eq!(there.load(0x80).unwrap(), [0; 16]);
        here.store(0x80, &[7; 16]).unwrap();
        assert_eq!(there.load(0x80).unwrap(), [7; 16]);
        assert!(here.load(ZONE_BYTES).is_err() && here.load(0x40).is_err());
        let taken = LentWindow::create(&path, 0o600, ADDRESS + (1 << 30), 4 * MIB, &mut { GO_ON });
        assert_eq!(taken.unwrap_err().kind(), ErrorKind::RegionExists);
        let taken = LentWindow::create(&path, 0o600, ADDRESS, 4 * MIB, &mut { GO_ON });
        assert_eq!(taken.unwrap_err().kind(), ErrorKind::AddressTaken);
        assert!(path.exists());
        drop(window);
        assert!(!path.exists());
        // The address is free again.
        crate::sys::mem::unmap(crate::sys::mem::reserve(ADDRESS, 4 * MIB).unwrap(), 4 * MIB).unwrap();
    }

    #[test]
    fn a_window_that_is_stopped_leaves_nothing() {
        let (path, address) = (path("stopped"), ADDRESS + (2 << 30));
        let stop = &mut |_| ControlFlow::Break(());
        let error = LentWindow::create(&path, 0o600, address, 4 * MIB, stop).unwrap_err();
        assert_eq!(error.errno(), libc::EINTR);
        assert!(!path.exists());
        crate::sys::mem::unmap(crate::sys::mem::reserve(address, 4 * MIB).unwrap(), 4 * MIB).unwrap();
        for bad in [0, 2 * MIB, 5 * MIB] {
            let error = LentWindow::create(&path, 0o600, address, bad, &mut { GO_ON }).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadSize);
        }
    }

    #[test]
    fn a_device_that_is_not_there_says_how_to_get_it() {
        let mut device = CharDevice { path: "/dev/no-tfshmem".into(), off_bytes: 0, len_bytes: 4 * MIB };
        let error = device.map().err().unwrap();
        assert_eq!(error.errno(), libc::ENOENT);
        assert!(
            error.message().contains("open(/dev/no-tfshmem, O_RDWR)") && error.message().contains("via=")
        );
    }
}
