//! The subcommands, one a file.

mod cat;
mod create;
mod destroy;
mod fence;
mod grow;
mod ls;
mod put;
mod rm;
mod stat;
mod uri;
mod verify;
mod wait;

use chrono::{DateTime, SecondsFormat};
use clap::{Args, Subcommand};
use csm::{Context, ContextOptions, Region, Result, TableInfo};
use serde_json::{Value, json};

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    Create(create::Create),
    Put(put::Put),
    Cat(cat::Cat),
    Ls(ls::Ls),
    Stat(stat::Stat),
    Rm(rm::Rm),
    Wait(wait::Wait),
    Grow(grow::Grow),
    Fence(fence::Fence),
    Verify(verify::Verify),
    Destroy(destroy::Destroy),
    Uri(uri::Uri),
}

impl Command {
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::Create(command) => command.run(),
            Self::Put(command) => command.run(),
            Self::Cat(command) => command.run(),
            Self::Ls(command) => command.run(),
            Self::Stat(command) => command.run(),
            Self::Rm(command) => command.run(),
            Self::Wait(command) => command.run(),
            Self::Grow(command) => command.run(),
            Self::Fence(command) => command.run(),
            Self::Verify(command) => command.run(),
            Self::Destroy(command) => command.run(),
            Self::Uri(command) => command.run(),
        }
    }
}

/// The region that a command works on.
#[derive(Args)]
struct At {
    /// The region, as in shm:NAME; `csm uri` lists the options
    uri: String,
}

impl At {
    /// Opens it, so that a region cut short meanwhile is an error and not the end of the process.
    fn open(&self) -> Result<Region> {
        let options = ContextOptions { survive_region_loss: true, ..ContextOptions::default() };
        Context::with_options(options)?.open(&self.uri)
    }
}

/// How a command reports.
#[derive(Args)]
struct Report {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn table_json(table: &TableInfo) -> Value {
    json!({
        "name": table.name,
        "rows": table.rows,
        "batches": table.batches,
        "columns": table.columns,
        "data_bytes": table.data_bytes,
        "descriptor_bytes": table.descriptor_bytes,
        "generation": table.generation,
    })
}

/// A moment as people and programs read it: RFC 3339, in UTC.
fn time(unix_ns: u64) -> String {
    let time = DateTime::from_timestamp_nanos(i64::try_from(unix_ns).unwrap_or(i64::MAX));
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
