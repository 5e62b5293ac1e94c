//! `csm_nodes_t`: the nodes that ever had a region open.

use csm::{NodeInfo, NodeState};

use crate::handle::{Handle, Handles};
use crate::options::c_structs;
use crate::region::csm_region_t;
use crate::snapshot;

/// The nodes that had ever had a region open when they were read.
pub struct csm_nodes_t {
    _opaque: [u8; 0],
}

impl Handle for csm_nodes_t {
    type Object = Vec<NodeInfo>;
    const KIND: u64 = 7;
    const NAME: &'static str = "csm_nodes_t";
    fn handles() -> &'static Handles<Self::Object> {
        static HANDLES: Handles<Vec<NodeInfo>> = Handles::new();
        &HANDLES
    }
}

/// A node that has, or had, a region open.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct csm_node_info_t {
    /// Set by the caller: `sizeof(csm_node_info_t)`.
    pub struct_size: u64,
    /// Its number.
    pub node: u64,
    /// Its incarnation: changes when the node starts anew.
    pub incarnation: u64,
    /// 0: nothing is wrong. 1: it has leases and gave no sign of life for some seconds, so that what they
    /// protect is in quarantine. 2: an operator declared it off, and its leases count no more.
    pub state: u64,
    /// Its processes that have the region open, as far as is known.
    pub members: u64,
    /// Its leases that count.
    pub leases: u64,
    /// Retired generations that its leases keep.
    pub retired_kept: u64,
    /// Nanoseconds since its last sign of life; 0 where the kernel sees its processes.
    pub silent_ns: u64,
}

c_structs!(csm_node_info_t);

impl From<&NodeInfo> for csm_node_info_t {
    fn from(node: &NodeInfo) -> Self {
        Self {
            struct_size: 0,
            node: node.node,
            incarnation: node.incarnation,
            state: match node.state {
                NodeState::Present => 0,
                NodeState::Silent => 1,
                NodeState::Fenced => 2,
            },
            members: node.members,
            leases: node.leases,
            retired_kept: node.retired_kept,
            silent_ns: node.silent_ns,
        }
    }
}

export! {
    /// Reads which nodes have, or had, the region open: who reads, who is silent, who was fenced.
    ///
    /// Free it with `csm_nodes_free`. Thread-safe. Errors: `CSM_E_CLOSED`, `CSM_E_CORRUPT`.
    pub fn csm_nodes_read(region: *const csm_region_t, nodes: *mut *mut csm_nodes_t) -> Result {
        nodes.place()?;
        snapshot::open(region.object()?.nodes()?, &nodes)
    }

    /// How many nodes there are. 0 if the list was freed, which `csm_nodes_entry` tells.
    ///
    /// Thread-safe.
    pub fn csm_nodes_len(nodes: *const csm_nodes_t) -> u64 {
        snapshot::len(&nodes)
    }

    /// Writes node `index`, from 0 on, to `info`, whose `struct_size` must be set.
    ///
    /// Thread-safe. Errors: `CSM_E_INVALID_ARGUMENT` (no such entry), `CSM_E_CLOSED`.
    pub fn csm_nodes_entry(nodes: *const csm_nodes_t, index: u64, info: *mut csm_node_info_t) -> Result {
        snapshot::entry(&nodes, &index, &info)
    }

    /// Ends the handle.
    ///
    /// Returns `CSM_OK`, `CSM_E_INVALID_ARGUMENT` (it is NULL), `CSM_E_CLOSED` or `CSM_E_FORKED`. Thread-safe.
    pub fn csm_nodes_free(nodes: *mut csm_nodes_t) -> crate::error::csm_status_t {
        crate::error::status(nodes.close().map(drop))
    }
}
