//! `csm-bringup`: what an operator runs before the first region: look, plan, attach, test, watch, detach.
//!
//! It uses the crate's public API alone. It is one process a window: `attach` stays in the foreground and holds
//! the device until Ctrl-C or `csm-bringup detach`; all other commands come and go. Exit codes are in
//! [`failure::Exit`], the conventions of output in [`run`].

mod attach;
mod bench;
mod counters;
mod detach;
mod failure;
mod hold;
mod interrupt;
mod link;
mod plan;
mod probe;
mod progress;
mod run;
mod selftest;
mod status;
mod steps;
mod target;
mod wait;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind as Usage;
use clap::{CommandFactory, Parser, Subcommand};
use csm_tools::fail::one_line;

use failure::{Done, Exit};
use run::Run;

/// Bring up cluster shared memory: probe the machine, plan the cluster, attach devices, test and measure the link.
#[derive(Parser)]
#[command(
    name = "csm-bringup",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = failure::EXIT_CODES
)]
struct Line {
    #[command(subcommand)]
    command: Command,

    /// Print JSON: one object, errors included
    #[arg(long, global = true)]
    json: bool,

    /// Look for /sys, /dev and /proc under this directory (tests)
    #[arg(long, global = true, hide = true, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// What to do.
#[derive(Subcommand)]
enum Command {
    Probe(probe::Probe),
    Plan(plan::Plan),
    Attach(attach::Attach),
    Status(status::Status),
    Selftest(selftest::Selftest),
    Bench(bench::Bench),
    Counters(counters::Counters),
    Detach(detach::Detach),
}

impl Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Probe(_) => "probe",
            Self::Plan(_) => "plan",
            Self::Attach(_) => "attach",
            Self::Status(_) => "status",
            Self::Selftest(_) => "selftest",
            Self::Bench(_) => "bench",
            Self::Counters(_) => "counters",
            Self::Detach(_) => "detach",
        }
    }

    fn run(self, run: &Run) -> Done {
        match self {
            Self::Probe(command) => command.run(run),
            Self::Plan(command) => command.run(run),
            Self::Attach(command) => command.run(run),
            Self::Status(command) => command.run(run),
            Self::Selftest(command) => command.run(run),
            Self::Bench(command) => command.run(run),
            Self::Counters(command) => command.run(run),
            Self::Detach(command) => command.run(run),
        }
    }
}

fn main() -> ExitCode {
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(e) => return usage(&e),
    };
    let name = line.command.name();
    let done = Run::new(name, line.json, line.root).and_then(|run| line.command.run(&run));
    match done {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => failure.report(name, line.json).into(),
    }
}

/// Help and version as clap prints them; a wrong command line as one line, with where to read more.
fn usage(e: &clap::Error) -> ExitCode {
    if matches!(
        e.kind(),
        Usage::DisplayHelp | Usage::DisplayVersion | Usage::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        let failed = e.print().is_err() || e.exit_code() != 0;
        return if failed { Exit::Usage } else { Exit::Ok }.into();
    }
    let text = e.render().to_string();
    let what = text.split("\n\n").next().unwrap_or_default();
    let what = what.strip_prefix("error: ").unwrap_or(what);
    let command = std::env::args().nth(1).filter(|arg| Line::command().find_subcommand(arg).is_some());
    let help =
        command.map_or_else(|| "csm-bringup help".into(), |command| format!("csm-bringup help {command}"));
    eprintln!("csm-bringup: error: {}; see `{help}`", one_line(what));
    Exit::Usage.into()
}
