//! The machine itself: kernel, pages, addresses, and what its caches can do.

use csm::units::{KIB, format_size};
use serde_json::json;

use super::Section;
use super::sysfs::Dir;
use crate::run::Run;

pub(super) fn machine(run: &Run) -> Section {
    let proc = Dir::new(run, "/proc");
    let kernel = proc.text("sys/kernel/osrelease").unwrap_or_else(|| "unknown".into());
    let host = proc.text("sys/kernel/hostname").unwrap_or_else(|| "unknown".into());
    let page_bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    let page_bytes = page_bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(4 * KIB);
    let cpu = proc.text("cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = cpu.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    // x86: "address sizes : 46 bits physical, 57 bits virtual"; half of the virtual addresses are the kernel's.
    let bits = |what: &str| {
        let sizes = field("address sizes")?;
        let part = sizes.split(',').find(|part| part.contains(what))?;
        part.split_whitespace().next()?.parse::<u64>().ok()
    };
    let (physical, wide) = (bits("physical"), bits("virtual"));
    // Five-level paging gives addresses beyond 47 bits only to those who ask for them.
    let user = wide.map(|bits| bits - 1);
    let model = field("model name").or_else(|| field("cpu"));

    let json = json!({
        "host": host,
        "architecture": std::env::consts::ARCH,
        "model": model,
        "kernel": kernel,
        "page_bytes": page_bytes,
        "user_address_bits": user,
        "physical_address_bits": physical,
        "five_level_paging": field("flags").map(|flags| flags.split(' ').any(|flag| flag == "la57")),
    });
    let summary = format!(
        "{host}: {} ({}), Linux {kernel}, pages of {}",
        model.as_deref().unwrap_or("processor unknown"),
        std::env::consts::ARCH,
        format_size(page_bytes)
    );
    let mut section = Section::new("machine", summary, json);
    if let (Some(user), Some(physical)) = (user, physical) {
        section.line(format!("{user} bits of address for a process, {physical} of physical memory"));
        if user < 48 {
            section.line("addresses from 0x800000000000 on (the reference's 0x900000000000) cannot be mapped: keep the default base");
        }
    }
    section
}

pub(super) fn caches() -> Section {
    match csm::arch_report() {
        Ok(report) => {
            let json = json!({
                "line_bytes": report.line_bytes,
                "write_back": report.write_back,
                "invalidate": report.invalidate,
                "fence": report.fence,
                "choices": report.choices,
            });
            let summary = format!(
                "lines of {} bytes; {} writes back, {} invalidates, {} completes",
                report.line_bytes, report.write_back, report.invalidate, report.fence
            );
            Section::new("caches", summary, json)
        }
        Err(e) => {
            let mut section = Section::new("caches", "no instructions to use", json!({}));
            section.missing("cache instructions", e.to_string());
            section
        }
    }
}
