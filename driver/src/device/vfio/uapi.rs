//! The kernel's VFIO interface, `<linux/vfio.h>`: each ioctl as a function that reports its arguments when it fails.
//!
//! Numbers and layouts are those of vfio-bindings. What the kernel fills in is read as bytes and checked.
#![allow(unsafe_code, reason = "ioctls")]

use std::ffi::CString;
use std::fs::File;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd};

use nix::libc;
use vfio_bindings::bindings::vfio as sys;

use super::address::PciAddress;
use crate::error::{Error, ErrorKind, Result};

const fn number(offset: u32) -> nix::sys::ioctl::ioctl_num_type {
    nix::request_code_none!(sys::VFIO_TYPE, sys::VFIO_BASE + offset)
}

nix::ioctl_none_bad!(vfio_get_api_version, number(0));
nix::ioctl_write_int_bad!(vfio_check_extension, number(1));
nix::ioctl_write_int_bad!(vfio_set_iommu, number(2));
nix::ioctl_read_bad!(vfio_group_get_status, number(3), sys::vfio_group_status);
nix::ioctl_write_ptr_bad!(vfio_group_set_container, number(4), libc::c_int);
nix::ioctl_write_ptr_bad!(vfio_group_get_device_fd, number(6), libc::c_char);
nix::ioctl_read_bad!(vfio_device_get_info, number(7), sys::vfio_device_info);
nix::ioctl_read_bad!(vfio_device_get_region_info, number(8), sys::vfio_region_info);
nix::ioctl_read_bad!(vfio_device_get_irq_info, number(9), sys::vfio_irq_info);
nix::ioctl_write_ptr_bad!(vfio_device_set_irqs, number(10), sys::vfio_irq_set);

/// A call's answer, or what was called and how it failed.
fn done<T>(call: impl std::fmt::Display, answer: nix::Result<T>) -> Result<T> {
    answer.map_err(|errno| Error::system(format_args!("ioctl({call})"), errno as i32))
}

/// `size_of::<T>()` as the kernel wants to be told it.
#[expect(clippy::cast_possible_truncation, reason = "structures of a few bytes")]
const fn argsz<T>() -> u32 {
    size_of::<T>() as u32
}

fn int(value: u32) -> libc::c_int {
    libc::c_int::try_from(value).unwrap_or(libc::c_int::MAX)
}

