//! `csm-bringup attach`: sets a device up and holds it, in the foreground, until Ctrl-C or `csm-bringup detach`.
//!
//! One file a kind of device that has something to hold. All follow one order: look whether all is there, take the
//! name (the state file, locked), set up, say so, hold. What fails half way is undone in reverse by the library's
//! guards; the name goes last.

mod compute;
mod memory;
mod plain;
#[cfg(test)]
mod tests;
mod vfio;

pub(crate) use memory::roots;
pub(crate) use plain::text;

use clap::Args;
use csm::uri::{Scheme, Uri};
use serde_json::json;

use crate::failure::{Done, Failure};
use crate::hold::control::Server;
use crate::hold::state::Entry;
use crate::hold::{Held, hold};
use crate::link::{End, Link};
use crate::run::Run;
use crate::steps;
use crate::target::Target;
use crate::wait::{Patience, duration};

/// Set up a device and hold it until Ctrl-C or detach
#[derive(Args)]
pub(crate) struct Attach {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    patience: Patience,

    /// How long to leave a link alone before the first access, for cards that need it, as in 5s
    #[arg(long, value_parser = duration, value_name = "TIME")]
    settle: Option<std::time::Duration>,

    /// Who may map the memory that is lent, as for chmod
    #[arg(long, default_value = "0600", value_parser = mode, value_name = "MODE")]
    mode: u32,

    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Print every call and register access once the device is set up
    #[arg(long)]
    trace: bool,
}

impl Attach {
    pub(crate) fn run(self, run: &Run) -> Done {
        let uri = csm::cluster::uri(&self.target.uri()?)?;
        if self.dry_run {
            let steps = steps::attach(&uri)?;
            return run.print(json!({ "dry_run": true, "uri": uri.to_string(), "steps": steps }), |out| {
                steps.iter().enumerate().try_for_each(|(i, step)| out.line(format_args!("{}. {step}", i + 1)))
            });
        }
        match uri.scheme() {
            Scheme::ThymesisFlow => {
                let link = Link::of(&uri)?;
                match link.end.clone() {
                    End::Memory { file } => {
                        let afu = memory::find(run, &link)?;
                        let entry = Entry::claim(run, &uri)?;
                        memory::clear_up(run, &entry, &file)?;
                        let mut held = memory::attach(run, &link, &file, self.mode, afu)?;
                        self.held(run, &uri, &entry, &mut held)
                    }
                    End::Compute { section, device, hotplug } => {
                        let way = compute::find(run, &link, &device)?;
                        let entry = Entry::claim(run, &uri)?;
                        let training = self.training();
                        let mut held = compute::attach(run, &link, section, &device, way, training)?;
                        if hotplug {
                            held.add_blocks(run, &device)?;
                        }
                        self.held(run, &uri, &entry, &mut held)
                    }
                }
            }
            Scheme::Vfio => {
                let entry = Entry::claim(run, &uri)?;
                let mut held = vfio::attach(&uri)?;
                self.held(run, &uri, &entry, &mut held)
            }
            Scheme::Shm | Scheme::Incoherent | Scheme::File | Scheme::Dax => plain::attach(run, &uri),
        }
    }

    fn training(&self) -> csm::afu::thymesisflow::Training {
        let mut training = csm::afu::thymesisflow::Training::default();
        training.deadline = self.patience.timeout;
        training.settle = self.settle.unwrap_or(training.settle);
        training
    }

    /// Says that the device is set up, and holds it.
    fn held(&self, run: &Run, uri: &Uri, entry: &Entry, held: &mut dyn Held) -> Done {
        let device = held.describe();
        // Whoever reads that it is attached can ask for more.
        let server = Server::listen(&entry.socket())?;
        entry.write(&uri.to_string(), "attached", &device)?;
        if self.trace {
            held.trace().iter().for_each(|line| eprintln!("{line}"));
        }
        let json = json!({
            "name": entry.name(),
            "uri": uri.to_string(),
            "pid": std::process::id(),
            "device": device,
        });
        let lines: Vec<_> = device
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| format!("  {key}: {}", plain::text(value)))
            .collect();
        run.print(json, |out| {
            out.line(format_args!("attached {}: {}", entry.name(), uri.label()))?;
            lines.iter().try_for_each(|line| out.line(line))
        })?;
        run.note(format_args!("held until Ctrl-C, or csm-bringup detach {}", entry.name()));
        hold(run, &server, entry, held)?;
        run.note(format_args!("detached {}", entry.name()));
        Ok(())
    }
}

/// An attachment that the library gave up because a signal came is an interruption, not a failure.
fn unless_interrupted(run: &Run, e: csm::Error) -> Failure {
    if e.errno() == libc::EINTR && run.interrupt().raised() {
        Failure::interrupted(&format!("{e}; what was done has been undone"))
    } else {
        e.into()
    }
}

/// Reads `0660`: who may read and write, no more.
fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| mode & !0o666 == 0 && mode & 0o600 == 0o600);
    mode.ok_or_else(|| {
        "write read and write permissions in octal, the owner's among them, as in 0660".to_owned()
    })
}
