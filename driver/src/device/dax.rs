//! `dax:/dev/dax0.0`, or a file in a file system mounted with `-o dax`: memory that the kernel maps directly, as CXL
//! and persistent memory.
//!
//! Such memory may lie outside of every host, so the report is the worst one (lc) unless coherence= says that this
//! one is better: hardware-coherent CXL is `gc`. A dax device is mapped in units of its alignment, which sysfs
//! tells, and never privately. A file must be mapped with MAP_SYNC, which the kernel refuses where it keeps copies in a page cache.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::window::{Place, Window};
use super::{CoherenceReport, shm_file};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::mem;
use crate::uri::Uri;

pub(super) fn open(uri: &Uri) -> Result<Window> {
    let path = PathBuf::from(uri.name());
    let meta = path.metadata().map_err(|_| {
        let text = format!(
            "region {:?}: there is no {}; daxctl list (or ls /sys/bus/dax/devices) shows the devices, and daxctl reconfigure-device \
             --mode=devdax makes one of memory that the system uses as its own",
            uri.label(),
            path.display()
        );
        Error::new(ErrorKind::RegionNotFound, text)
    })?;
    let wrong = |what: &str| {
        let text = format!(
            "region {:?}: {} is {what}; dax: takes a device as /dev/dax0.0, or a file in a file system mounted with -o dax",
            uri.label(),
            path.display()
        );
        Error::new(ErrorKind::InvalidArgument, text)
    };
    let (device_bytes, page_bytes, sync) = if meta.file_type().is_char_device() {
        let (major, minor) = (nix::sys::stat::major(meta.rdev()), nix::sys::stat::minor(meta.rdev()));
        let dir = PathBuf::from(format!("/sys/dev/char/{major}:{minor}"));
        let bytes = attribute(&dir, "size")
            .ok_or_else(|| wrong("a character device without a size: no dax device"))?;
        // Kernels before 5.1 do not tell the alignment; it was 2 MiB unless asked for.
        (bytes, attribute(&dir, "align").unwrap_or(shm_file::HUGE_PAGE_BYTES), true)
    } else if meta.file_type().is_file() {
        (meta.len(), mem::page_bytes(), true)
    } else {
        return Err(wrong("neither a character device nor a file"));
    };
    let place = Place {
        file: shm_file::open_window(uri, &path)?,
        path,
        file_off: 0,
        device_bytes: Some(device_bytes),
        page_bytes,
        report: CoherenceReport::LOCAL,
        sync,
        keep: None,
    };
    Window::new(uri, place)
}

/// A number that sysfs tells of a device.
fn attribute(dir: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(dir.join(name)).ok()?;
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}
