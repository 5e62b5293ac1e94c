//! PCI devices with memory to map, their IOMMU groups, and which driver holds what.

use csm::units::{MIB, format_size};
use serde_json::json;

use super::Section;
use super::sysfs::Dir;
use crate::run::Run;

/// Base class of memory controllers: RAM (ivshmem, 0500), CXL (0502).
const MEMORY_CLASS: u64 = 0x05;
const FLAG_MEMORY: u64 = 0x200;
const FLAG_PREFETCH: u64 = 0x2000;
const BARS: usize = 6;

struct Bar {
    index: usize,
    bytes: u64,
    prefetchable: bool,
}

pub(super) fn probe(run: &Run, all: bool) -> Section {
    let (pci, dev) = (Dir::new(run, "/sys/bus/pci/devices"), Dir::new(run, "/dev/vfio"));
    let mut devices = Vec::new();
    let mut lines = Vec::new();
    let (mut usable, mut shown, mut ungrouped) = (0, 0, 0);
    let mut to_bind = None;
    for name in pci.names() {
        let device = pci.at(&name);
        let driver = device.link("driver");
        let bars = bars(&device.text("resource").unwrap_or_default());
        let class = device.number("class").unwrap_or(0) >> 16;
        let held = driver.as_deref() == Some("vfio-pci");
        if !all && !held && (class != MEMORY_CLASS || bars.is_empty()) {
            continue;
        }
        shown += 1;
        let group = device.link("iommu_group");
        let ours = held && group.as_ref().is_some_and(|group| dev.at(group).is_ours());
        usable += usize::from(ours);
        ungrouped += usize::from(group.is_none());
        if !held && to_bind.is_none() && class == MEMORY_CLASS {
            to_bind = Some((name.clone(), driver.clone()));
        }
        let sizes = bars.iter().map(|bar| {
            format!(
                "BAR{} {}{}",
                bar.index,
                format_size(bar.bytes),
                if bar.prefetchable { "" } else { " (not prefetchable)" }
            )
        });
        lines.push(format!(
            "vfio:{name}  {}, group {}, {}; {}",
            ids(&device),
            group.as_deref().unwrap_or("none"),
            match (&driver, ours) {
                (Some(_), true) => "vfio-pci, usable".to_owned(),
                (Some(_), false) if held => "vfio-pci, not readable and writable by this user".to_owned(),
                (Some(driver), _) => format!("held by {driver}"),
                (None, _) => "no driver".to_owned(),
            },
            sizes.collect::<Vec<_>>().join(", ")
        ));
        let bars = bars.iter().map(
            |bar| json!({ "bar": bar.index, "size_bytes": bar.bytes, "prefetchable": bar.prefetchable }),
        );
        devices.push(json!({
            "address": name,
            "ids": ids(&device),
            "driver": driver,
            "group": group,
            "bars": bars.collect::<Vec<_>>(),
            "usable": ours,
        }));
    }
    let summary = match shown {
        0 => "no PCI device with memory to map".into(),
        _ => format!("{usable} of {shown} devices usable"),
    };
    let container = dev.at("vfio").exists();
    let mut section = Section::new("vfio", summary, json!({ "devices": devices, "container": container }));
    section.lines = lines;
    if shown == 0 {
        section.missing("a device", "plug one in; in a guest: -device ivshmem-plain with a memory backend");
    } else if usable == 0 {
        if !container {
            section.missing("/dev/vfio/vfio", "modprobe vfio-pci");
        }
        if ungrouped == shown {
            section.missing(
                "IOMMU groups",
                "turn the IOMMU on in the firmware, and boot with intel_iommu=on (Intel)",
            );
        } else if let Some((name, driver)) = to_bind {
            let at = format!("/sys/bus/pci/devices/{name}");
            let unbind = driver.map(|_| format!("echo {name} > {at}/driver/unbind; ")).unwrap_or_default();
            section.missing(
                "a device bound to vfio-pci",
                format!(
                    "echo vfio-pci > {at}/driver_override; {unbind}echo {name} > /sys/bus/pci/drivers_probe"
                ),
            );
        } else {
            section.missing("permission", "run as root, or give /dev/vfio/GROUP to a group (mode 0660)");
        }
    }
    section
}

fn ids(device: &Dir) -> String {
    let id =
        |name| device.text(name).map_or_else(|| "?".to_owned(), |id| id.trim_start_matches("0x").to_owned());
    format!("{}:{}", id("vendor"), id("device"))
}

/// The memory BARs: lines of `start end flags`. Small ones are registers.
fn bars(resource: &str) -> Vec<Bar> {
    let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let parse = |(index, line): (usize, &str)| {
        let mut words = line.split_whitespace().map(number);
        let (start, end, flags) = (words.next()??, words.next()??, words.next()??);
        let bytes = end.checked_sub(start)?.checked_add(1).filter(|_| flags & FLAG_MEMORY != 0 && end > 0)?;
        Some(Bar { index, bytes, prefetchable: flags & FLAG_PREFETCH != 0 })
    };
    resource.lines().take(BARS).enumerate().filter_map(parse).filter(|bar| bar.bytes >= MIB).collect()
}
