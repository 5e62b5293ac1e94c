//! Which processes have a group, for the message to whoever wants it too.

use std::fs;
use std::path::Path;

use super::sysfs::Roots;

/// The link that a descriptor of a VFIO device shows.
const DEVICE_LINK: &str = "anon_inode:[vfio-device]";

/// The processes that have group `group` open, or a VFIO device, which may be one of its: as text.
pub(super) fn users_of(roots: &Roots, group: u32) -> String {
    let path = format!("/dev/vfio/{group}");
    let mut having = Vec::new();
    let mut perhaps = Vec::new();
    for pid in names(&roots.proc).filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
        let dir = roots.proc.join(&pid);
        let fds = dir.join("fd");
        let links: Vec<_> = names(&fds).filter_map(|fd| fs::read_link(fds.join(fd)).ok()).collect();
        let program = fs::read_to_string(dir.join("comm")).unwrap_or_default();
        let process = format!("process {pid} ({})", program.trim());
        if links.iter().any(|link| link == Path::new(&path)) {
            having.push(process);
        } else if links.iter().any(|link| link == Path::new(DEVICE_LINK)) {
            perhaps.push(process);
        }
    }
    match (having.is_empty(), perhaps.is_empty()) {
        (false, _) => format!("{} has it open", having.join(" and ")),
        (true, false) => format!("{} has a VFIO device open, perhaps lent to it once", perhaps.join(" and ")),
        (true, true) => format!("this user cannot see who has it; as root: fuser -v {path}"),
    }
}

fn names(dir: &Path) -> impl Iterator<Item = String> + use<> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}
