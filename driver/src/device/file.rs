//! `file:/PATH`: whatever can be mapped by a path.
//!
//! An ordinary file is made, filled and removed as `shm:` does with its own: one host, kept coherent by its
//! hardware. With fixed=yes, in sysfs and in a hugetlbfs a file is there already and keeps its length: it is a window, as a
//! character device is. What a path does not tell, the link behind it, is taken to be the worst (lc), unless
//! coherence= says so. A BAR's `resource2_wc` in sysfs is the write-combining route to it, `resource2` the uncached one.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{self, FsType};
use uuid::Uuid;

use super::shm_file::{self, SHM_DIR, ShmFile};
use super::window::{Place, Window};
use super::{CoherenceReport, Device, MemoryType};
use crate::arch::{self, CacheOps};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::{file, mem};
use crate::uri::Uri;

/// A file that is made for its region.
struct Plain {
    window: ShmFile,
    flush: Option<String>,
}

/// Creates the file that `uri` names, or takes the window that is there.
pub(super) fn create(uri: &Uri) -> Result<Box<dyn Device>> {
    let path = path_of(uri)?;
    if let Some(window) = fixed(uri, &path)? {
        return Ok(window);
    }
    if path.symlink_metadata().is_ok() {
        let text = format!(
            "region {:?}: {} is there already; if it is a region, open it or destroy it, else choose another name, or add fixed=yes to \
             use the file as a device's window, without changing its length",
            uri.label(),
            path.display()
        );
        return Err(Error::new(ErrorKind::RegionExists, text));
    }
    if ["/dev", "/sys", "/proc"].iter().any(|dir| path.starts_with(dir)) && !path.starts_with(SHM_DIR) {
        return Err(no_device(uri, &path));
    }
    Ok(Box::new(Plain { window: ShmFile::create(uri, path)?, flush: super::flush_of(uri)? }))
}

/// Opens it.
pub(super) fn open(uri: &Uri, writable: bool) -> Result<Box<dyn Device>> {
    let path = path_of(uri)?;
    if let Some(window) = fixed(uri, &path)? {
        return Ok(window);
    }
    if path.symlink_metadata().is_err() {
        return Err(shm_file::not_there(uri, &path));
    }
    Ok(Box::new(Plain { window: ShmFile::open(uri, path, writable)?, flush: super::flush_of(uri)? }))
}

fn path_of(uri: &Uri) -> Result<PathBuf> {
    let path = PathBuf::from(uri.name());
    if !path.is_absolute() {
        let text = format!("region {:?}: write the whole path, as file:/mnt/memory/trades", uri.label());
        return Err(Error::new(ErrorKind::BadUri, text));
    }
    Ok(path)
}

/// What is to be used as a window must be there.
fn no_device(uri: &Uri, path: &Path) -> Error {
    let text = format!(
        "region {:?}: there is no {}; a device appears when its driver is loaded (csm-bringup probe says more), and a file for fixed=yes is \
         made with: truncate -s 1G {1}",
        uri.label(),
        path.display()
    );
    Error::new(ErrorKind::RegionNotFound, text)
}

/// The window, where the path is not that of a file to make.
fn fixed(uri: &Uri, path: &Path) -> Result<Option<Box<dyn Device>>> {
    let asked = uri.choice("fixed", &[("no", false), ("yes", true)])?;
    let Ok(meta) = path.metadata() else {
        return match asked {
            Some(true) => Err(no_device(uri, path)),
            _ => Ok(None),
        };
    };
    let kind = meta.file_type();
    if !kind.is_file() && !kind.is_char_device() {
        let what = if kind.is_dir() {
            "a directory"
        } else if kind.is_block_device() {
            "a block device, which the kernel keeps a copy of in each host's page cache"
        } else {
            "neither a file nor a character device"
        };
        let text =
            format!("region {:?}: {} is {what}: nothing to share memory by", uri.label(), path.display());
        return Err(Error::new(ErrorKind::InvalidArgument, text));
    }
    let lives_in = statfs::statfs(path).map(|s| s.filesystem_type()).unwrap_or(FsType(0));
    let special = lives_in == statfs::SYSFS_MAGIC || lives_in == statfs::HUGETLBFS_MAGIC;
    if kind.is_file() && !asked.unwrap_or(special) {
        if let Some(option) = ["off", "len", "overwrite"].into_iter().find(|option| uri.get(option).is_some())
        {
            return Err(
                uri.invalid(option, "this file is its region's alone; leave it out, or add fixed=yes")
            );
        }
        return Ok(None);
    }
    if uri.get("mode").is_some() {
        return Err(uri.invalid("mode", "what is there keeps the mode it has; use chmod"));
    }
    let file = shm_file::open_window(uri, path)?;
    let report = match memory_of(path) {
        MemoryType::WriteBack if kind.is_char_device() => CoherenceReport::LOCAL,
        MemoryType::WriteBack => CoherenceReport::GLOBAL,
        memory => CoherenceReport::not_cached(memory),
    };
    let page_bytes = statfs::statfs(path)
        .ok()
        .filter(|_| lives_in == statfs::HUGETLBFS_MAGIC)
        .and_then(|s| u64::try_from(s.block_size()).ok());
    let place = Place {
        file,
        path: path.to_owned(),
        file_off: 0,
        device_bytes: kind.is_file().then_some(meta.len()),
        page_bytes: page_bytes.unwrap_or_else(mem::page_bytes),
        report,
        sync: false,
        keep: None,
    };
    Ok(Some(Box::new(Window::new(uri, place)?)))
}

/// How the kernel maps a BAR's file in sysfs; another device is taken to be ordinary memory.
fn memory_of(path: &Path) -> MemoryType {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match name.strip_prefix("resource") {
        Some(bar) if bar.ends_with("_wc") => MemoryType::WriteCombining,
        Some(bar) if !bar.is_empty() && path.starts_with("/sys") => MemoryType::Uncached,
        _ => MemoryType::WriteBack,
    }
}

impl Device for Plain {
    fn coherence(&self) -> CoherenceReport {
        CoherenceReport::GLOBAL
    }

    fn cache_ops(&self, _base: *const u8) -> Result<Box<dyn CacheOps>> {
        arch::native(self.flush.as_deref())
    }

    fn file(&self) -> (&File, u64) {
        (&self.window.file, 0)
    }

    fn is_marked(&self) -> bool {
        false
    }

    fn len_bytes(&self) -> Result<u64> {
        self.window.len_bytes()
    }

    fn owner_uid(&self) -> Result<Option<u32>> {
        self.window.owner_uid().map(Some)
    }

    fn mode(&self) -> Result<u32> {
        self.window.mode()
    }

    fn page_bytes(&self) -> u64 {
        mem::page_bytes()
    }

    fn extend(&self, len_bytes: u64, backed: &[Range<u64>], _huge: bool) -> Result<()> {
        self.window.extend(len_bytes, backed, self.page_bytes(), |_| ())
    }

    fn commit(&self) -> Result<()> {
        self.window.commit()
    }

    fn control_path(&self, uuid: &Uuid, _node: u64) -> PathBuf {
        shm_file::control_path(uuid)
    }

    fn control_paths(&self, uuid: &Uuid) -> Result<Vec<PathBuf>> {
        Ok(vec![self.control_path(uuid, 0)])
    }

    fn is_one_host(&self) -> bool {
        true
    }

    fn boot(&self) -> Result<u64> {
        shm_file::host_boot()
    }

    fn remove(&self, _len_bytes: u64) -> Result<()> {
        file::unlink(&self.window.path)
    }
}
