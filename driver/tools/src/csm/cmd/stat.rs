//! `csm stat`: the space of a region, its members, and who reads what. This process is left out of it.

use clap::Args;
use csm::units::format_size;
use csm::{
    CoherenceReport, MemberInfo, MemoryType, NodeInfo, NodeState, RegionInfo, RegionStats, Result, TableLease,
};
use serde_json::{Value, json};

use super::{At, Report, table_json, time};
use csm_tools::columns;
use csm_tools::output::Output;

/// Show a region's space, its members, and who holds which lease since when
#[derive(Args)]
pub(crate) struct Stat {
    #[command(flatten)]
    at: At,

    #[command(flatten)]
    report: Report,
}

impl Stat {
    pub(crate) fn run(self) -> Result<()> {
        let region = self.at.open()?;
        let (info, stats, leases) = (region.info()?, region.stats()?, region.leases()?);
        let (nodes, mut members) = (region.nodes()?, region.members()?);
        let own =
            |member: &&MemberInfo| member.node == info.node && member.pid == u64::from(std::process::id());
        // Process ids may repeat across PID namespaces; this process came last.
        let own_since = members.iter().filter(own).map(|member| member.since_unix_ns).max();
        members.retain(|member| !own(&member) || Some(member.since_unix_ns) != own_since);
        let mut out = Output::stdout();
        if self.report.json {
            let mut json = space_json(&info, &stats);
            json["members"] = members.iter().map(member_json).collect();
            json["nodes"] = nodes.iter().map(node_json).collect();
            json["leases"] = leases.iter().map(lease_json).collect();
            json["tables"] = region.tables()?.iter().map(table_json).collect();
            out.json(&json)?;
        } else {
            print(&mut out, &info, &stats, &members, &leases)?;
            print_nodes(&mut out, &nodes)?;
        }
        out.finish()
    }
}

fn space_json(info: &RegionInfo, stats: &RegionStats) -> Value {
    json!({
        "region": info.label,
        "uuid": info.uuid,
        "layout_version": info.layout_version,
        "created": time(info.created_unix_ns),
        "base": format!("{:#x}", info.base),
        "slot": info.slot,
        "owner_node": info.owner_node,
        "size_bytes": stats.size_bytes,
        "max_bytes": info.max_bytes,
        "metadata_bytes": info.metadata_bytes,
        "data_bytes": stats.data_bytes,
        "live_bytes": stats.live_bytes,
        "region_owned_bytes": stats.region_owned_bytes,
        "free_bytes": stats.free_bytes,
        "largest_free_bytes": stats.largest_free_bytes,
        "names_max": info.names,
        "retired": stats.retired,
        "coherence": {
            "line_bytes": info.coherence.line_bytes,
            "owner_writes_back": info.coherence.writer_writes_back.owner,
            "borrowers_write_back": info.coherence.writer_writes_back.borrower,
            "owner_invalidates": info.coherence.reader_invalidates.owner,
            "borrowers_invalidate": info.coherence.reader_invalidates.borrower,
        },
    })
}

fn node_json(node: &NodeInfo) -> Value {
    json!({
        "node": node.node,
        "incarnation": node.incarnation,
        "state": match node.state {
            NodeState::Present => "present",
            NodeState::Silent => "quarantined",
            NodeState::Fenced => "fenced",
        },
        "members": node.members,
        "leases": node.leases,
        "retired_kept": node.retired_kept,
        "silent_ns": node.silent_ns,
    })
}

/// The nodes, and what is wrong with them.
fn print_nodes(out: &mut Output, nodes: &[NodeInfo]) -> Result<()> {
    out.line(format_args!("nodes    {}", nodes.len()))?;
    let rows = nodes.iter().map(|node| {
        let why = match node.state {
            NodeState::Present => String::new(),
            NodeState::Silent => format!(
                "in quarantine: no sign of life for {} s; its leases keep {} retired generations until it goes on, another process of it clears up, it starts anew, or is fenced",
                node.silent_ns / 1_000_000_000,
                node.retired_kept
            ),
            NodeState::Fenced => "fenced: declared off by an operator, its leases count no more".to_owned(),
        };
        [String::new(), node.node.to_string(), format!("{:#x}", node.incarnation), node.leases.to_string(), why]
    });
    if !nodes.is_empty() {
        columns::print(out, ["       ", "NODE>", "INCARNATION>", "LEASES>", ""], &rows.collect::<Vec<_>>())?;
    }
    Ok(())
}

