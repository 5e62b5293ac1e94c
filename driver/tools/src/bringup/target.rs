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
    #[arg(long, value_name = "N", conflicts_with = "uri")]
    node: Option<u64>,
}

impl Target {
    /// The URI that opens it, all options spelled out.
    pub(crate) fn uri(&self) -> Result<String> {
        match (&self.uri, &self.region) {
            (Some(uri), _) => Ok(uri.clone()),
            (None, Some(region)) => csm::cluster::resolve(region, self.cluster.as_deref(), self.node),
            (None, None) => Err(Error::new(ErrorKind::BadUri, "no URI and no --region given")),
        }
    }
}
