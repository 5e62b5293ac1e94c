//! From TOML to nodes, regions and URIs: each entry for itself. What concerns two of them is in [`check`](super::check).
//!
//! Which options a region and a device can have is not listed here: they are the options of URIs. Those that shape a
//! region stand in its table, those of one opening in the table of the node; those that only a creation may
//! name are refused, since every opening would give them too.

use std::ops::Range;
use std::path::Path;

use super::mount::{self, Place};
use super::text::{Source, Table, Value};
use super::{Cluster, Mount, Node, Region, check};
use crate::device::{NODES_DEFAULT, NODES_MAX};
use crate::error::Result;
use crate::map::{DEFAULT_BASE, PROMISED_SLOTS};
use crate::units::{MIB, TIB, format_size};
use crate::uri::{OPTIONS, Sort};

/// Something, and where it stands.
pub(super) struct At<T> {
    pub(super) what: T,
    pub(super) span: Range<usize>,
}

/// A description whose parts have not been compared yet.
pub(super) struct Draft {
    pub(super) nodes: Vec<At<Node>>,
    pub(super) regions: Vec<At<Region>>,
    /// Where each mount stands, in the order of the regions and their mounts.
    pub(super) mounts: Vec<Vec<Range<usize>>>,
}

impl Draft {
    pub(super) fn finish(self, path: &Path) -> Cluster {
        let mut nodes: Vec<_> = self.nodes.into_iter().map(|node| node.what).collect();
        nodes.sort_by_key(|node| node.id);
        let mut regions: Vec<_> = self.regions.into_iter().map(|region| region.what).collect();
        for region in &mut regions {
            region.mounts.sort_by_key(|mount| mount.node);
        }
        Cluster { path: path.to_owned(), nodes, regions }
    }
}

pub(super) fn cluster(source: &Source<'_>) -> Result<Draft> {
    let tree = source.parse()?;
    let root = Table::root(source, &tree);
    root.only(&["node", "region"])?;
    let mut nodes = Vec::new();
    for table in root.tables("node")? {
        nodes.push(At { span: table.span.clone(), what: node(&table)? });
    }
    check::nodes(source, &nodes)?;
    let mut regions = Vec::new();
    let mut mounts = Vec::new();
    for table in root.tables("region")? {
        let span = table.span.clone();
        let (region, spans) = region(table, &nodes)?;
        regions.push(At { what: region, span });
        mounts.push(spans);
    }
    Ok(Draft { nodes, regions, mounts })
}

fn node(table: &Table<'_>) -> Result<Node> {
    table.only(&["name", "id", "hosts"])?;
    let name = table.require("name", "\"NAME\"")?.name()?;
    let id = table.require("id", "0")?;
    let number = id.whole()?;
    if number >= NODES_MAX {
        return Err(id.bad(format_args!("= {number}: nodes are numbered 0 to {}", NODES_MAX - 1)));
    }
    let hosts = table.get("hosts").map(|hosts| hosts.names()).transpose()?;
    Ok(Node { hosts: hosts.unwrap_or_else(|| vec![name.clone()]), name, id: number })
}

pub(super) fn options(sort: Sort) -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().filter(move |(_, of, ..)| *of == sort).map(|(name, ..)| *name)
}

