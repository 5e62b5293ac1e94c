//! The cluster description: one TOML file that says which nodes there are, which regions, and what each node opens
//! for each of them. The library (`cluster:REGION`), the commands and the bring-up read the same file.
//!
//! It says where everything is before anything is: a region has a fixed slot (never `auto`), so that the effective
//! address that a lender hands to its borrowers can be computed. What is wrong is named with file, line
//! and column. The file is parsed as a tree with positions (`text`), read into plain structs (`read`, `mount`), and
//! checked as a whole (`check`); it opens nothing. May use error, units, uri, the addresses of `map`
//! and what `afu` knows of links.

mod check;
mod mount;
mod name;
mod read;
#[cfg(test)]
mod tests;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

pub use name::uri;

use crate::error::{Error, ErrorKind, Result};
use crate::units::TIB;
use crate::uri::{Scheme, Uri};

/// Where the description is, unless `$CSM_CLUSTER` or an option says otherwise.
pub const DEFAULT_FILE: &str = "/etc/csm/cluster.toml";

/// A cluster description that was read and checked.
#[derive(Clone, Debug)]
pub struct Cluster {
    path: PathBuf,
    nodes: Vec<Node>,
    regions: Vec<Region>,
}

/// A server: one coherence domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What the description calls it.
    pub name: String,
    /// Its number in regions. Node 0 owns all regions.
    pub id: u64,
    /// The host names by which a machine knows that it is this node.
    pub hosts: Vec<String>,
}

/// A region of the description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// What it is called.
    pub name: String,
    /// Id of the node that owns it.
    pub owner: u64,
    /// Bytes it is created with, metadata included.
    pub size_bytes: u64,
    /// Bytes it may grow to.
    pub max_bytes: u64,
    /// Address of slot 0.
    pub base: u64,
    /// Its slot of 1 TiB above `base`.
    pub slot: u64,
    /// What each node opens, in the order of the nodes' ids.
    pub mounts: Vec<Mount>,
}

/// What a node opens for a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Id of the node.
    pub node: u64,
    /// The URI, all options spelled out.
    pub uri: Uri,
}

impl Region {
    /// Its address, the same on every node. Where the region is lent by ThymesisFlow, this is the effective
    /// address that the lender hands over (EA).
    #[must_use]
    pub fn address(&self) -> u64 {
        self.base.saturating_add(self.slot.saturating_mul(TIB))
    }

    /// What `node` opens for it.
    #[must_use]
    pub fn mount(&self, node: u64) -> Option<&Mount> {
        self.mounts.iter().find(|mount| mount.node == node)
    }
}

impl Mount {
    /// Whether this node lends its memory by ThymesisFlow.
    #[must_use]
    pub fn lends(&self) -> bool {
        self.uri.scheme() == Scheme::ThymesisFlow && self.uri.get("role") == Some("memory")
    }
}

