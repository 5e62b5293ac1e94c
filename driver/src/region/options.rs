//! What a region's URI asks for: the shape of a new one, and what must agree with one that exists.

use super::layout::{SLOT_BYTES, Shape, ZONE_BYTES};
use super::superblock::{HugePages, Superblock};
use crate::device::{CoherenceReport, Device, NODES_DEFAULT};
use crate::error::{Error, ErrorKind, Result};
use crate::map::{DEFAULT_BASE, PROMISED_SLOTS};
use crate::sys::process;
use crate::uri::{Sort, Uri};

const DEFAULT_NAMES: u64 = 4096;
const DEFAULT_MEMBERS: u64 = 128;
const DEFAULT_LEASES: u64 = 4096;
pub(super) const PROTECT: &[(&str, bool)] = &[("no", false), ("yes", true)];
pub(super) const HUGE_PAGES: &[(&str, HugePages)] =
    &[("none", HugePages::None), ("thp", HugePages::Transparent), ("2M", HugePages::Reserved)];

/// The shape of a new region. Without a size it takes all of a window that is there.
pub(super) fn shape_of(uri: &Uri, device: &dyn Device) -> Result<Shape> {
    let whole = || -> Result<Option<u64>> {
        let window = if device.is_new() { 0 } else { device.len_bytes()? };
        let known = (ZONE_BYTES..=SLOT_BYTES).contains(&window);
        Ok(known.then_some(window / ZONE_BYTES * ZONE_BYTES))
    };
    let Some(size_bytes) = uri.size("size")?.map_or_else(whole, |size| Ok(Some(size)))? else {
        let text = format!("region {:?} needs a size to be created; add ?size=1G", uri.label());
        return Err(Error::new(ErrorKind::BadSize, text));
    };
    Ok(Shape {
        size_bytes,
        max_bytes: uri.size("max")?.unwrap_or(size_bytes),
        nodes: uri.number("nodes")?.unwrap_or(NODES_DEFAULT),
        members: uri.number("members")?.unwrap_or(DEFAULT_MEMBERS),
        leases: uri.number("leases")?.unwrap_or(DEFAULT_LEASES),
        names: uri.number("catalog")?.unwrap_or(DEFAULT_NAMES),
        protect: uri.choice("protect", PROTECT)?.unwrap_or(false),
    })
}

pub(super) fn base_of(uri: &Uri) -> Result<u64> {
    let base = uri.number("base")?.unwrap_or(DEFAULT_BASE);
    if base == 0 || !base.is_multiple_of(SLOT_BYTES) {
        let e = uri.invalid("base", "use a multiple of 1 TiB (0x10000000000) above 0");
        return Err(e.with_kind(ErrorKind::BadAlignment));
    }
    Ok(base)
}

/// The slot asked for, or None for `auto`.
pub(super) fn slot_of(uri: &Uri) -> Result<Option<u64>> {
    match uri.get("slot") {
        None | Some("auto") => Ok(None),
        Some(_) => match uri.number("slot")? {
            Some(slot) if slot < PROMISED_SLOTS => Ok(Some(slot)),
            _ => Err(uri.invalid("slot", format_args!("use auto or 0 to {}", PROMISED_SLOTS - 1))),
        },
    }
}

pub(super) fn check_given(uri: &Uri) -> Result<()> {
    uri.given(Sort::Create).next().map_or(Ok(()), |option| {
        Err(uri.invalid(
            option,
            "this option shapes a new region and means nothing for one that exists; leave it out",
        ))
    })
}

pub(super) fn read_only(uri: &Uri) -> Result<bool> {
    Ok(uri.choice("access", &[("rw", false), ("ro", true)])?.unwrap_or(false))
}

/// A name in a shared directory can be taken by anybody first: the region must be the expected user's.
pub(super) fn check_owner(uri: &Uri, device: &dyn Device, superblock: &Superblock) -> Result<()> {
    // Without a name there is only the superblock's word: that guards against mistakes alone, as does the device's mode.
    let uid = device.owner_uid()?.unwrap_or(superblock.owner_uid);
    let expected = match uri.number("owner")? {
        Some(owner) => owner,
        None => process::effective_uid().into(),
    };
    if u64::from(uid) == expected && superblock.owner_uid == uid {
        return Ok(());
    }
    let text = format!(
        "region {:?} belongs to user {uid} (its superblock says {}), not to user {expected}; if you trust that user, open it with owner={uid}",
        uri.label(),
        superblock.owner_uid
    );
    Err(Error::new(ErrorKind::NotYours, text))
}

/// Options that shaped the region must agree with it where they are given again.
pub(super) fn check_options(uri: &Uri, device: &dyn Device, superblock: &Superblock) -> Result<()> {
    let shape = &superblock.shape;
    let checks = [
        ("size", uri.size("size")?, shape.size_bytes),
        ("max", uri.size("max")?, shape.max_bytes),
        ("base", uri.number("base")?, superblock.base),
        ("slot", slot_of(uri)?, superblock.slot),
        ("catalog", uri.number("catalog")?, shape.names),
        ("nodes", uri.number("nodes")?, shape.nodes),
        ("members", uri.number("members")?, shape.members),
        ("leases", uri.number("leases")?, shape.leases),
    ];
    for (option, given, there) in checks {
        if let Some(given) = given.filter(|given| *given != there) {
            return Err(uri.mismatch(option, given, there));
        }
    }
    let there = superblock.coherence.unwrap_or_else(|| device.coherence());
    let coherence = uri.choice("coherence", CoherenceReport::NAMED)?;
    if let Some(given) = coherence.filter(|given| *given != there) {
        return Err(uri.mismatch("coherence", given.name(), there.name()));
    }
    if uri.choice("protect", PROTECT)?.is_some_and(|given| given != shape.protect) {
        let [given, there] = if shape.protect { ["no", "yes"] } else { ["yes", "no"] };
        return Err(uri.mismatch("protect", given, there));
    }
    match uri.choice("hugepages", HUGE_PAGES)? {
        Some(given) if given != superblock.huge_pages => {
            let word =
                HUGE_PAGES.iter().find(|(_, h)| *h == superblock.huge_pages).map_or("", |(word, _)| word);
            Err(uri.mismatch("hugepages", uri.get("hugepages").unwrap_or_default(), word))
        }
        _ => Ok(()),
    }
}
