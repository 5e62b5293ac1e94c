//! What a command works on: a URI, or a region of a cluster file as one of its nodes sees it.

use std::path::{Path, PathBuf};

use clap::Args;
use csm::uri::Uri;
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
    #[arg(long, value_name = "FILE")]
    cluster: Option<PathBuf>,

    /// The node to be, by number or by its name in the cluster file, if the host name does not say it
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
}

impl Target {
    /// The URI that opens it, all options spelled out.
    pub(crate) fn uri(&self) -> Result<String> {
        match (&self.uri, &self.region) {
            (Some(uri), _) => {
                check_cluster(uri, self.cluster.as_deref())?;
                self.node.as_ref().map_or_else(|| Ok(uri.clone()), |node| with_node(uri, node))
            }
            (None, Some(region)) => {
                csm::cluster::resolve(region, self.cluster.as_deref(), self.node.as_deref())
            }
            (None, None) => Err(Error::new(ErrorKind::BadUri, "no URI and no --region given")),
        }
    }

    /// The options by which another node names the same region of the cluster file, if that is how it was named here.
    pub(crate) fn region_of(&self, node: u64) -> Option<String> {
        let region = self.region.as_ref()?;
        let file =
            self.cluster.as_ref().map_or_else(String::new, |file| format!(" --cluster {}", file.display()));
        Some(format!("--region {region}{file} --node {node}"))
    }
}

/// A URI says itself where its cluster file is.
pub(crate) fn check_cluster(name: &str, cluster: Option<&Path>) -> Result<()> {
    let Some(file) = cluster.map(Path::display) else { return Ok(()) };
    let rest = name.strip_prefix("cluster:").map(|rest| rest.split('?').next().unwrap_or_default());
    let text = match rest {
        Some(region) => format!(
            "--cluster goes with --region: use --region {region} --cluster {file}, or cluster:{region}?file={file}"
        ),
        None => {
            format!("--cluster {file}: {name:?} is in no cluster file; leave --cluster out, or use --region")
        }
    };
    Err(Error::new(ErrorKind::InvalidArgument, text))
}

/// `uri` as `node` sees it, unless it says itself which node it is.
fn with_node(uri: &str, node: &str) -> Result<String> {
    if !uri.starts_with("cluster:") && node.parse::<u64>().is_err() {
        let text = format!("--node {node}: a cluster file alone knows nodes by name; give {uri} a number");
        return Err(Error::new(ErrorKind::InvalidArgument, text));
    }
    // What cluster: stands for is not looked up yet: that takes the node.
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    match query.split('&').find_map(|pair| pair.strip_prefix("node=")) {
        None => Ok(with_option(uri, "node", node)),
        Some(given) if given == node => Ok(uri.to_owned()),
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

/// Whether a `file:` URI names something that must be there: a device, or a file that is used as one.
pub(crate) fn names_device(uri: &Uri) -> bool {
    let path = Path::new(uri.name());
    let of_kernel = ["/dev", "/sys", "/proc"].iter().any(|dir| path.starts_with(dir));
    uri.get("fixed") == Some("yes") || of_kernel && !path.starts_with("/dev/shm")
}