impl Cluster {
    /// Reads and checks the description at `path`.
    ///
    /// # Errors
    /// [`ErrorKind::System`] or [`ErrorKind::PermissionDenied`] when it cannot be read; [`ErrorKind::BadFile`] when it is
    /// not there, and for what is wrong in it, led in by `file:line:column`.
    pub fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|e| {
            let call = format!("read cluster file {path:?}");
            match e.raw_os_error() {
                Some(libc::ENOENT) => Error::system(call, libc::ENOENT)
                    .with_kind(ErrorKind::BadFile)
                    .hint(format_args!("write it, or name another one ($CSM_CLUSTER, else {DEFAULT_FILE})")),
                Some(errno) => Error::system(call, errno),
                None => Error::new(ErrorKind::BadFile, format!("{call}: {e}")),
            }
        })?;
        Self::parse(path, &text)
    }

    /// As [`Cluster::load`], of a text; `path` is for messages.
    ///
    /// # Errors
    /// [`ErrorKind::BadFile`].
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let source = text::Source::new(path, text);
        let draft = read::cluster(&source)?;
        check::cluster(&source, &draft)?;
        Ok(draft.finish(path))
    }

    /// The file it was read from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The nodes, by id.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The regions, in the order of the file.
    #[must_use]
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The node with this id.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] with the nodes that there are.
    pub fn node(&self, id: u64) -> Result<&Node> {
        self.nodes.iter().find(|node| node.id == id).ok_or_else(|| {
            let nodes: Vec<_> =
                self.nodes.iter().map(|node| format!("{} ({})", node.id, node.name)).collect();
            let text = format!("cluster file {:?} has no node {id}; it has {}", self.path, nodes.join(", "));
            Error::new(ErrorKind::InvalidArgument, text)
        })
    }

    /// The region of this name.
    ///
    /// # Errors
    /// [`ErrorKind::RegionNotFound`] with the regions that there are.
    pub fn region(&self, name: &str) -> Result<&Region> {
        self.regions.iter().find(|region| region.name == name).ok_or_else(|| {
            let regions: Vec<_> = self.regions.iter().map(|region| region.name.as_str()).collect();
            let text =
                format!("cluster file {:?} has no region {name:?}; it has {}", self.path, regions.join(", "));
            Error::new(ErrorKind::InvalidArgument, text)
        })
    }

    /// The node that this machine is, by its host name: in full, or up to the first dot.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] when no node has it among its hosts.
    pub fn node_here(&self) -> Result<&Node> {
        let host = host_name()?;
        let short = host.split('.').next().unwrap_or_default();
        let named = |name: &str| {
            self.nodes.iter().find(|node| node.hosts.iter().any(|host| host.eq_ignore_ascii_case(name)))
        };
        named(&host).or_else(|| named(short)).ok_or_else(|| {
            let hosts: Vec<_> =
                self.nodes.iter().map(|node| format!("{}: {}", node.name, node.hosts.join(", "))).collect();
            let text = format!(
                "this machine is {host:?}, which is no node's host in cluster file {:?} ({}); add it there, or say which node this is (node=N, --node N)",
                self.path,
                hosts.join("; ")
            );
            Error::new(ErrorKind::InvalidArgument, text)
        })
    }

    /// The URI that opens `region` on `node`, all options spelled out.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] when there is no such region or node, or the region is not there for the node.
    pub fn uri(&self, region: &str, node: u64) -> Result<String> {
        let (region, node) = (self.region(region)?, self.node(node)?);
        let mount = region.mount(node.id).ok_or_else(|| {
            let text = format!(
                "cluster file {:?}: region {:?} has no device on node {:?}; add [region.on.{}]",
                self.path, region.name, node.name, node.name
            );
            Error::new(ErrorKind::InvalidArgument, text)
        })?;
        Ok(mount.uri.to_string())
    }
}

/// What `cluster:REGION?file=FILE&node=NODE` stands for: the URI that opens the region on that node.
///
/// Without `file` it is `$CSM_CLUSTER`, else [`DEFAULT_FILE`]; without `node` the host name says which node this is.
///
/// # Errors
/// Those of [`Cluster::load`], [`Cluster::node_here`] and [`Cluster::uri`].
pub fn resolve(region: &str, file: Option<&Path>, node: Option<u64>) -> Result<String> {
    let cluster = Cluster::load(&file.map_or_else(default_file, Path::to_owned))?;
    let node = match node {
        Some(node) => node,
        None => cluster.node_here()?.id,
    };
    cluster.uri(region, node)
}

/// The description's path where nobody names one: `$CSM_CLUSTER`, else [`DEFAULT_FILE`].
#[must_use]
pub fn default_file() -> PathBuf {
    std::env::var_os("CSM_CLUSTER")
        .filter(|path| !path.is_empty())
        .map_or_else(|| PathBuf::from(DEFAULT_FILE), PathBuf::from)
}

fn host_name() -> Result<String> {
    const FILE: &str = "/proc/sys/kernel/hostname";
    let name = fs::read_to_string(FILE)
        .map_err(|e| Error::system(format_args!("read {FILE}"), e.raw_os_error().unwrap_or(0)))?;
    Ok(name.trim_end().to_owned())
}
