//! A window of fixed length in a device that is there already: what `dax:`, `vfio:`, `thymesisflow:` and character
//! devices have in common.
//!
//! Nobody makes such a window and nothing names a region in it: a region is there when its superblock is. What the
//! window held before may be anything (`is_new` is false), so a creation clears the metadata first and writes the
//! superblock last, and removing the region wipes it. Each host keeps its members' proof of life for itself, in /dev/shm.
//! A device whose length nobody tells is taken to be as long as it is asked to be: mapping it shows.
#![allow(unsafe_code, reason = "wipes a window through a mapping of its own")]

use std::any::Any;
use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;

use memmap2::MmapOptions;
use uuid::Uuid;

use super::shm_file;
use super::{CoherenceReport, Device, MemoryType};
use crate::arch::{self, CacheOps};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::file;
use crate::units::{format_size, index};
use crate::uri::Uri;

/// Where a window is, and what it is like.
pub(super) struct Place {
    /// The file that maps it.
    pub(super) file: File,
    /// The file's name, for messages.
    pub(super) path: PathBuf,
    /// Where the device begins in the file, in bytes.
    pub(super) file_off: u64,
    /// Length of the device in bytes, where it is known.
    pub(super) device_bytes: Option<u64>,
    /// What the device is mapped in, in bytes.
    pub(super) page_bytes: u64,
    /// What its link needs, unless the URI says otherwise.
    pub(super) report: CoherenceReport,
    /// Map it with MAP_SYNC: then the kernel keeps no copy of it.
    pub(super) sync: bool,
    /// What must live as long as the window is used.
    #[expect(dead_code, reason = "kept, not looked at")]
    pub(super) keep: Option<Box<dyn Any + Send + Sync>>,
}

pub(super) struct Window {
    label: String,
    place: Place,
    /// The window in the file.
    range: Range<u64>,
    /// The cache instruction asked for.
    flush: Option<String>,
}

impl Window {
    /// The part of `place` that `uri` asks for with off= and len=.
    pub(super) fn new(uri: &Uri, place: Place) -> Result<Self> {
        let device_bytes = place.device_bytes.unwrap_or(u64::MAX);
        let off = uri.size("off")?.unwrap_or(0);
        let len = uri.size("len")?.unwrap_or(device_bytes.saturating_sub(off));
        let page = place.page_bytes;
        for (option, value) in [("off", off), ("len", len)] {
            if uri.get(option).is_some() && !value.is_multiple_of(page) {
                let e = uri.invalid(
                    option,
                    format_args!("{} is mapped in units of {page} bytes", place.path.display()),
                );
                return Err(e.with_kind(ErrorKind::BadAlignment));
            }
        }
        let Some(end) = off.checked_add(len).filter(|end| *end <= device_bytes && len > 0) else {
            let text = format!(
                "region {:?}: {} has {device_bytes} bytes; off={off} and len={len} reach beyond",
                uri.label(),
                place.path.display()
            );
            return Err(Error::new(ErrorKind::BadSize, text));
        };
        let range = place.file_off..place.file_off.saturating_add(end);
        let range = range.start + off..range.end;
        Ok(Self { label: uri.label(), place, range, flush: super::flush_of(uri)? })
    }

    fn map(&self, len: u64) -> Result<memmap2::MmapMut> {
        let mut options = MmapOptions::new();
        options.offset(self.range.start).len(index(len));
        // SAFETY: memory that other processes may use, which is written byte by byte and never read here.
        unsafe { options.map_mut(&self.place.file) }.map_err(|e| {
            let call =
                format_args!("mmap({}, {len} bytes at {})", self.place.path.display(), self.range.start);
            Error::system(call, e.raw_os_error().unwrap_or(0))
        })
    }
}

impl Device for Window {
    fn coherence(&self) -> CoherenceReport {
        self.place.report
    }

    fn cache_ops(&self, base: *const u8) -> Result<Box<dyn CacheOps>> {
        match self.place.report.memory {
            MemoryType::WriteBack => arch::native(self.flush.as_deref())
                .map_err(|e| e.context(format_args!("region {:?}", self.label))),
            MemoryType::WriteCombining | MemoryType::Uncached => Ok(Box::new(arch::ReadBack::new(base))),
        }
    }

    fn file(&self) -> (&File, u64) {
        (&self.place.file, self.range.start)
    }

    fn is_mapped_sync(&self) -> bool {
        self.place.sync
    }

    fn is_new(&self) -> bool {
        false
    }

    fn is_marked(&self) -> bool {
        false
    }

    fn len_bytes(&self) -> Result<u64> {
        Ok(self.range.end - self.range.start)
    }

    fn owner_uid(&self) -> Result<Option<u32>> {
        // Whoever may write the device may make a region in it; there is no name to take first.
        Ok(None)
    }

    fn mode(&self) -> Result<u32> {
        Ok(file::stat(&self.place.file, &self.place.path)?.2 & 0o666 | 0o600)
    }

    fn page_bytes(&self) -> u64 {
        self.place.page_bytes
    }

    fn extend(&self, len_bytes: u64, _backed: &[Range<u64>], _huge: bool) -> Result<()> {
        let there = self.len_bytes()?;
        if len_bytes > there {
            let text = format!(
                "{} has {} here, and {} are needed; choose a smaller size",
                self.place.path.display(),
                format_size(there),
                format_size(len_bytes)
            );
            return Err(Error::new(ErrorKind::NoMemory, text));
        }
        Ok(())
    }

    fn clear(&self, len_bytes: u64) -> Result<()> {
        let mut view = self.map(len_bytes.next_multiple_of(self.page_bytes()))?;
        let cache = self.cache_ops(view.as_ptr())?;
        view[..index(len_bytes)].fill(0);
        cache.write_back(view.as_ptr(), len_bytes);
        cache.fence();
        Ok(())
    }

    fn commit(&self) -> Result<()> {
        Ok(())
    }

    fn control_path(&self, uuid: &Uuid, node: u64) -> PathBuf {
        shm_file::control_path(format_args!("{uuid}.{node}"))
    }

    fn control_paths(&self, uuid: &Uuid) -> Result<Vec<PathBuf>> {
        Ok(shm_file::control_paths(format_args!("{uuid}.")))
    }

    fn is_one_host(&self) -> bool {
        false
    }

    fn boot(&self) -> Result<u64> {
        shm_file::host_boot()
    }

    fn remove(&self, len_bytes: u64) -> Result<()> {
        // Law 6: nothing of this node's may come home once somebody else writes here.
        let len_bytes = len_bytes.min(self.len_bytes()?);
        let view = self.map(len_bytes)?;
        let cache = self.cache_ops(view.as_ptr())?;
        cache.invalidate(view.as_ptr(), len_bytes);
        cache.fence();
        drop(view);
        self.clear(self.page_bytes().min(len_bytes))
    }
}
