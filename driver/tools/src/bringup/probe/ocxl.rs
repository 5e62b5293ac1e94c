//! OpenCAPI: AFUs, and the character devices that map the memory borrowed through them.

use serde_json::json;

use super::Section;
use super::sysfs::Dir;
use crate::run::Run;

pub(super) fn afus(run: &Run) -> Section {
    let names = Dir::new(run, "/dev/ocxl").names();
    let mut section = Section::new("ocxl", "", json!({ "afus": names }));
    if names.is_empty() {
        section.summary = "no AFU".into();
        section.missing("AFU", "on POWER9 with an OpenCAPI card, modprobe ocxl");
    }
    section
}

const BORROWED: &[&str] = &["tfshmem", "mishmem"];

pub(super) fn shared_memory(run: &Run) -> Section {
    let dev = Dir::new(run, "/dev");
    let mut found: Vec<_> = Vec::new();
    for name in dev.names() {
        if BORROWED.iter().any(|prefix| name.starts_with(prefix)) {
            let ours = dev.at(&name).is_ours();
            found.push((name, ours));
        }
    }
    let json = found.iter().map(|(name, ours)| json!({ "path": format!("/dev/{name}"), "usable": ours }));
    let mut section = Section::new("borrowed", "", json!({ "devices": json.collect::<Vec<_>>() }));
    let hotplug = Dir::new(run, "/sys/devices/system/memory/probe").exists();
    section.json["hotplug"] = hotplug.into();
    section.summary = match found.len() {
        0 => "no character device maps borrowed memory".into(),
        n => format!("{n} character devices map borrowed memory"),
    };
    for (name, ours) in &found {
        section.line(format!(
            "/dev/{name}{}",
            if *ours { "" } else { ", not readable and writable by this user" }
        ));
    }
    if hotplug {
        section.line("hotplug is possible: /sys/devices/system/memory/probe (via=hotplug)");
    }
    if found.is_empty() {
        section.missing(
            "/dev/tfshmem or /dev/mishmem-*",
            "for ThymesisFlow's compute role, load the module that maps it (libtfshmem's tfshmem.ko)",
        );
    } else if found.iter().all(|(_, ours)| !ours) {
        section
            .missing("permission", "run as root, or let a udev rule give the device to a group (mode 0660)");
    }
    section
}
