//! A file in /dev/shm (or in a hugetlbfs): what `shm:` and the simulator have in common.
//!
//! It is filled before it gets its name, so a half-made region is never found. All memory is allocated
//! when the file gets its length: a full /dev/shm is an error then and not a SIGBUS later.

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::sys::{file, mem};
use crate::units::{MIB, format_size};
use crate::uri::Uri;

pub(super) const SHM_DIR: &str = "/dev/shm";
pub(super) const HUGE_PAGE_BYTES: u64 = 2 * MIB;
const CONTROL_PREFIX: &str = "csm-members.";
const CREATION_PATIENCE: Duration = Duration::from_secs(5);
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A region's file. `mode` is set while it is being created.
pub(super) struct ShmFile {
    pub(super) label: String,
    pub(super) path: PathBuf,
    pub(super) file: File,
    mode: Option<u32>,
}

impl ShmFile {
    /// A file that gets the name `path` when it is committed, with the mode that `uri` asks for.
    pub(super) fn create(uri: &Uri, path: PathBuf) -> Result<Self> {
        let mode = mode_of(uri)?;
        let file = file::create_unnamed(path.parent().unwrap_or(Path::new(SHM_DIR))).map_err(|e| {
            let e = e.context(format_args!("region {:?}", uri.label()));
            match e.errno() {
                libc::ENOENT => e.hint("make the directory first"),
                libc::EACCES => e.hint("choose a directory that you may write to"),
                libc::EOPNOTSUPP | libc::EISDIR => {
                    e.hint("its file system has no unnamed files; use tmpfs, ext4 or xfs")
                }
                _ => e,
            }
        })?;
        Ok(Self { label: uri.label(), path, file, mode: Some(mode) })
    }

    /// Another file that is being created for the same region.
    pub(super) fn create_sibling(&self, path: PathBuf) -> Result<Self> {
        let file = file::create_unnamed(path.parent().unwrap_or(Path::new(SHM_DIR)))?;
        Ok(Self { label: self.label.clone(), path, file, mode: Some(self.mode()?) })
    }

    /// The file that is there.
    pub(super) fn open(uri: &Uri, path: PathBuf, writable: bool) -> Result<Self> {
        let file = file::open(&path, writable).map_err(|e| {
            let right = if writable { "read and write" } else { "read" };
            let hint = format!(
                "its owner can let you {right} it with chmod, or create it with mode=0660 (leases are written into the region, so readers write too)"
            );
            let e = e.context(format_args!("region {:?}", uri.label()));
            if e.errno() == libc::ELOOP {
                return e.hint("it is a symbolic link; name the file itself");
            }
            e.hint(hint)
        })?;
        Ok(Self { label: uri.label(), path, file, mode: None })
    }

    /// Another file of the same region, which must be the same user's.
    pub(super) fn sibling(&self, path: PathBuf) -> Result<Self> {
        let file = file::open(&path, true).map_err(|e| e.context(format_args!("region {:?}", self.label)))?;
        let (uid, expected) = (file::stat(&file, &path)?.1, self.owner_uid()?);
        if uid != expected {
            let text = format!(
                "region {:?}: {} belongs to user {uid}, the region to user {expected}; remove that file and create the region anew",
                self.label,
                path.display()
            );
            return Err(Error::new(ErrorKind::NotYours, text));
        }
        Ok(Self { label: self.label.clone(), path, file, mode: None })
    }

    /// The same file once more.
    pub(super) fn duplicate(&self) -> Result<Self> {
        let file = self.file.try_clone().map_err(|e| {
            Error::system(format_args!("dup({})", self.path.display()), e.raw_os_error().unwrap_or(0))
        })?;
        Ok(Self { label: self.label.clone(), path: self.path.clone(), file, mode: self.mode })
    }

    /// Length in bytes.
    pub(super) fn len_bytes(&self) -> Result<u64> {
        Ok(file::stat(&self.file, &self.path)?.0)
    }

    pub(super) fn owner_uid(&self) -> Result<u32> {
        Ok(file::stat(&self.file, &self.path)?.1)
    }

    pub(super) fn mode(&self) -> Result<u32> {
        self.mode.map_or_else(|| Ok(file::stat(&self.file, &self.path)?.2), Ok)
    }

    /// Lengthens the file and puts memory behind `backed`, in whole pages; `before` is called for each part first.
    /// When there is not enough, the file is as it was.
    pub(super) fn extend(
        &self,
        len_bytes: u64,
        backed: &[Range<u64>],
        page_bytes: u64,
        mut before: impl FnMut(Range<u64>),
    ) -> Result<()> {
        let old_len = self.len_bytes()?;
        // What cannot fit is refused before the machine is full of it.
        let new = backed.iter().map(|range| range.end.saturating_sub(range.start.max(old_len))).sum::<u64>();
        if self.path.starts_with(SHM_DIR) && new > shm_bytes() {
            return Err(Error::system(format_args!("allocating {new} bytes in {SHM_DIR}"), libc::ENOSPC));
        }
        file::set_len(&self.file, &self.path, len_bytes.max(old_len))?;
        // Touching more pages than there are ends the process; allocating them is an error.
        let allocated = backed.iter().try_for_each(|range| {
            let start = range.start / page_bytes * page_bytes;
            let end = range.end.next_multiple_of(page_bytes).min(len_bytes);
            before(start..end);
            file::allocate(&self.file, &self.path, start, end)
        });
        allocated.map_err(|e| {
            // What was allocated of the new part goes back; the old part is as it was.
            let undone = file::set_len(&self.file, &self.path, old_len);
            undone.err().map_or(e, |undo| undo.context("undoing an allocation"))
        })
    }

