//! Huge pages, and the room in /dev/shm.

use csm::units::{KIB, format_size};
use serde_json::json;

use super::Section;
use super::sysfs::Dir;
use crate::run::Run;

const TWO_MIB_KIB: u64 = 2048;

pub(super) fn probe(run: &Run) -> Section {
    let mm = Dir::new(run, "/sys/kernel/mm");
    let pools = mm.at("hugepages");
    let mut found = Vec::new();
    let mut lines = Vec::new();
    let mut free_2m = 0;
    for name in pools.names() {
        let kib = name.trim_start_matches("hugepages-").trim_end_matches("kB").parse::<u64>().unwrap_or(0);
        let pool = pools.at(&name);
        let (total, free) =
            (pool.number("nr_hugepages").unwrap_or(0), pool.number("free_hugepages").unwrap_or(0));
        if kib == TWO_MIB_KIB {
            free_2m = free;
        }
        lines.push(format!("pages of {}: {free} of {total} free", format_size(kib * KIB)));
        found.push(json!({ "page_bytes": kib * KIB, "total": total, "free": free }));
    }
    // "always within_size advise [never] deny force"
    let chosen = |name: &str| {
        let text = mm.at("transparent_hugepage").text(name)?;
        text.split(['[', ']']).nth(1).map(ToOwned::to_owned)
    };
    let shmem = chosen("shmem_enabled");
    let shm_bytes = nix::sys::statvfs::statvfs(&run.path("/dev/shm"))
        .ok()
        .map(|fs| fs.fragment_size() * fs.blocks_available());
    let json = json!({
        "pools": found,
        "transparent": chosen("enabled"),
        "transparent_shmem": shmem,
        "shm_free_bytes": shm_bytes,
    });
    let summary = format!(
        "transparent huge pages in shared memory: {}; {} free in /dev/shm",
        shmem.as_deref().unwrap_or("unknown"),
        shm_bytes.map_or_else(|| "unknown".into(), format_size)
    );
    let mut section = Section::new("pages", summary, json);
    section.lines = lines;
    if free_2m == 0 {
        section.missing(
            "reserved huge pages",
            "echo 512 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages (1 GiB), for regions with hugepages=2M",
        );
    }
    section
}
