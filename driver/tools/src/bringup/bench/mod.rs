//! `csm-bringup bench`: bandwidth, latency and flushes of a window, beside local memory in the same run and the
//! reference's POWER9 figures.
//!
//! Local memory is a `shm:` window of this host, so that both are mapped and flushed by the same code; runs on the two take turns,
//! and medians are told. A figure is of the elements asked for, and each group says what is in it.

mod access;
mod reference;
mod rows;

use clap::Args;
use csm::units::{MIB, format_size, parse_size};
use csm::{Error, ErrorKind, Window};
use csm_tools::output::Output;
use serde_json::{Value, json};

use self::rows::{Bench as Rows, Row};
use crate::failure::Done;
use crate::run::Run;
use crate::selftest::ends::Ends;
use crate::target::Target;

/// What is measured unless it is said otherwise, in bytes: more than most caches hold.
const BYTES: u64 = 256 * MIB;
const BYTES_QUICK: u64 = 16 * MIB;
const RUNS: usize = 5;
const RUNS_QUICK: usize = 3;
/// Where local memory is mapped: beside the slot of other windows.
const LOCAL_SLOT: u64 = 19;

/// Measure bandwidth, latency and cache flushes of a window
///
/// What the window holds is lost. Local memory is measured in the same run; the reference's figures are of another
/// machine.
#[derive(Args)]
pub(crate) struct Bench {
    #[command(flatten)]
    target: Target,

    /// Less memory, fewer widths, threads and runs
    #[arg(long)]
    quick: bool,

    /// Bytes to measure on, at most those of the window [default: 256M, with --quick 16M]
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    bytes: Option<u64>,

    /// The most threads [default: as many as the machine runs at once]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1024))]
    threads: Option<u64>,

    /// What the window holds may be lost, a region that nobody uses included
    #[arg(long)]
    overwrite: bool,
}

fn bytes(text: &str) -> Result<u64, String> {
    let bytes = parse_size(text).map_err(|e| e.to_string())?;
    if bytes < MIB { Err("measure on 1M at least".to_owned()) } else { Ok(bytes) }
}

/// The window of this host's own memory, removed with this.
struct Local(Option<Window>);

impl Local {
    fn create(bytes: u64) -> Done<Self> {
        let name = format!("shm:csm-bench-local-{}", std::process::id());
        let uri = format!("{name}?size={bytes}&slot={LOCAL_SLOT}");
        let window = Window::create(&uri).map_err(|e| e.context("local memory to compare with"))?;
        Ok(Self(Some(window)))
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if let Some(Err(e)) = self.0.take().map(Window::remove) {
            eprintln!("csm-bringup: {e}");
        }
    }
}

impl Bench {
    pub(crate) fn run(self, run: &Run) -> Done {
        let mut ends = Ends::new(self.target.uri()?)?;
        let most = self.bytes.unwrap_or(if self.quick { BYTES_QUICK } else { BYTES });
        let (mut made, memory) = ends.open_alone(self.overwrite, most)?;
        let window = &memory.0;
        // Whole pages and lines for any number of threads.
        let bytes = most.min(window.len_bytes()) / MIB * MIB;
        if self.bytes.is_some_and(|asked| asked > window.len_bytes()) {
            let text = format!(
                "--bytes {}: the window has {}; leave it out to measure on all of it",
                format_size(most),
                format_size(window.len_bytes())
            );
            return Err(Error::new(ErrorKind::BadSize, text).into());
        }
        window.set_writers(&[(0..window.len_bytes(), ends.node)]);
        let local = Local::create(bytes)?;
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        let rows = match &local.0 {
            Some(local) => {
                let runs = if self.quick { RUNS_QUICK } else { RUNS };
                let threads = self.threads.unwrap_or(cores);
                let bench = Rows { run, window, local, bytes, runs, threads, quick: self.quick };
                let measured = bench.measure();
                ends.leave(&memory);
                measured?
            }
            None => Vec::new(),
        };
        let json = json!({
            "uri": ends.uri,
            "node": ends.node,
            "bytes": bytes,
            "window_bytes": window.len_bytes(),
            "runs": if self.quick { RUNS_QUICK } else { RUNS },
            "optimized": !cfg!(debug_assertions),
            "reference": "AC922 (POWER9) with ThymesisFlow, two nodes: another machine",
            "rows": rows.iter().map(Row::json).collect::<Vec<Value>>(),
        });
        let title = format!(
            "{}: {} of {}, {cores} processors; medians; POWER9: the reference's AC922 with ThymesisFlow, another machine",
            ends.uri,
            format_size(bytes),
            format_size(window.len_bytes()),
        );
        drop(local);
        if let Some(made) = &mut made {
            memory.0.remove()?;
            made.gone();
        }
        run.print(json, |out| print(out, &title, &rows))
    }
}

fn print(out: &mut Output, title: &str, rows: &[Row]) -> csm::Result<()> {
    out.line(title)?;
    if cfg!(debug_assertions) {
        out.line("This build is not optimized: bandwidths say nothing of the memory.")?;
    }
    for group in rows.chunk_by(|a, b| a.group == b.group) {
        let head = &group[0];
        out.line("")?;
        out.line(format_args!("{}, {}", head.group.title, head.group.unit))?;
        out.line(format_args!("({})", head.group.includes))?;
        let cells: Vec<[String; 7]> = group.iter().map(Row::cells).collect();
        let header = ["what", "local>", "window>", "window/local>", "POWER9 local>", "remote>", ""];
        csm_tools::columns::print(out, header, &cells)?;
    }
    Ok(())
}
