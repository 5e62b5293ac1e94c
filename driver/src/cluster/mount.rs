//! The URI of one node: the region's options, the node's own, and those that follow from both.
//!
//! What both ends of a ThymesisFlow link must agree on is computed here and never written twice: the window's name and
//! length, the effective address. What is written all the same must be right.

use super::Region;
use super::read::{options, refuse_create};
use super::text::{Table, Value};
use crate::afu::thymesisflow::{Ports, Section, ZONE_BYTES};
use crate::error::Result;
use crate::units::{GIB, MIB, TIB, format_size};
use crate::uri::{Scheme, Sort, Uri};

/// Keys of a region that are no options, or that are spelled out for every node.
const OF_REGION: &[&str] = &["name", "owner", "on", "size", "max", "slot", "base", "nodes"];

/// What a mount depends on beside its own table.
pub(super) struct Place<'a> {
    pub(super) region: &'a Region,
    pub(super) node: u64,
    /// Nodes that the region has room for.
    pub(super) nodes_max: u64,
}

/// The URI of one node: the region's options, the node's, and those that follow from both.
pub(super) fn uri(table: &Table<'_>, part: &Table<'_>, place: &Place<'_>) -> Result<Uri> {
    let region = place.region;
    refuse_create(part, &region.name)?;
    let known: Vec<_> =
        ["device"].into_iter().chain(options(Sort::PerOpen).filter(|name| *name != "node")).collect();
    part.only(&known)?;
    let device = part.require("device", "\"SCHEME:NAME\"")?;
    let mut uri = Uri::parse(device.text()?).map_err(|e| device.bad(format_args!(": {e}")))?;
    if device.text()?.contains('?') {
        return Err(
            device.bad(format_args!("= {:?}: write the options as keys of this table", device.text()?))
        );
    }
    for value in
        table.values().into_iter().map(|(_, value)| value).filter(|value| !OF_REGION.contains(&value.key))
    {
        add(&mut uri, &value)?;
    }
    for value in part.values().into_iter().map(|(_, value)| value).filter(|value| value.key != "device") {
        add(&mut uri, &value)?;
    }
    let mut spell = |option, text: String| uri.set(option, &text).map_err(|e| part.bad(e));
    spell("size", spelled(region.size_bytes))?;
    spell("max", spelled(region.max_bytes))?;
    spell("base", format!("{:#x}", region.base))?;
    spell("slot", region.slot.to_string())?;
    spell("nodes", place.nodes_max.to_string())?;
    spell("node", place.node.to_string())?;
    if uri.scheme() == Scheme::ThymesisFlow {
        thymesisflow(&mut uri, part, place)?;
    }
    Ok(uri)
}

/// What follows for a window by ThymesisFlow: its name, its length, where it is in the link's address space.
fn thymesisflow(uri: &mut Uri, part: &Table<'_>, place: &Place<'_>) -> Result<()> {
    let region = place.region;
    let at = |key: &str, why: String| match part.get(key) {
        Some(value) => value.bad(why),
        None => part.bad(why),
    };
    let role = uri.get("role").map(ToOwned::to_owned);
    let compute = match role.as_deref() {
        Some("memory") => false,
        Some("compute") => true,
        Some(other) => {
            return Err(at(
                "role",
                format!("= {other:?}; write \"memory\" (lends) or \"compute\" (borrows)"),
            ));
        }
        None => {
            return Err(part.bad("role is missing; add role = \"memory\" (lends) or \"compute\" (borrows)"));
        }
    };
    let port = uri.get("port").unwrap_or("0").to_owned();
    port.parse::<Ports>().map_err(|e| at("port", format!(": {e}")))?;
    if let Some(key) = ["section", "ea", "via", "off"].iter().find(|key| !compute && part.get(key).is_some())
    {
        return Err(at(key, "is for the compute role; the lender has none".into()));
    }
    if region.max_bytes + ZONE_BYTES > Section::BYTES {
        return Err(part.bad(format_args!(
            "max {} and the link's own {} do not fit a section of 1 TiB; make the region smaller",
            format_size(region.max_bytes),
            format_size(ZONE_BYTES)
        )));
    }
    if uri.get("via") == Some("hotplug") {
        return Err(at(
            "via",
            "= \"hotplug\": what is hotplugged is the kernel's, and no region can be in it; name a character device"
                .into(),
        ));
    }
    let set = |uri: &mut Uri, option, text: String| {
        if uri.get(option).is_none() { uri.set(option, &text).map_err(|e| part.bad(e)) } else { Ok(()) }
    };
    set(uri, "name", region.name.clone())?;
    set(uri, "port", port)?;
    set(uri, "len", spelled(region.max_bytes))?;
    if compute {
        let section = part.get("section").map(|value| value.whole()).transpose()?.unwrap_or(0);
        let section = Section::new(section).map_err(|e| at("section", format!(": {e}")))?;
        let ea = part.get("ea").map(|value| value.whole()).transpose()?;
        if let Some(ea) = ea.filter(|ea| *ea != region.address()) {
            return Err(at(
                "ea",
                format!("= {ea:#x}: the lender maps this region at {:#x}; leave ea out", region.address()),
            ));
        }
        set(uri, "section", section.to_string())?;
        uri.set("ea", &format!("{:#x}", region.address())).map_err(|e| part.bad(e))?;
        set(uri, "via", "/dev/tfshmem".into())?;
        set(uri, "off", spelled(section.start_off()))?;
    }
    Ok(())
}

fn add(uri: &mut Uri, value: &Value<'_>) -> Result<()> {
    if !uri.scheme().has(value.key) {
        return Err(value.bad(format_args!("is no option of {}: regions", uri.scheme().as_str())));
    }
    uri.set(value.key, &value.option()?)
}

/// A size as URIs write it.
fn spelled(bytes: u64) -> String {
    let unit = [(TIB, "T"), (GIB, "G"), (MIB, "M")]
        .into_iter()
        .find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| bytes.to_string(), |(unit, letter)| format!("{}{letter}", bytes / unit))
}
