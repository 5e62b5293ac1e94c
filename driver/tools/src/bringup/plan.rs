//! `csm-bringup plan`: checks a cluster file and says what each node will do, step by step. It touches nothing.

use std::path::PathBuf;

use clap::Args;
use csm::cluster::{Cluster, Mount, Node, Region};
use csm::units::format_size;
use csm_tools::output::Output;
use serde_json::{Value, json};

use crate::failure::Done;
use crate::run::Run;
use crate::steps;

/// Check a cluster file and say what each node will do; touches nothing
#[derive(Args)]
pub(crate) struct Plan {
    /// The cluster file; else $CSM_CLUSTER, else /etc/csm/cluster.toml
    file: Option<PathBuf>,

    /// Only this node's steps
    #[arg(long, value_name = "N")]
    node: Option<u64>,
}

/// One region on one node.
struct Part<'a> {
    node: &'a Node,
    region: &'a Region,
    mount: &'a Mount,
    attach: Vec<String>,
    detach: Vec<String>,
}

impl Part<'_> {
    fn command(&self, verb: &str, file: &str) -> String {
        format!("csm-bringup {verb} --cluster {file} --region {} --node {}", self.region.name, self.node.id)
    }
}

impl Plan {
    pub(crate) fn run(self, run: &Run) -> Done {
        let path = self.file.unwrap_or_else(csm::cluster::default_file);
        let cluster = Cluster::load(&path)?;
        if let Some(node) = self.node {
            cluster.node(node)?;
        }
        let mut parts = Vec::new();
        for region in cluster.regions() {
            // Who lends comes first, whatever its number.
            let mut mounts: Vec<_> = region.mounts.iter().collect();
            mounts.sort_by_key(|mount| !mount.lends());
            for mount in mounts {
                let (attach, detach) = (steps::attach(&mount.uri)?, steps::detach(&mount.uri)?);
                parts.push(Part { node: cluster.node(mount.node)?, region, mount, attach, detach });
            }
        }
        parts.retain(|part| self.node.is_none_or(|node| part.node.id == node));
        let file = path.display().to_string();
        run.print(json(&cluster, &parts, &file), |out| print(out, &cluster, &parts, &file))
    }
}

fn json(cluster: &Cluster, parts: &[Part<'_>], file: &str) -> Value {
    let region = |region: &Region| {
        json!({
            "name": region.name,
            "owner_node": region.owner,
            "size_bytes": region.size_bytes,
            "max_bytes": region.max_bytes,
            "address": format!("{:#x}", region.address()),
            "ea": region.mounts.iter().any(Mount::lends).then(|| format!("{:#x}", region.address())),
        })
    };
    let part = |part: &Part<'_>| {
        json!({
            "node": part.node.id,
            "node_name": part.node.name,
            "region": part.region.name,
            "uri": part.mount.uri.to_string(),
            "attach": part.attach,
            "attach_command": part.command("attach", file),
            "detach": part.detach,
            "detach_command": part.command("detach", file),
        })
    };
    json!({
        "file": file,
        "nodes": cluster.nodes().iter().map(|node| json!({ "id": node.id, "name": node.name, "hosts": node.hosts })).collect::<Vec<_>>(),
        "regions": cluster.regions().iter().map(region).collect::<Vec<_>>(),
        "steps": parts.iter().map(part).collect::<Vec<_>>(),
    })
}

fn print(out: &mut Output, cluster: &Cluster, parts: &[Part<'_>], file: &str) -> csm::Result<()> {
    let (nodes, regions) = (cluster.nodes().len(), cluster.regions().len());
    out.line(format_args!("{file}: {nodes} nodes, {regions} regions; nothing wrong with it"))?;
    for region in cluster.regions() {
        out.line("")?;
        out.line(format_args!(
            "region {}: {}, {} at most, at {:#x}, owned by node {}",
            region.name,
            format_size(region.size_bytes),
            format_size(region.max_bytes),
            region.address(),
            region.owner
        ))?;
        if region.mounts.iter().any(Mount::lends) {
            out.line(format_args!(
                "  its effective address (EA) for the borrowers: {:#x}",
                region.address()
            ))?;
        }
        let mut number = 0;
        for part in parts.iter().filter(|part| part.region.name == region.name) {
            let Part { node, mount, attach, .. } = part;
            number += 1;
            out.line(format_args!(
                "  {number}. on node {} ({}, host {})",
                node.id,
                node.name,
                node.hosts.join(" or ")
            ))?;
            out.line(format_args!("     $ {}", part.command("attach", file)))?;
            out.line(format_args!("     {}", mount.uri))?;
            for step in attach {
                out.line(format_args!("     - {step}"))?;
            }
        }
        let back: Vec<_> = parts
            .iter()
            .rev()
            .filter(|part| part.region.name == region.name && !part.detach.is_empty())
            .collect();
        if !back.is_empty() {
            out.line("  and back, in this order:")?;
        }
        for part in back {
            out.line(format_args!(
                "  on node {} ({}) $ {}",
                part.node.id,
                part.node.name,
                part.command("detach", file)
            ))?;
            for step in &part.detach {
                out.line(format_args!("     - {step}"))?;
            }
        }
    }
    Ok(())
}