/// Checks that a container speaks the version of the interface that this is written for.
pub(super) fn check_version(container: &File) -> Result<()> {
    // SAFETY: takes no argument.
    let version = done("VFIO_GET_API_VERSION", unsafe { vfio_get_api_version(container.as_raw_fd()) })?;
    if version != int(sys::VFIO_API_VERSION) {
        let text = format!(
            "the kernel's VFIO interface has version {version}, this library is for version {}",
            sys::VFIO_API_VERSION
        );
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    Ok(())
}

/// Whether the kernel has the IOMMU driver `kind`.
pub(super) fn has_iommu(container: &File, kind: u32) -> Result<bool> {
    // SAFETY: takes a number.
    let answer = unsafe { vfio_check_extension(container.as_raw_fd(), int(kind)) };
    Ok(done(format_args!("VFIO_CHECK_EXTENSION, {kind}"), answer)? > 0)
}

/// Gives a container, which has a group, the IOMMU driver `kind`.
pub(super) fn set_iommu(container: &File, kind: u32) -> Result<()> {
    // SAFETY: takes a number.
    let answer = unsafe { vfio_set_iommu(container.as_raw_fd(), int(kind)) };
    done(format_args!("VFIO_SET_IOMMU, {kind}"), answer).map(|_| ())
}

/// Whether nothing but VFIO uses the group's devices.
pub(super) fn is_viable(group: &File) -> Result<bool> {
    let mut status = sys::vfio_group_status { argsz: argsz::<sys::vfio_group_status>(), flags: 0 };
    // SAFETY: the kernel writes one such structure.
    let answer = unsafe { vfio_group_get_status(group.as_raw_fd(), &raw mut status) };
    done("VFIO_GROUP_GET_STATUS", answer)?;
    Ok(status.flags & sys::VFIO_GROUP_FLAGS_VIABLE != 0)
}

/// Puts the group into the container.
pub(super) fn set_container(group: &File, container: &File) -> Result<()> {
    let fd = container.as_raw_fd();
    // SAFETY: the kernel reads one int.
    let answer = unsafe { vfio_group_set_container(group.as_raw_fd(), &raw const fd) };
    done(format_args!("VFIO_GROUP_SET_CONTAINER, fd {fd}"), answer).map(|_| ())
}

/// Opens a device of the group.
pub(super) fn device(group: &File, address: PciAddress) -> Result<File> {
    let name = CString::new(address.to_string())
        .map_err(|_| Error::new(ErrorKind::Internal, "a PCI address with a zero byte"))?;
    // SAFETY: the kernel reads a string that ends with a zero.
    let answer = unsafe { vfio_group_get_device_fd(group.as_raw_fd(), name.as_ptr()) };
    let fd = done(format_args!("VFIO_GROUP_GET_DEVICE_FD, {address}"), answer)?;
    // The kernel makes it close-on-exec.
    // SAFETY: a new descriptor that nobody else has.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// Whether `file` is a VFIO device on the PCI bus.
pub(super) fn is_pci_device(file: &File) -> Result<bool> {
    let mut info = sys::vfio_device_info { argsz: argsz::<sys::vfio_device_info>(), ..Default::default() };
    // SAFETY: the kernel writes one such structure.
    let answer = unsafe { vfio_device_get_info(file.as_raw_fd(), &raw mut info) };
    done("VFIO_DEVICE_GET_INFO", answer)?;
    Ok(info.flags & sys::VFIO_DEVICE_FLAGS_PCI != 0)
}

/// A BAR, or the configuration space, as a part of the device's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Its length; 0 where there is none.
    pub(super) size_bytes: u64,
    /// Where it begins in the device's file.
    pub(super) file_off: u64,
    /// What of it can be mapped: ranges of offsets in it, in order.
    pub(super) mappable: Vec<Range<u64>>,
}

/// What the device says of part `index`.
pub(super) fn part(device: &File, index: u32) -> Result<Part> {
    let mut info =
        sys::vfio_region_info { argsz: argsz::<sys::vfio_region_info>(), index, ..Default::default() };
    let call = format!("VFIO_DEVICE_GET_REGION_INFO, {index}");
    // SAFETY: the kernel writes one such structure.
    done(&call, unsafe { vfio_device_get_region_info(device.as_raw_fd(), &raw mut info) })?;
    let mut mappable = Vec::new();
    if info.flags & sys::VFIO_REGION_INFO_FLAG_MMAP != 0 {
        mappable.push(0..info.size);
    }
    if info.flags & sys::VFIO_REGION_INFO_FLAG_CAPS != 0 && info.argsz > argsz::<sys::vfio_region_info>() {
        // Once more, with room for what comes after the structure. Words, so that it is aligned.
        let mut words = vec![0_u64; (info.argsz as usize).div_ceil(8)];
        let argsz = info.argsz;
        words[..2].copy_from_slice(&[u64::from(argsz), u64::from(index)]);
        let at = words.as_mut_ptr().cast();
        // SAFETY: argsz says how much the kernel may write, and there is room for it.
        done(&call, unsafe { vfio_device_get_region_info(device.as_raw_fd(), at) })?;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        if let Some(areas) = sparse(&bytes, info.size) {
            mappable = areas;
        }
    }
    mappable.retain(|area| !area.is_empty());
    Ok(Part { size_bytes: info.size, file_off: info.offset, mappable })
}

/// The areas that can be mapped, where the chain of capabilities after a `vfio_region_info` names them: the MSI-X
/// table's pages are left out of them.
fn sparse(bytes: &[u8], size_bytes: u64) -> Option<Vec<Range<u64>>> {
    let u16_at = |at: usize| bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes);
    let u32_at = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    let u64_at = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes);
    const CAP_OFFSET: usize = 12;
    let mut at = u32_at(CAP_OFFSET)? as usize;
    // A chain goes forward and ends with 0.
    let mut last = 0;
    while at > last {
        last = at;
        // Header: id, version, next. Then, for this one: number of areas, reserved, areas of offset and size.
        if u32::from(u16_at(at)?) == sys::VFIO_REGION_INFO_CAP_SPARSE_MMAP {
            let count = u32_at(at + 8).unwrap_or(0) as usize;
            let area = |i: usize| {
                let start = u64_at(at + 16 + 16 * i)?;
                let end = start.checked_add(u64_at(at + 24 + 16 * i)?)?;
                (end <= size_bytes).then_some(start..end)
            };
            // Areas that cannot be are none: the whole would be a guess.
            return Some((0..count).map(area).collect::<Option<_>>().unwrap_or_default());
        }
        at = u32_at(at + 4)? as usize;
    }
    None
}

