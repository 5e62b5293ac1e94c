//! What a command works on: a URI, or a region of a cluster file as one of its nodes sees it.

use std::path::PathBuf;

use clap::Args;
use csm::{Error, ErrorKind, Result};

/// One window of memory.
#[derive(Args, Clone)]
pub(crate) struct Target {
    /// The device, as in thymesisflow:IBM,RMEM?role=compute&..., dax:/dev/dax0.0, shm:NAME
    #[arg(required_unless_present = "region", conflicts_with = "region")]
    uri: Option<String>,

    /// A region of the cluster file, as this node sees it
    #[arg(long)]
    region: Option<String>,

    /// The cluster file; else $CSM_CLUSTER, else /etc/csm/cluster.toml
    #[arg(long, value_name = "FILE", conflicts_with = "uri")]
    cluster: Option<PathBuf>,

    /// The node to be, if the host name does not say it
    #[arg(long, value_name = "N")]
    node: Option<u64>,
}

impl Target {
    /// The URI that opens it, all options spelled out.
    pub(crate) fn uri(&self) -> Result<String> {
        match (&self.uri, &self.region) {
            (Some(uri), _) => match self.node {
                Some(node) => with_node(uri, node),
                None => Ok(uri.clone()),
            },
            (None, Some(region)) => csm::cluster::resolve(region, self.cluster.as_deref(), self.node),
            (None, None) => Err(Error::new(ErrorKind::BadUri, "no URI and no --region given")),
        }
    }
}

/// `uri` as `node` sees it, unless it says itself which node it is.
fn with_node(uri: &str, node: u64) -> Result<String> {
    // What cluster: stands for is not looked up yet: that takes the node.
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    match query.split('&').find_map(|pair| pair.strip_prefix("node=")) {
        None => Ok(with_option(uri, "node", node)),
        Some(given) if given == node.to_string() => Ok(uri.to_owned()),
        Some(given) => {
            let text = format!("--node {node}: the URI says node={given}; leave one of the two out");
            Err(Error::new(ErrorKind::InvalidArgument, text))
        }
    }
}

/// `uri` with one option more.
pub(crate) fn with_option(uri: &str, option: &str, value: impl std::fmt::Display) -> String {
    let mark = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{mark}{option}={value}")
}
