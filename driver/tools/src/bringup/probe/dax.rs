//! Devdax: memory that the kernel maps directly, persistent or CXL or set aside.

use csm::units::format_size;
use serde_json::json;

use super::Section;
use super::sysfs::Dir;
use crate::run::Run;

pub(super) fn probe(run: &Run) -> Section {
    let (bus, dev) = (Dir::new(run, "/sys/bus/dax/devices"), Dir::new(run, "/dev"));
    let mut devices = Vec::new();
    let mut lines = Vec::new();
    let (mut usable, mut ram, mut denied) = (0, 0, 0);
    for name in bus.names() {
        let device = bus.at(&name);
        let bytes = device.number("size").unwrap_or(0);
        let align = device.number("align");
        let driver = device.link("driver");
        let is_devdax = driver.as_deref() == Some("device_dax") && bytes > 0;
        let ours = dev.at(&name).is_ours();
        let state = match driver.as_deref() {
            Some("kmem") => "used by the kernel as ordinary memory",
            None => "no driver",
            _ if bytes == 0 => "empty",
            _ if ours => "usable",
            _ => "not readable and writable by this user",
        };
        usable += usize::from(is_devdax && ours);
        denied += usize::from(is_devdax && !ours);
        ram += usize::from(driver.as_deref() == Some("kmem"));
        lines.push(format!(
            "dax:/dev/{name}  {}, aligned to {}, NUMA node {}, {state}",
            format_size(bytes),
            align.map_or_else(|| "?".into(), format_size),
            device.text("target_node").unwrap_or_else(|| "?".into())
        ));
        devices.push(json!({
            "name": name,
            "uri": format!("dax:/dev/{name}"),
            "size_bytes": bytes,
            "align_bytes": align,
            "target_node": device.number("target_node"),
            "driver": driver,
            "usable": is_devdax && ours,
        }));
    }
    let summary =
        if devices.is_empty() { "no device".into() } else { format!("{usable} of {} usable", devices.len()) };
    let mut section = Section::new("dax", summary, json!({ "devices": devices }));
    section.lines = lines;
    if usable == 0 {
        match (denied, ram) {
            (1.., _) => section.missing("permission", "run as root, or let a udev rule give /dev/dax* to a group (mode 0660)"),
            (_, 1..) => section.missing("a device for user space", "take it back from the kernel: daxctl reconfigure-device --mode=devdax --force daxX.Y"),
            _ => section.missing(
                "a device",
                "with CXL memory: cxl create-region, then daxctl; with persistent memory: ndctl create-namespace --mode=devdax; to try it: boot with memmap=1G!4G, then ndctl",
            ),
        }
    }
    section
}
