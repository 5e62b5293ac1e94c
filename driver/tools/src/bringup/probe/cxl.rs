//! CXL: memory devices and the regions made of them. What is mapped in the end is devdax.

use csm::units::format_size;
use serde_json::json;

use super::Section;
use super::sysfs::Dir;
use crate::run::Run;

pub(super) fn probe(run: &Run) -> Section {
    let bus = Dir::new(run, "/sys/bus/cxl/devices");
    let (mut devices, mut regions, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for name in bus.names() {
        let device = bus.at(&name);
        if name.starts_with("mem") {
            let (ram, pmem) =
                (device.number("ram/size").unwrap_or(0), device.number("pmem/size").unwrap_or(0));
            lines.push(format!("{name}  {} volatile, {} persistent", format_size(ram), format_size(pmem)));
            devices.push(json!({ "name": name, "volatile_bytes": ram, "persistent_bytes": pmem }));
        } else if name.starts_with("region") {
            let bytes = device.number("size").unwrap_or(0);
            let committed = device.number("commit") == Some(1);
            let state = if committed { "" } else { ", not committed" };
            lines.push(format!("{name}  {}{state}", format_size(bytes)));
            regions.push(json!({ "name": name, "size_bytes": bytes, "committed": committed }));
        }
    }
    let summary = match (devices.len(), regions.len()) {
        (0, _) => "no memory device".into(),
        (devices, regions) => format!("{devices} memory devices, {regions} regions"),
    };
    let (no_device, no_region) = (devices.is_empty(), regions.is_empty());
    let mut section = Section::new("cxl", summary, json!({ "devices": devices, "regions": regions }));
    section.lines = lines;
    if no_device {
        section.missing(
            "a memory device",
            "a host with CXL memory, and the modules cxl_acpi, cxl_pci and cxl_mem",
        );
    } else if no_region {
        section.missing(
            "a region",
            "cxl create-region -m -t ram -d decoder0.0 mem0; then daxctl reconfigure-device --mode=devdax daxX.Y",
        );
    }
    section
}
