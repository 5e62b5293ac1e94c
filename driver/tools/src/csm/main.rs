//! `csm`: regions and tables from the shell. It uses the crate's public API alone.
//!
//! Exit status: 0, 1 for what failed, with one line `csm: error: ...` on standard error, 2 for a command
//! line that does not parse. A reader that goes away (`csm cat ... | head`) ends it quietly.

mod cmd;
mod fail;
mod progress;
mod read;
mod write;

use std::panic;
use std::process::ExitCode;

use clap::error::ErrorKind as Usage;
use clap::{CommandFactory, Parser};

/// Tables in cluster shared memory: Apache Arrow data that every process reads in place.
#[derive(Parser)]
#[command(
    name = "csm",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Line {
    #[command(subcommand)]
    command: cmd::Command,
}

fn main() -> ExitCode {
    return_large_buffers();
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(e) => return usage(&e),
    };
    // A fault in what reads foreign files must not look worse than any other error.
    panic::set_hook(Box::new(|_| ()));
    let done =
        panic::catch_unwind(|| line.command.run()).unwrap_or_else(|fault| Err(fail::fault(fault.as_ref())));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) if e.errno() == libc::EPIPE => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("csm: error: {}", fail::one_line(&e.to_string()));
            ExitCode::FAILURE
        }
    }
}

/// glibc stops giving large buffers back to the system once a few were freed, and before 2.38 it cannot
/// reuse aligned ones either: batch after batch, memory would grow with the file.
#[allow(unsafe_code, reason = "a tunable of malloc")]
fn return_large_buffers() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number, while there is one thread.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 256 << 10)
    };
}

/// Help and version as clap prints them; a wrong command line as one line, with where to read more.
fn usage(e: &clap::Error) -> ExitCode {
    if matches!(
        e.kind(),
        Usage::DisplayHelp | Usage::DisplayVersion | Usage::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        let failed = e.print().is_err() || e.exit_code() != 0;
        return ExitCode::from(if failed { 2 } else { 0 });
    }
    let text = e.render().to_string();
    let what = text.split("\n\n").next().unwrap_or_default();
    let what = what.strip_prefix("error: ").unwrap_or(what);
    let command = std::env::args().nth(1).filter(|arg| Line::command().find_subcommand(arg).is_some());
    let help = command.map_or_else(|| "csm help".into(), |command| format!("csm help {command}"));
    eprintln!("csm: error: {}; see `{help}`", fail::one_line(what));
    ExitCode::from(2)
}
