//! The control file: one byte a member, locked while the member lives.
//!
//! POSIX locks belong to a process, so the kernel itself drops them when it dies, in whatever PID
//! namespace, and a forked child does not have them. They are also dropped when a process closes *any*
//! descriptor of the file: hence a file of its own, opened once a process and kept in a registry.
#![allow(unsafe_code, reason = "a file that is closed only by who opened it")]

use std::collections::BTreeMap;
use std::fs::File;
use std::mem::ManuallyDrop;
use std::ops::Range;
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

/// The byte that is locked while the region is being created; no member has so high a number.
const CREATION: u64 = 1 << 40;
/// The first of the bytes, one a node, that are locked while a process of that node joins.
const DOORS: u64 = 1 << 41;

/// A region's control file, open in this process.
#[derive(Debug)]
pub(crate) struct ControlFile {
    file: ManuallyDrop<File>,
    /// One kernel sees the processes of all nodes, and this one file has them all.
    one_host: bool,
    forks: u32,
    claims: Mutex<BTreeMap<u64, Claim>>,
}

static OPEN: Mutex<BTreeMap<PathBuf, Weak<ControlFile>>> = Mutex::new(BTreeMap::new());

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for ControlFile {
    fn drop(&mut self) {
        // Closing an inherited descriptor would drop every lock that a forked child has taken itself.
        if self.forks == process::fork_count() {
            // SAFETY: dropped once, here.
            unsafe { ManuallyDrop::drop(&mut self.file) };
        }
    }
}

impl ControlFile {
    /// Creates the control file of a new region, with the rights of the region itself, and locks it against
    /// another creation until [`ControlFile::created`].
    ///
    /// # Errors
    /// [`ErrorKind::RegionExists`] when another process is creating the region at this moment.
    pub(crate) fn create(path: &Path, mode: u32, one_host: bool) -> Result<Arc<Self>> {
        let dir = path.parent().unwrap_or(Path::new("/"));
        let control = Arc::new(Self::new(file::create_unnamed(dir)?, one_host));
        // Locked before it has a name: whoever finds it unlocked knows that its creator is gone.
        control.claim(CREATION, Claim::Member)?;
        while let Err(e) = file::name_file(&control.file, mode, path) {
            if e.errno() != libc::EEXIST {
                return Err(e);
            }
            if Self::open(path, mode, one_host)?.in_use() {
                let text = format!("another process is creating this region ({} is in use)", path.display());
                return Err(Error::new(ErrorKind::RegionExists, text));
            }
            // There is no region of that name, and nobody is making one: a killed process left it.
            file::unlink(path)?;
        }
        held(&OPEN).insert(path.to_owned(), Arc::downgrade(&control));
        Ok(control)
    }

    /// The region that this was created for is there.
    pub(crate) fn created(&self) -> Result<()> {
        self.release(CREATION)
    }

    fn new(file: File, one_host: bool) -> Self {
        let file = ManuallyDrop::new(file);
        Self { file, one_host, forks: process::fork_count(), claims: Mutex::default() }
    }

    /// Opens the control file, or hands out the one this process has open. On a host that the region was not
    /// created on, which can only be where nodes are hosts of their own, the first process makes it.
    pub(crate) fn open(path: &Path, mode: u32, one_host: bool) -> Result<Arc<Self>> {
        if !one_host && !path.exists() {
            let dir = path.parent().unwrap_or(Path::new("/"));
            match file::name_file(&file::create_unnamed(dir)?, mode, path) {
                Err(e) if e.errno() != libc::EEXIST => return Err(e),
                // By this process, or by another one meanwhile.
                _ => {}
            }
        }
        let mut open = held(&OPEN);
        let forks = process::fork_count();
        if let Some(control) = open.get(path).and_then(Weak::upgrade).filter(|control| control.forks == forks)
        {
            return Ok(control);
        }
        let file = file::open(path, true).map_err(|e| {
            if e.errno() == libc::ENOENT {
                let text = format!(
                    "the region's control file {} is gone; destroy the region and create it anew",
                    path.display()
                );
                return Error::new(ErrorKind::Corrupt, text);
            }
            e
        })?;
        let control = Arc::new(Self::new(file, one_host));
        open.insert(path.to_owned(), Arc::downgrade(&control));
        Ok(control)
    }

    /// Takes the right to join as a process of `node`; false when another process has it.
    pub(super) fn claim_door(&self, node: u64) -> Result<bool> {
        self.claim(DOORS + node, Claim::Member)
    }

    /// Gives the right to join up.
    pub(super) fn release_door(&self, node: u64) -> Result<()> {
        self.release(DOORS + node)
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

    /// Whether another process is a member, or is creating the region.
    pub(crate) fn in_use(&self) -> bool {
        file::any_byte_is_locked(&self.file, 0..0).unwrap_or(true)
    }

    /// Whether any process, this one included, is the member of one of `bytes`.
    pub(super) fn any_alive(&self, bytes: Range<u64>) -> bool {
        let own = held(&self.claims).range(bytes.clone()).any(|(_, claim)| *claim == Claim::Member);
        own || file::any_byte_is_locked(&self.file, bytes).unwrap_or(true)
    }

    /// Whether this host's kernel sees the processes of `node`, asked by one of `own`.
    pub(super) fn sees(&self, node: u64, own: u64) -> bool {
        self.one_host || node == own
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