    /// Gives the file its name.
    pub(super) fn commit(&self) -> Result<()> {
        file::name_file(&self.file, self.mode()?, &self.path)
            .map_err(|e| if e.errno() == libc::EEXIST { exists(&self.label, &self.path) } else { e })
    }
}

fn mode_of(uri: &Uri) -> Result<u32> {
    let Some(text) = uri.get("mode") else { return Ok(0o600) };
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode & 0o600 == 0o600 && mode <= 0o777 => Ok(mode),
        _ => Err(uri.invalid("mode", "use an octal mode that lets the owner read and write, as 0660")),
    }
}

pub(super) fn exists(label: &str, path: &Path) -> Error {
    let text = format!(
        "region {label:?} is there already ({}); open it, or remove it with: csm destroy {label}",
        path.display()
    );
    Error::new(ErrorKind::RegionExists, text)
}

pub(super) fn not_there(uri: &Uri, path: &Path) -> Error {
    let label = uri.label();
    let text = format!(
        "region {label:?} is not there (no {}); create it with: csm create '{label}?size=1G'",
        path.display()
    );
    Error::new(ErrorKind::RegionNotFound, text)
}

/// What to do when /dev/shm is full.
pub(super) fn no_memory_hint() -> String {
    format!(
        "{SHM_DIR} has {} free; choose a smaller size, remove what is not needed there, or enlarge it: mount -o remount,size=... {SHM_DIR}",
        format_size(free_bytes())
    )
}

/// What /dev/shm can still take, as far as the machine has that much memory.
pub(super) fn free_bytes() -> u64 {
    shm_bytes().min(mem::available_bytes())
}

fn shm_bytes() -> u64 {
    nix::sys::statvfs::statvfs(SHM_DIR).map_or(0, |s| s.blocks_available() * s.fragment_size())
}

/// Keeps two creations on this host from taking the same slot: held from the look at the neighbours until the
/// region has its name. Whoever holds it for long is not waited for; then two regions may share a slot.
pub(super) fn creation_lock() -> Option<impl Drop> {
    file::lock_dir(Path::new(SHM_DIR), CREATION_PATIENCE)
}

/// Opens what a region's window is in and was not made for it, for reading and writing.
pub(super) fn open_window(uri: &Uri, path: &Path) -> Result<File> {
    file::open(path, true).map_err(|e| {
        let e = e.context(format_args!("region {:?}", uri.label()));
        if e.errno() == libc::ELOOP {
            return e.hint("it is a symbolic link; name the file itself");
        }
        match e.kind() {
            ErrorKind::PermissionDenied => e.hint(format_args!(
                "give the users of the region the right to read and write it: chgrp and chmod g+rw {} (as root), and a udev rule so that it stays",
                path.display()
            )),
            _ => e,
        }
    })
}

/// Where members of a region of this host prove that they live: `rest` tells the region, and the node, apart.
pub(super) fn control_path(rest: impl fmt::Display) -> PathBuf {
    Path::new(SHM_DIR).join(format!("{CONTROL_PREFIX}{rest}"))
}

/// The control files whose names go on with `rest`.
pub(super) fn control_paths(rest: impl fmt::Display) -> Vec<PathBuf> {
    paths_with_prefix(&format!("{CONTROL_PREFIX}{rest}")).collect()
}

/// Every file in /dev/shm that begins with `prefix`.
fn paths_with_prefix(prefix: &str) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(SHM_DIR).into_iter().flatten().flatten();
    entries
        .filter(move |entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
}

/// Every file in /dev/shm that begins with `prefix` and can be read.
pub(super) fn with_prefix(prefix: &'static str) -> impl Iterator<Item = ShmFile> {
    paths_with_prefix(prefix).filter_map(|path| {
        let file = file::open(&path, false).ok()?;
        Some(ShmFile { label: path.display().to_string(), path, file, mode: None })
    })
}

/// A number that this start of the host has and no other, never 0.
pub(super) fn host_boot() -> Result<u64> {
    let text = std::fs::read_to_string(BOOT_ID)
        .map_err(|e| Error::system(format_args!("read {BOOT_ID}"), e.raw_os_error().unwrap_or(0)))?;
    let id = Uuid::parse_str(text.trim()).map_err(|e| {
        let text = format!("{BOOT_ID} says {:?}, which is not a boot's identity: {e}", text.trim());
        Error::new(ErrorKind::System, text)
    })?;
    let (high, low) = id.as_u64_pair();
    Ok((high ^ low).max(1))
}