/// MSI-X vectors that the device has, each of which can be an eventfd.
pub(super) fn vectors(device: &File) -> Result<u32> {
    let mut info = sys::vfio_irq_info {
        argsz: argsz::<sys::vfio_irq_info>(),
        index: sys::VFIO_PCI_MSIX_IRQ_INDEX,
        ..Default::default()
    };
    // SAFETY: the kernel writes one such structure.
    let answer = unsafe { vfio_device_get_irq_info(device.as_raw_fd(), &raw mut info) };
    done("VFIO_DEVICE_GET_IRQ_INFO, MSI-X", answer)?;
    Ok(if info.flags & sys::VFIO_IRQ_INFO_EVENTFD == 0 { 0 } else { info.count })
}

/// Turns MSI-X on with an eventfd for each vector from 0 on, or off where there are none.
pub(super) fn set_vectors(device: &File, events: &[BorrowedFd<'_>]) -> Result<()> {
    let data = if events.is_empty() { sys::VFIO_IRQ_SET_DATA_NONE } else { sys::VFIO_IRQ_SET_DATA_EVENTFD };
    let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
    // struct vfio_irq_set: five words, then a descriptor for each vector.
    let mut words = vec![
        argsz::<sys::vfio_irq_set>() + 4 * count,
        data | sys::VFIO_IRQ_SET_ACTION_TRIGGER,
        sys::VFIO_PCI_MSIX_IRQ_INDEX,
        0,
        count,
    ];
    words.extend(events.iter().map(|event| event.as_raw_fd().cast_unsigned()));
    // SAFETY: argsz says how much the kernel reads, and it is there.
    let answer = unsafe { vfio_device_set_irqs(device.as_raw_fd(), words.as_ptr().cast()) };
    done(format_args!("VFIO_DEVICE_SET_IRQS, MSI-X, vectors 0 to {count}"), answer).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `vfio_region_info` whose capabilities begin at 32: one to be skipped, then areas.
    fn answer(areas: &[(u64, u64)]) -> Vec<u8> {
        let mut bytes = vec![0; 32];
        bytes[12..16].copy_from_slice(&32_u32.to_ne_bytes());
        let header = |id: u32, next: u32| {
            let id = u16::try_from(id).expect("16 bits").to_ne_bytes();
            [&id[..], &1_u16.to_ne_bytes(), &next.to_ne_bytes()].concat()
        };
        bytes.extend(header(sys::VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 40));
        bytes.extend(header(sys::VFIO_REGION_INFO_CAP_SPARSE_MMAP, 0));
        bytes.extend(u32::try_from(areas.len()).expect("few").to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(areas.iter().flat_map(|(off, len)| [off.to_ne_bytes(), len.to_ne_bytes()].concat()));
        bytes
    }

    #[test]
    fn areas_around_the_msix_table_are_found_behind_other_capabilities() {
        let found = sparse(&answer(&[(0, 0x1000), (0x3000, 0x1000)]), 0x4000);
        assert_eq!(found, Some(vec![0..0x1000, 0x3000..0x4000]));
    }

    #[test]
    fn what_cannot_be_is_no_area() {
        let whole = answer(&[(0, 0x1000), (0x3000, 0x1000)]);
        assert_eq!(sparse(&whole, 0x3800), Some(vec![]), "an area beyond the end");
        assert_eq!(sparse(&whole[..whole.len() - 1], 0x4000), Some(vec![]), "cut short");
        let mut circle = whole.clone();
        circle[36..40].copy_from_slice(&32_u32.to_ne_bytes());
        assert_eq!(sparse(&circle, 0x4000), None, "a circle");
        assert_eq!(sparse(&answer(&[(u64::MAX, 2)]), 0x4000), Some(vec![]), "an area that wraps");
    }
}
