//! `csm-bringup probe`: what is on this machine, what is missing and how to get it. It opens no device.
//!
//! One section a kind of device or limit, each in a file of its own. A section says what it found, and, if that is not
//! enough to bring a region up on it, what is missing and what to do. Nothing that is missing is an error, unless it
//! was asked for by `--require`.

mod cxl;
mod dax;
mod limits;
mod machine;
mod ocxl;
mod pages;
mod sysfs;
mod vfio;

use clap::Args;
use csm::Result;
use csm_tools::output::Output;
use serde_json::{Map, Value, json};

use crate::failure::{Done, Failure};
use crate::run::Run;

/// Show what this machine has for cluster memory, what is missing and how to get it
#[derive(Args)]
pub(crate) struct Probe {
    /// Fail (exit code 3) unless this is there, as in --require ocxl; can be given several times
    #[arg(long, value_name = "SECTION")]
    require: Vec<String>,

    /// Show every PCI device, not only those with memory to map
    #[arg(long)]
    all: bool,
}

/// What was found of one kind.
struct Section {
    name: &'static str,
    /// One line about all of it.
    summary: String,
    /// A line for each item.
    lines: Vec<String>,
    json: Value,
    /// What is missing, and how to get it.
    missing: Vec<Missing>,
}

struct Missing {
    what: String,
    how: String,
}

impl Section {
    fn new(name: &'static str, summary: impl Into<String>, json: Value) -> Self {
        Self { name, summary: summary.into(), lines: Vec::new(), json, missing: Vec::new() }
    }

    fn line(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    fn missing(&mut self, what: impl Into<String>, how: impl Into<String>) {
        self.missing.push(Missing { what: what.into(), how: how.into() });
    }

    fn print(&self, out: &mut Output) -> Result<()> {
        out.line(format_args!("{:<8} {}", self.name, self.summary).to_string().trim_end())?;
        for line in &self.lines {
            out.line(format_args!("           {line}"))?;
        }
        for Missing { what, how } in &self.missing {
            out.line(format_args!("         - {what}: {how}"))?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let missing = |missing: &Missing| json!({ "what": missing.what, "how": missing.how });
        let mut object = json!({ "present": self.missing.is_empty() });
        object["found"] = self.json.clone();
        object["missing"] = self.missing.iter().map(missing).collect();
        object
    }
}

impl Probe {
    pub(crate) fn run(self, run: &Run) -> Done {
        let sections = [
            machine::machine(run),
            machine::caches(),
            ocxl::afus(run),
            ocxl::shared_memory(run),
            dax::probe(run),
            vfio::probe(run, self.all),
            cxl::probe(run),
            pages::probe(run),
            limits::probe(run),
        ];
        for wanted in &self.require {
            if !sections.iter().any(|section| section.name == wanted) {
                let names: Vec<_> = sections.iter().map(|section| section.name).collect();
                let text = format!("--require {wanted}: no such section; there are {}", names.join(", "));
                return Err(csm::Error::new(csm::ErrorKind::InvalidArgument, text).into());
            }
        }
        let json: Map<_, _> =
            sections.iter().map(|section| (section.name.to_owned(), section.json())).collect();
        let lacking = sections
            .iter()
            .filter(|section| self.require.iter().any(|wanted| wanted == section.name))
            .find_map(|section| section.missing.first().map(|missing| (section.name, missing)));
        run.emit(lacking.is_none(), json!({ "sections": json }), |out| {
            sections.iter().try_for_each(|section| section.print(out))
        })?;
        lacking.map_or(Ok(()), |(name, Missing { what, how })| {
            Err(Failure::missing(format!("{name} is required: {what}; {how}")).reported())
        })
    }
}
