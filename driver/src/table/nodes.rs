//! The nodes as the owner sees them: who reads, who is silent, who was declared off, and what waits for them.
//!
//! Bytes under the leases of a silent node are in quarantine: nothing returns them but proof that the node reads no
//! more (law 5). Its processes end and their node clears up, the node starts anew, or an operator fences it.

use std::collections::{BTreeMap, BTreeSet};

use super::tables::Tables;
use crate::coherence::Step;
use crate::error::Result;
use crate::lease;
use crate::member::beat::SILENT_NS;
use crate::member::node::{self, NodeWord};
use crate::sys::process;

/// What the region knows of a node's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// One of its processes lives, or it reads nothing.
    Present,
    /// It has leases, and no sign of life came from it for some seconds: what they protect is in quarantine.
    Silent,
    /// An operator declared it off. Its leases count no more.
    Fenced,
}

/// A node that has, or had, the region open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its number.
    pub node: u64,
    /// Its incarnation: changes when the node starts anew.
    pub incarnation: u64,
    /// What is known of its life.
    pub state: NodeState,
    /// Its processes that have the region open, as far as is known.
    pub members: u64,
    /// Its leases that count.
    pub leases: u64,
    /// Retired generations that its leases keep.
    pub retired_kept: u64,
    /// Nanoseconds since its last sign of life; 0 where the kernel sees its processes.
    pub silent_ns: u64,
}

impl Tables {
    /// Every node that ever had the region open.
    pub(crate) fn nodes(&self) -> Result<Vec<NodeInfo>> {
        let (space, now) = (&self.space, process::unix_ns());
        space.coherence().acquire(Step::VoidIn, space.owner(), &[node::void_marks(space)]);
        // Listing the leases makes what the nodes say of themselves new, too.
        let mut leases: BTreeMap<u64, (u64, BTreeSet<u64>)> = BTreeMap::new();
        let live: Vec<u64> = self.catalog().published().map(|entry| entry.at.off).collect();
        for lease in lease::list(space, &self.member).into_iter().filter(|lease| lease.counts) {
            let (count, retired) = leases.entry(lease.node).or_default();
            *count += 1;
            if !live.contains(&lease.descriptor_off) {
                retired.insert(lease.descriptor_off);
            }
        }
        let members = self.members();
        let mut nodes = Vec::new();
        for number in 0..space.layout().shape.nodes {
            let incarnation = node::noted(space, number, NodeWord::Incarnation);
            if incarnation == 0 {
                continue;
            }
            let own = || members.iter().filter(|member| member.node == number && member.alive);
            let last_beat = own().map(|member| member.beat_unix_ns).max().unwrap_or(0);
            let seen = number == space.node() || self.opened.device.is_one_host();
            let silent_ns = if seen || last_beat == 0 { 0 } else { now.saturating_sub(last_beat) };
            let (leases, retired) = leases.remove(&number).unwrap_or_default();
            let retired_kept = retired.len() as u64;
            let state = if !node::counts(space, number) {
                NodeState::Fenced
            } else if leases > 0 && silent_ns > SILENT_NS {
                NodeState::Silent
            } else {
                NodeState::Present
            };
            let members = own().count() as u64;
            nodes.push(NodeInfo {
                node: number,
                incarnation,
                state,
                members,
                leases,
                retired_kept,
                silent_ns,
            });
        }
        Ok(nodes)
    }
}
