//! The file of an AFU's global registers in sysfs: mapped with or without a context, and locked by whoever counts.

use std::fs::File;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::afu::find::AfuInfo;
use crate::afu::mapping::Mapping;
use crate::afu::mmio::{Area, Mmio};
use crate::error::{Error, ErrorKind, Result};

/// One reader of the counters at a time: they are cleared by the read. Held until dropped.
#[must_use]
pub struct CounterLock(#[expect(dead_code, reason = "held, not used")] Box<dyn Send>);

impl CounterLock {
    pub(super) fn new(held: impl Send + 'static) -> Self {
        Self(Box::new(held))
    }
}

/// Maps the registers of an AFU, of which no context need be open.
pub(super) fn map_global_mmio(info: &AfuInfo, len_bytes: u64) -> Result<Box<dyn Mmio>> {
    let (file, path) = open_global(info)?;
    Ok(Box::new(Mapping::new(&file, &path, Area::Global, len_bytes)?))
}

/// Takes the right to read an AFU's counters: the kernel's lock on their file, which ends with its process.
pub(super) fn lock_counters(info: &AfuInfo) -> Result<CounterLock> {
    let (file, path) = open_global(info)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(CounterLock::new(lock)),
        Err((_, Errno::EWOULDBLOCK)) => {
            let text = format!(
                "somebody else reads the counters of AFU {}: reading clears them, so there is one reader at a time",
                info.file_name()
            );
            Err(Error::new(ErrorKind::InUse, text))
        }
        Err((_, e)) => {
            Err(Error::system(format_args!("flock({}, LOCK_EX | LOCK_NB)", path.display()), e as i32))
        }
    }
}

fn open_global(info: &AfuInfo) -> Result<(File, PathBuf)> {
    let path = info.sys_path.join("global_mmio_area");
    let file = File::options().read(true).write(true).open(&path).map_err(|e| {
        let error =
            Error::system(format_args!("open({}, O_RDWR)", path.display()), e.raw_os_error().unwrap_or(0));
        match error.kind() {
            ErrorKind::PermissionDenied => error.hint("the AFU's registers are root's"),
            _ => error,
        }
    })?;
    Ok((file, path))
}