/// What the nodes do for coherence, in words.
fn coherence_text(report: &CoherenceReport) -> String {
    let mapped = match report.memory {
        MemoryType::WriteBack => None,
        MemoryType::WriteCombining => Some("write-combining"),
        MemoryType::Uncached => Some("uncached"),
    };
    if let Some(mapped) = mapped {
        return format!("not used: the window is mapped {mapped}; who writes reads back");
    }
    let who = match (report.reader_invalidates.owner, report.reader_invalidates.borrower) {
        (false, false) => "kept coherent by hardware; no node does anything",
        (false, true) => "not kept coherent for borrowers; they write back and invalidate",
        _ => "not kept coherent between nodes; all write back and invalidate",
    };
    format!("{who}; lines of {} bytes", report.line_bytes)
}

fn member_json(member: &MemberInfo) -> Value {
    json!({
        "node": member.node,
        "slot": member.slot,
        "pid": member.pid,
        "uid": member.uid,
        "command": member.command,
        "since": time(member.since_unix_ns),
        "alive": member.alive,
        "live_bytes": member.live_bytes,
        "peak_bytes": member.peak_bytes,
    })
}

fn lease_json(lease: &TableLease) -> Value {
    json!({
        "table": lease.table,
        "retired": lease.retired,
        "node": lease.node,
        "slot": lease.slot,
        "pid": lease.pid,
        "since": time(lease.since_unix_ns),
        "alive": lease.alive,
    })
}

fn print(
    out: &mut Output,
    info: &RegionInfo,
    stats: &RegionStats,
    members: &[MemberInfo],
    leases: &[TableLease],
) -> Result<()> {
    let size = format_size;
    out.line(format_args!("region   {}, uuid {}", info.label, info.uuid))?;
    out.line(format_args!(
        "created  {}, layout version {}",
        time(info.created_unix_ns),
        info.layout_version
    ))?;
    out.line(format_args!(
        "address  {:#x}, slot {}, owned by node {}",
        info.base, info.slot, info.owner_node
    ))?;
    out.line(format_args!("caches   {}", coherence_text(&info.coherence)))?;
    out.line(format_args!(
        "size     {} of at most {}: {} metadata, {} data",
        size(stats.size_bytes),
        size(info.max_bytes),
        size(info.metadata_bytes),
        size(stats.data_bytes)
    ))?;
    if info.node != info.owner_node && info.coherence.reader_invalidates.borrower {
        out.line(format_args!(
            "data     how much of it is free is known to processes of node {} alone",
            info.owner_node
        ))?;
    } else {
        out.line(format_args!(
            "data     {} live, {} free, {} the largest that fits",
            size(stats.live_bytes),
            size(stats.free_bytes),
            size(stats.largest_free_bytes)
        ))?;
    }
    out.line(format_args!(
        "tables   {} of at most {}, {} more removed or replaced and still read",
        stats.tables, info.names, stats.retired
    ))?;
    out.line(format_args!("members  {}", members.len()))?;
    let dead = |alive: bool| if alive { "" } else { "dead" }.to_owned();
    let rows = members.iter().map(|m| {
        [
            String::new(),
            m.node.to_string(),
            m.pid.to_string(),
            m.uid.to_string(),
            time(m.since_unix_ns),
            size(m.live_bytes),
            m.command.escape_debug().to_string(),
            dead(m.alive),
        ]
    });
    if !members.is_empty() {
        let header = ["       ", "NODE>", "PID>", "UID>", "SINCE", "LIVE>", "COMMAND", ""];
        columns::print(out, header, &rows.collect::<Vec<_>>())?;
    }
    out.line(format_args!("leases   {}", leases.len()))?;
    let rows = leases.iter().map(|l| {
        let state = if l.retired { "removed or replaced" } else { "" };
        let table = l.table.escape_debug().to_string();
        [
            String::new(),
            l.node.to_string(),
            l.pid.to_string(),
            time(l.since_unix_ns),
            table,
            state.into(),
            dead(l.alive),
        ]
    });
    if !leases.is_empty() {
        let header = ["       ", "NODE>", "PID>", "SINCE", "TABLE", "", ""];
        columns::print(out, header, &rows.collect::<Vec<_>>())?;
    }
    Ok(())
}
