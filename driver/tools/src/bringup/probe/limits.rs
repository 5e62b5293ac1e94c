//! What this process may lock and map.

use csm::units::format_size;
use serde_json::json;

use super::Section;
use super::sysfs::Dir;
use crate::run::Run;

/// Fewer mappings than this and a large Arrow process runs out of them.
const MAPS_MIN: u64 = 65_530;

/// The soft limit, as /proc/self/limits says: `None` is unlimited.
fn limit(limits: &str, name: &str) -> Option<Option<u64>> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    let soft = line.split_whitespace().next()?;
    if soft == "unlimited" { Some(None) } else { soft.parse().ok().map(Some) }
}

pub(super) fn probe(run: &Run) -> Section {
    let proc = Dir::new(run, "/proc");
    let limits = proc.text("self/limits").unwrap_or_default();
    let (memlock, space) = (limit(&limits, "Max locked memory"), limit(&limits, "Max address space"));
    let maps = proc.number("sys/vm/max_map_count");
    let words = |limit: Option<Option<u64>>| match limit {
        None => "unknown".to_owned(),
        Some(None) => "unlimited".to_owned(),
        Some(Some(bytes)) => format_size(bytes),
    };
    let root = nix::unistd::geteuid().is_root();
    let json = json!({
        "locked_bytes": memlock.flatten(),
        "locked_unlimited": memlock == Some(None),
        "address_space_bytes": space.flatten(),
        "address_space_unlimited": space == Some(None),
        "max_map_count": maps,
        "root": root,
    });
    let summary = format!(
        "may lock {}, map {}, in at most {} mappings{}",
        words(memlock),
        words(space),
        maps.map_or_else(|| "an unknown number of".into(), |maps| maps.to_string()),
        if root { "; root" } else { "" }
    );
    let mut section = Section::new("limits", summary, json);
    if matches!(memlock, Some(Some(_))) && !root {
        section.missing(
            "locked memory",
            "ulimit -l unlimited (or LimitMEMLOCK=infinity): ThymesisFlow's lender locks its window, VFIO what it maps for DMA",
        );
    }
    if matches!(space, Some(Some(_))) {
        section.missing("address space", "ulimit -v unlimited: regions are reserved 1 TiB a slot");
    }
    if maps.is_some_and(|maps| maps < MAPS_MIN) {
        section.missing("mappings", format!("sysctl vm.max_map_count={MAPS_MIN}"));
    }
    section
}
