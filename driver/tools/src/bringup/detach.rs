//! `csm-bringup detach`: asks an attach process to give its device back, and waits until it has.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use csm::uri::{Scheme, Uri};
use csm::{Error, ErrorKind};
use csm_tools::fail::system;
use serde_json::json;

use crate::failure::Done;
use crate::hold::control::{Request, ask};
use crate::hold::state::{self, Found};
use crate::run::Run;
use crate::steps;
use crate::target::check_cluster;
use crate::wait::{self, Patience};

/// Ask an attach process to give its device back: the borrower's before the lender's
#[derive(Args)]
pub(crate) struct Detach {
    /// The name, as `csm-bringup status` lists it, or the URI
    #[arg(required_unless_present = "region", conflicts_with = "region")]
    name: Option<String>,

    /// A region of the cluster file, as this node sees it
    #[arg(long)]
    region: Option<String>,

    /// The cluster file; else $CSM_CLUSTER, else /etc/csm/cluster.toml
    #[arg(long, value_name = "FILE")]
    cluster: Option<PathBuf>,

    /// The node to be, by number or by its name in the cluster file, if the host name does not say it
    #[arg(long, value_name = "NODE", conflicts_with = "name")]
    node: Option<String>,

    #[command(flatten)]
    patience: Patience,

    /// Take the operator's word that the other end does not use the link any more
    #[arg(long)]
    force: bool,

    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl Detach {
    /// The name of a state file, and the URI if one was given, or a region.
    fn what(&self, run: &Run) -> Done<(String, Option<Uri>)> {
        let uri = match (&self.name, &self.region) {
            (Some(name), _) => {
                check_cluster(name, self.cluster.as_deref())?;
                if state::is_name(run, name) {
                    return Ok((name.clone(), None));
                }
                csm::cluster::uri(name)?
            }
            (None, Some(region)) => {
                let cluster = self.cluster.as_deref();
                Uri::parse(&csm::cluster::resolve(region, cluster, self.node.as_deref())?)?
            }
            (None, None) => {
                return Err(Error::new(ErrorKind::InvalidArgument, "no name and no --region given").into());
            }
        };
        Ok((state::name_of(&uri)?, Some(uri)))
    }

    pub(crate) fn run(self, run: &Run) -> Done {
        let (name, uri) = self.what(run)?;
        if let Some(uri) = &uri
            && !matches!(uri.scheme(), Scheme::ThymesisFlow | Scheme::Vfio)
        {
            let why = "whoever opens it has it, and nothing is held";
            return run.print(json!({ "uri": uri.to_string(), "held": false, "why": why }), |out| {
                out.line(format_args!("{}: nothing to detach: {why}", uri.label()))
            });
        }
        let found = match (state::find(run, &name), &uri) {
            // What would be done can be said of what is not attached.
            (Err(_), Some(uri)) if self.dry_run => return dry_run(run, &name, uri),
            (found, _) => found?,
        };
        if self.dry_run {
            return dry_run(run, &name, &Uri::parse(found.uri())?);
        }
        if !found.live {
            return clear_up(run, &found);
        }
        if found.json["state"] != "attached" {
            let text = format!(
                "{name:?} is being attached at this moment, by process {}; wait for it, or press Ctrl-C there",
                found.json["pid"]
            );
            return Err(Error::new(ErrorKind::InUse, text).into());
        }
        let deadline = Instant::now() + self.patience.timeout;
        ask(run, &found.socket(), Request::Detach { force: self.force }, self.patience.timeout)?;
        let left = deadline.saturating_duration_since(Instant::now());
        wait::until(&format!("{name:?} to be let go"), left, run.interrupt(), || {
            Ok((!found.path.exists()).then_some(()))
        })?;
        run.print(json!({ "name": name, "was": "attached" }), |out| out.line(format_args!("detached {name}")))
    }
}

fn dry_run(run: &Run, name: &str, uri: &Uri) -> Done {
    let steps = steps::detach(uri)?;
    run.print(json!({ "dry_run": true, "name": name, "steps": steps }), |out| {
        steps.iter().enumerate().try_for_each(|(i, step)| out.line(format_args!("{}. {step}", i + 1)))
    })
}

/// What a process that died left: the kernel took the device back, the files are still there.
fn clear_up(run: &Run, found: &Found) -> Done {
    let remove = |path: PathBuf| match fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(system(format_args!("unlink({path:?})"), &e))
        }
        _ => Ok(()),
    };
    if let Some(file) = found.json["device"]["file"].as_str() {
        remove(PathBuf::from(file))?;
    }
    remove(found.socket())?;
    remove(found.path.clone())?;
    let name = &found.name;
    let advice = match found.json["device"]["role"].as_str() {
        Some("compute") => {
            "; its card still has the section and the channels: attach and detach once to reset them"
        }
        _ => "",
    };
    run.print(json!({ "name": name, "was": "dead" }), |out| {
        out.line(format_args!(
            "process {} of {name} had died; what it left is removed{advice}",
            found.json["pid"]
        ))
    })
}
