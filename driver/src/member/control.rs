//! The control file: one byte a member, locked while the member lives.
//!
//! POSIX locks belong to a process, so the kernel itself drops them when it dies, in whatever PID
//! namespace, and a forked child does not have them. They are also dropped when a process closes *any*
//! descriptor of the file: hence a file of its own, opened once a process and kept in a registry.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::error::{Error, ErrorKind, Result};
use crate::sys::{file, process};

/// What this process holds a byte for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It is that member.
    Member,
    /// That member is dead, and this process clears up after it.
    Reaper,
}

/// A region's control file, open in this process.
#[derive(Debug)]
pub(crate) struct ControlFile {
    file: File,
    forks: u32,
    claims: Mutex<BTreeMap<u64, Claim>>,
}

static OPEN: Mutex<BTreeMap<PathBuf, Weak<ControlFile>>> = Mutex::new(BTreeMap::new());

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ControlFile {
    /// Creates the control file of a new region, with the rights of the region itself.
    pub(crate) fn create(path: &Path, mode: u32) -> Result<()> {
        let dir = path.parent().unwrap_or(Path::new("/"));
        file::name_file(&file::create_unnamed(dir)?, mode, path)
    }

    /// Opens the control file, or hands out the one this process has open.
    pub(crate) fn open(path: &Path) -> Result<Arc<Self>> {
        let mut open = held(&OPEN);
        let forks = process::fork_count();
        if let Some(control) = open.get(path).and_then(Weak::upgrade).filter(|control| control.forks == forks) {
            return Ok(control);
        }
        let file = file::open(path, true).map_err(|e| {
            if e.errno() == libc::ENOENT {
                let text = format!("the region's control file {} is gone; destroy the region and create it anew", path.display());
                return Error::new(ErrorKind::Corrupt, text);
            }
            e
        })?;
        let control = Arc::new(Self { file, forks, claims: Mutex::default() });
        open.insert(path.to_owned(), Arc::downgrade(&control));
        Ok(control)
    }

    /// Takes the lock on `byte` for this process; false when anybody has it, this process included.
    pub(super) fn claim(&self, byte: u64, claim: Claim) -> Result<bool> {
        let mut claims = held(&self.claims);
        if claims.contains_key(&byte) || !file::try_lock_byte(&self.file, byte)? {
            return Ok(false);
        }
        claims.insert(byte, claim);
        Ok(true)
    }

    /// Gives the lock on `byte` up.
    pub(super) fn release(&self, byte: u64) -> Result<()> {
        let mut claims = held(&self.claims);
        claims.remove(&byte);
        file::unlock_byte(&self.file, byte)
    }

    /// How many members live in other processes; at most 1 is found out.
    pub(crate) fn others(&self) -> u64 {
        file::any_byte_is_locked(&self.file).map_or(1, u64::from)
    }

    /// Whether the member of `byte` lives. A system that cannot tell says that it does.
    pub(super) fn is_alive(&self, byte: u64) -> bool {
        match held(&self.claims).get(&byte) {
            Some(Claim::Member) => true,
            Some(Claim::Reaper) => false,
            None => file::byte_is_locked(&self.file, byte).unwrap_or(true),
        }
    }
}
