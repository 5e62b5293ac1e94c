//! What sysfs tells of a PCI device and its IOMMU group, and what is missing for it to be a window.
//!
//! Reads, and nothing else: the commands that would change something are in the messages, since binding a device to
//! another driver takes it away from the system, and that is an operator's decision.

use std::fmt::Write;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::address::PciAddress;
use crate::error::{Error, ErrorKind, Result};
use crate::sys::file;

/// Where the kernel's files are: tests have their own.
#[derive(Clone, Debug)]
pub(super) struct Roots {
    pub(super) sys: PathBuf,
    pub(super) dev: PathBuf,
    pub(super) proc: PathBuf,
    /// Where processes that hold devices listen.
    pub(super) run: PathBuf,
}

impl Roots {
    /// This machine's; `CSM_RUN_DIR` is another directory than /run/csm.
    pub(super) fn of_this_machine() -> Self {
        Self { sys: "/sys".into(), dev: "/dev".into(), proc: "/proc".into(), run: file::run_dir() }
    }
}

/// The module that has the IOMMU driver, and how a machine without IOMMU groups gets them.
#[cfg(target_arch = "powerpc64")]
const IOMMU: (&str, &str) = ("vfio_iommu_spapr_tce", "this kernel needs CONFIG_SPAPR_TCE_IOMMU");
#[cfg(target_arch = "x86_64")]
const IOMMU: (&str, &str) = (
    "vfio_iommu_type1",
    "turn VT-d or AMD-Vi on in the firmware and, on Intel, boot with intel_iommu=on on the kernel's command line",
);
#[cfg(not(any(target_arch = "powerpc64", target_arch = "x86_64")))]
const IOMMU: (&str, &str) = (
    "vfio_iommu_type1",
    "turn the SMMU on in the firmware, and boot without iommu.passthrough or arm-smmu.disable",
);

/// A device of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    /// As sysfs writes it.
    name: String,
    /// Vendor and device: `1af4:1110`.
    ids: String,
    driver: Option<String>,
    /// Its driver is one of VFIO's.
    ours: bool,
}

/// A PCI device and its group.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) address: PciAddress,
    /// Number of its IOMMU group: `/dev/vfio/GROUP`.
    pub(super) group: u32,
    members: Vec<Member>,
}

impl Facts {
    /// Reads them, and checks what can be seen without opening anything.
    ///
    /// # Errors
    /// `RegionNotFound` without such a device, `Unsupported` without an IOMMU group, `InUse` where another driver
    /// than VFIO's has the device.
    pub(super) fn read(roots: &Roots, address: PciAddress) -> Result<Self> {
        let devices = roots.sys.join("bus/pci/devices");
        let dir = devices.join(address.to_string());
        if !dir.exists() {
            let text = format!("there is no PCI device {address}{}", held_by_vfio(&devices));
            return Err(Error::new(ErrorKind::RegionNotFound, text));
        }
        let Some(group) = link_name(&dir.join("iommu_group")).and_then(|name| name.parse().ok()) else {
            let (_, how) = IOMMU;
            let text = format!(
                "PCI device {address} is in no IOMMU group, so it cannot be given to a program: the IOMMU is off; {how}"
            );
            return Err(Error::new(ErrorKind::Unsupported, text));
        };
        let mut members: Vec<_> =
            names(&dir.join("iommu_group/devices")).map(|name| Member::read(&devices, name)).collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        let facts = Self { address, group, members };
        let own = facts.members.iter().find(|member| member.name == address.to_string());
        match own {
            Some(own) if own.ours => Ok(facts),
            own => {
                let holder = own.and_then(|own| own.driver.as_deref());
                let what = holder.map_or("has no driver".to_owned(), |driver| format!("is held by {driver}"));
                Err(facts.not_bound(&format!("PCI device {address} {what}, and must be bound to vfio-pci")))
            }
        }
    }

    /// The device's driver, where it is a variant of vfio-pci.
    pub(super) fn variant(&self) -> Option<&str> {
        let own = self.address.to_string();
        let driver = self.members.iter().find(|member| member.name == own)?.driver.as_deref();
        driver.filter(|driver| *driver != "vfio-pci")
    }

    /// Whether `other` is a device of the group that VFIO has.
    pub(super) fn has(&self, other: PciAddress) -> bool {
        let name = other.to_string();
        self.members.iter().any(|member| member.ours && member.name == name)
    }

    /// The file that opens the group.
    pub(super) fn group_path(&self, roots: &Roots) -> PathBuf {
        roots.dev.join("vfio").join(self.group.to_string())
    }

    /// The error for a group that the kernel does not give because of who else uses it.
    pub(super) fn not_viable(&self) -> Error {
        let text = format!(
            "IOMMU group {} is not VFIO's alone, and is given away as a whole or not at all",
            self.group
        );
        self.not_bound(&text)
    }

