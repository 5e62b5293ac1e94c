//! OpenCAPI: AFUs, and the character devices that map the memory borrowed through them.

use serde_json::json;

use super::Section;
use super::sysfs::Dir;
use crate::attach::roots;
use crate::run::Run;

pub(super) fn afus(run: &Run) -> Section {
    let roots = roots(run);
    let found = match roots.list() {
        Ok(found) => found,
        Err(e) => {
            let mut section = Section::new("ocxl", "no AFU", json!({ "afus": [] }));
            section.missing("an AFU", e.to_string());
            return section;
        }
    };
    let json = found.iter().map(|afu| {
        json!({
            "name": afu.name,
            "function": afu.function,
            "index": afu.index,
            "version": format!("{}.{}", afu.version.0, afu.version.1),
            "contexts_used": afu.contexts_used,
            "contexts_max": afu.contexts_max,
            "global_mmio_bytes": afu.global_mmio_bytes,
            "per_pasid_mmio_bytes": afu.per_pasid_mmio_bytes,
            "path": afu.dev_path,
            "usable": afu.has_dev && Dir::of(&afu.dev_path).is_ours(),
        })
    });
    let json = json!({ "afus": json.collect::<Vec<_>>() });
    let mut section = Section::new("ocxl", format!("{} AFUs", found.len()), json);
    for afu in &found {
        section.line(format!(
            "{} at {}, version {}.{}, {} of {} contexts used{}",
            afu.name,
            afu.function,
            afu.version.0,
            afu.version.1,
            afu.contexts_used,
            afu.contexts_max,
            if afu.has_dev { "" } else { ", no device file" }
        ));
    }
    if found.is_empty() {
        section.missing("an AFU", "on POWER9 with an OpenCAPI card, modprobe ocxl");
    } else if !found.iter().any(|afu| afu.has_dev && Dir::of(&afu.dev_path).is_ours()) {
        section
            .missing("permission", "run as root, or let a udev rule give /dev/ocxl/* to a group (mode 0660)");
    }
    section
}

const BORROWED: &[&str] = &["tfshmem", "mishmem"];

pub(super) fn shared_memory(run: &Run) -> Section {
    let dev = Dir::new(run, "/dev");
    let names = dev.names().into_iter().filter(|name| BORROWED.iter().any(|prefix| name.starts_with(prefix)));
    let found: Vec<_> = names.map(|name| (dev.at(&name).is_ours(), name)).collect();
    let hotplug = Dir::new(run, "/sys/devices/system/memory/probe").exists();
    let json = found.iter().map(|(ours, name)| json!({ "path": format!("/dev/{name}"), "usable": ours }));
    let json = json!({ "devices": json.collect::<Vec<_>>(), "hotplug": hotplug });
    let summary = match found.len() {
        0 => "no character device maps borrowed memory".into(),
        n => format!("{n} character devices map borrowed memory"),
    };
    let mut section = Section::new("borrowed", summary, json);
    for (ours, name) in &found {
        section.line(format!(
            "/dev/{name}{}",
            if *ours { "" } else { ", not readable and writable by this user" }
        ));
    }
    if hotplug {
        section.line("the kernel can take memory in as blocks (via=hotplug)");
    }
    if found.is_empty() {
        section.missing(
            "/dev/tfshmem or /dev/mishmem-*",
            "for ThymesisFlow's compute role, load the module that maps it (libtfshmem's tfshmem.ko)",
        );
    } else if found.iter().all(|(ours, _)| !ours) {
        section
            .missing("permission", "run as root, or let a udev rule give the device to a group (mode 0660)");
    }
    section
}
