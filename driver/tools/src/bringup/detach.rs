//! `csm-bringup detach`: asks an attach process to give its device back, and waits until it has.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use csm::uri::Uri;
use csm::{Error, ErrorKind};
use csm_tools::fail::system;
use serde_json::json;

use crate::failure::Done;
use crate::hold::control::{Request, ask};
use crate::hold::state::{self, Found};
use crate::run::Run;
use crate::steps;
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
    #[arg(long, value_name = "FILE", conflicts_with = "name")]
    cluster: Option<PathBuf>,

    /// The node to be, if the host name does not say it
    #[arg(long, value_name = "N", conflicts_with = "name")]
    node: Option<u64>,

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
    pub(crate) fn run(self, run: &Run) -> Done {
        let name = match (&self.name, &self.region) {
            (Some(name), _) => state::name_given(run, name)?,
            (None, Some(region)) => {
                let uri = csm::cluster::resolve(region, self.cluster.as_deref(), self.node)?;
                state::name_of(&Uri::parse(&uri)?)?
            }
            (None, None) => {
                return Err(Error::new(ErrorKind::InvalidArgument, "no name and no --region given").into());
            }
        };
        let found = state::find(run, &name)?;
        if self.dry_run {
            let steps = Uri::parse(found.uri()).and_then(|uri| steps::detach(&uri))?;
            return run.print(json!({ "dry_run": true, "name": name, "steps": steps }), |out| {
                steps.iter().enumerate().try_for_each(|(i, step)| out.line(format_args!("{}. {step}", i + 1)))
            });
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