    /// The group's devices, who has them, and how to bind those that are in the way.
    fn not_bound(&self, what: &str) -> Error {
        let mut text = format!("{what}. IOMMU group {}:", self.group);
        for member in &self.members {
            let driver = member.driver.as_deref().unwrap_or("no driver");
            let _ = write!(text, "\n  {} {} {driver}", member.name, member.ids);
        }
        text.push_str(
            "\nTo bind, as root (the system loses the device; another driver gives it up when it can):",
        );
        text.push_str("\n  modprobe vfio-pci");
        let own = self.address.to_string();
        let bridge = |member: &Member| matches!(member.driver.as_deref(), Some("pcieport" | "pci-stub"));
        // A neighbour without a driver is in nobody's way, and bridges stay the system's.
        let in_the_way = |member: &&Member| {
            !member.ours && (member.name == own || member.driver.is_some() && !bridge(member))
        };
        for member in self.members.iter().filter(in_the_way) {
            let dir = format!("/sys/bus/pci/devices/{}", member.name);
            let _ = write!(text, "\n  echo vfio-pci > {dir}/driver_override");
            if member.driver.is_some() {
                let _ = write!(text, "\n  echo {} > {dir}/driver/unbind", member.name);
            }
            let _ = write!(text, "\n  echo {} > /sys/bus/pci/drivers_probe", member.name);
        }
        Error::new(ErrorKind::InUse, text)
    }

    /// What to do about a group or container that does not open.
    pub(super) fn explain(&self, path: &Path, e: Error) -> Error {
        let (module, _) = IOMMU;
        match e.errno() {
            libc::ENOENT if path.ends_with("vfio/vfio") => e.with_kind(ErrorKind::Unsupported).hint(format_args!(
                "as root: modprobe {module}; a kernel without CONFIG_VFIO_CONTAINER has no such file"
            )),
            libc::ENOENT => e.with_kind(ErrorKind::Unsupported).hint(format_args!(
                "{} is bound to VFIO, but its group's file is not here: in a container it must be passed in; a kernel without CONFIG_VFIO_GROUP has no such file",
                self.address
            )),
            libc::EACCES | libc::EPERM => {
                let (uid, gid, mode) =
                    path.metadata().map_or((0, 0, 0), |meta| (meta.uid(), meta.gid(), meta.mode() & 0o777));
                e.hint(format_args!(
                    "it belongs to user {uid} and group {gid} with mode {mode:04o}: as root, give it to those who may use the device: chgrp GROUP {0} && chmod 0660 {0}, and a udev rule so that it stays; or let root run csm-bringup attach",
                    path.display()
                ))
            }
            _ => e,
        }
    }

    /// What to do about an IOMMU driver that is not there, or that refuses.
    pub(super) fn explain_iommu(&self, e: Error) -> Error {
        let (module, _) = IOMMU;
        match e.errno() {
            libc::EPERM => e.hint(
                "the IOMMU cannot remap interrupts, so the kernel does not trust devices with programs; if you do: modprobe vfio_iommu_type1 allow_unsafe_interrupts=1",
            ),
            _ => e.hint(format_args!("as root: modprobe {module}")),
        }
    }
}

impl Member {
    fn read(devices: &Path, name: String) -> Self {
        let dir = devices.join(&name);
        let id = |what| {
            let text = fs::read_to_string(dir.join(what)).unwrap_or_default();
            text.trim().trim_start_matches("0x").to_owned()
        };
        let driver = link_name(&dir.join("driver"));
        // Variant drivers (as mlx5_vfio_pci) are VFIO's too; since 6.1 the kernel says so by vfio-dev.
        let named = driver.as_deref().is_some_and(|driver| driver.replace('_', "-").ends_with("vfio-pci"));
        let ours = named || driver.is_some() && dir.join("vfio-dev").exists();
        Self { ids: format!("{}:{}", id("vendor"), id("device")), name, driver, ours }
    }
}

/// The devices that could be meant.
fn held_by_vfio(devices: &Path) -> String {
    let bound: Vec<_> =
        names(devices).map(|name| Member::read(devices, name)).filter(|member| member.ours).collect();
    match bound.first() {
        None => "; lspci -D lists those there are".to_owned(),
        Some(_) => {
            let mut list: Vec<_> = bound.iter().map(|member| member.name.as_str()).collect();
            list.sort_unstable();
            format!("; VFIO has {}", list.join(", "))
        }
    }
}

fn names(dir: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

/// The last part of what a symbolic link points to.
pub(super) fn link_name(link: &Path) -> Option<String> {
    fs::read_link(link).ok()?.file_name()?.to_str().map(ToOwned::to_owned)
}

/// A failed call on a path.
pub(super) fn failed(call: &str, path: &Path, e: &io::Error) -> Error {
    Error::system(format_args!("{call}({})", path.display()), e.raw_os_error().unwrap_or(0))
}