fn region(table: Table<'_>, nodes: &[At<Node>]) -> Result<(Region, Vec<Range<usize>>)> {
    let name = table.require("name", "\"NAME\"")?.name()?;
    let table = table.named(format!("region {name:?}"));
    let known: Vec<_> = ["name", "owner", "on"].into_iter().chain(options(Sort::Checked)).collect();
    refuse_create(&table, &name)?;
    table.only(&known)?;

    let owner = table.require("owner", "\"NODE\"")?;
    let owner_id = node_id(&owner, owner.text()?, nodes)?;
    if owner_id != 0 {
        return Err(owner.bad(format_args!(
            "= {:?}: that is node {owner_id}, and regions are owned by node 0; give the owner id 0",
            owner.text()?
        )));
    }
    let size = table.require("size", "\"4G\"")?;
    let size_bytes = checked_size(&size)?;
    let max = table.get("max");
    let max_bytes = max.as_ref().map(checked_size).transpose()?.unwrap_or(size_bytes);
    if let Some(max) = max.filter(|_| max_bytes < size_bytes) {
        return Err(max.bad(format_args!(
            "= {}: below size, which is {}",
            format_size(max_bytes),
            format_size(size_bytes)
        )));
    }
    let slot_value = table.require("slot", "0 (in a cluster every address is known beforehand)")?;
    let slot = slot_value.whole()?;
    if slot >= PROMISED_SLOTS {
        return Err(slot_value.bad(format_args!("= {slot}: slots are 0 to {}", PROMISED_SLOTS - 1)));
    }
    let base_value = table.get("base");
    let base = base_value.as_ref().map(Value::whole).transpose()?.unwrap_or(DEFAULT_BASE);
    if let Some(value) = base_value.filter(|_| base == 0 || !base.is_multiple_of(TIB) || base > 1 << 60) {
        return Err(value.bad(format_args!(
            "= {base:#x}: the address of slot 0 is a multiple of 1 TiB (0x10000000000) above 0"
        )));
    }

    let mut region = Region { name, owner: owner_id, size_bytes, max_bytes, base, slot, mounts: Vec::new() };
    let on = table.require("on", "a table [region.on.NODE] for each node that opens it")?.table()?;
    let mut parts = Vec::new();
    for (at, value) in on.values() {
        let id =
            node_id(&value, value.key, nodes).map_err(|_| unknown_node(&table, &at, value.key, nodes))?;
        parts.push((id, at, value.table()?.named(format!("region {:?} on {:?}", region.name, value.key))));
    }
    let highest = nodes.iter().map(|node| node.what.id).max().unwrap_or(0);
    let nodes_max = match table.get("nodes") {
        None => NODES_DEFAULT.max(highest + 1),
        Some(value) => Some(value.whole()?).filter(|nodes| *nodes > highest).ok_or_else(|| {
            value.bad(format_args!("is too few: there is a node {highest}; write {} or more", highest + 1))
        })?,
    };
    let mut spans = Vec::new();
    for (id, at, part) in parts {
        let place = Place { region: &region, node: id, nodes_max };
        let uri = mount::uri(&table, &part, &place)?;
        region.mounts.push(Mount { node: id, uri });
        spans.push(at);
    }
    Ok((region, spans))
}

/// Options of a creation alone do not belong in a file that every opening reads.
pub(super) fn refuse_create(table: &Table<'_>, region: &str) -> Result<()> {
    let found = options(Sort::Create).find_map(|option| table.get(option));
    found.map_or(Ok(()), |value| {
        Err(value.bad(format_args!(
            "is for the creation alone; give it there, as in csm create 'cluster:{region}?{}=...'",
            value.key
        )))
    })
}

fn checked_size(value: &Value<'_>) -> Result<u64> {
    let bytes = value.size()?;
    if bytes == 0 || !bytes.is_multiple_of(2 * MIB) || bytes > TIB {
        return Err(value.bad(format_args!(
            "= {bytes} bytes: a region's size is a multiple of 2 MiB, and 1 TiB at most"
        )));
    }
    Ok(bytes)
}

fn node_id(value: &Value<'_>, name: &str, nodes: &[At<Node>]) -> Result<u64> {
    nodes
        .iter()
        .find(|node| node.what.name == name)
        .map(|node| node.what.id)
        .ok_or_else(|| value.bad(format_args!("= {name:?}: no such node; there are {}", names(nodes))))
}

fn unknown_node(table: &Table<'_>, at: &Range<usize>, name: &str, nodes: &[At<Node>]) -> crate::error::Error {
    table.source.bad(at, format_args!("{}: no node {name:?}; there are {}", table.what, names(nodes)))
}

fn names(nodes: &[At<Node>]) -> String {
    nodes.iter().map(|node| node.what.name.as_str()).collect::<Vec<_>>().join(", ")
}
