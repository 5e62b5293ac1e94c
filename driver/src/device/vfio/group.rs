//! An IOMMU group, open in a container of its own: what the kernel wants before it gives a device out.
//!
//! No memory of this process is ever given to the device (no DMA mapping), so the container is an empty IOMMU domain:
//! whatever the device does, it reaches nothing. That makes TYPE1v2 and SPAPR TCE v2 the same few calls.
//!
//! The ioctls are called directly on vfio-bindings and not through vfio-ioctls, rust-vmm's crate above it: a process that
//! was lent a device has its descriptor and no group, from which vfio-ioctls 0.10 makes no device; it knows no SPAPR; it
//! drops the error numbers by which a group in use is told from one that is not viable; and its devices panic when they
//! are dropped after the PCI device went away.

use std::fs::{File, OpenOptions};
use std::path::Path;

use vfio_bindings::bindings::vfio as sys;

use super::address::PciAddress;
use super::sysfs::{Facts, Roots, failed};
use super::uapi;
use crate::error::{Error, ErrorKind, Result};

#[cfg(target_arch = "powerpc64")]
const IOMMU: u32 = sys::VFIO_SPAPR_TCE_v2_IOMMU;
#[cfg(not(target_arch = "powerpc64"))]
const IOMMU: u32 = sys::VFIO_TYPE1v2_IOMMU;

/// A group of this process's. The kernel gives it to nobody else until this, and every device of it, is closed.
#[derive(Debug)]
pub(super) struct Group {
    // Closed in this order.
    file: File,
    _container: File,
}

impl Group {
    /// Opens the group; None when another process (or this one, still) has it.
    ///
    /// # Errors
    /// Each says what to do: the module to load, the permission to give, the driver to unbind.
    pub(super) fn open(roots: &Roots, facts: &Facts) -> Result<Option<Self>> {
        let container = open(&roots.dev.join("vfio/vfio"), facts)?;
        uapi::check_version(&container)?;
        if !uapi::has_iommu(&container, IOMMU)? {
            let text = format!("the kernel's VFIO has no IOMMU driver of kind {IOMMU}");
            return Err(facts.explain_iommu(Error::new(ErrorKind::Unsupported, text)));
        }
        let file = match open(&facts.group_path(roots), facts) {
            Err(e) if e.errno() == libc::EBUSY => return Ok(None),
            file => file?,
        };
        if !uapi::is_viable(&file)? {
            return Err(facts.not_viable());
        }
        uapi::set_container(&file, &container).map_err(|e| match e.errno() {
            libc::EBUSY => facts.not_viable(),
            _ => e,
        })?;
        uapi::set_iommu(&container, IOMMU).map_err(|e| facts.explain_iommu(e))?;
        Ok(Some(Self { file, _container: container }))
    }

    /// Opens a device of the group.
    pub(super) fn device(&self, address: PciAddress) -> Result<File> {
        uapi::device(&self.file, address)
    }
}

fn open(path: &Path, facts: &Facts) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|e| facts.explain(path, failed("open", path, &e)))
}
