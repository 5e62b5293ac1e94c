//! `csm-bringup selftest`: is the window the same memory on both ends, does it keep what is written, and what does its
//! link need?
//!
//! Both ends run the same steps in the same order and talk through the window itself (`mailbox`). Each step is a file; a step
//! gathers what this end saw, hears what the other end saw, and both come to the same verdict. It uses the crate's
//! public API alone, and cache operations below the library's coherence: to leave one out is what is measured.

mod arrival;
mod column;
pub(crate) mod ends;
#[cfg(test)]
mod fault;
mod lines;
mod link;
mod mailbox;
mod meeting;
pub(crate) mod memory;
mod needs;
mod partner;
mod pattern;
mod report;
mod same;
mod table;
mod walk;

use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use csm::units::format_size;
use csm::{Error, ErrorKind, MemoryType};
use serde_json::{Value, json};

use self::ends::Ends;
use self::link::{Link, Plan};
use self::needs::Needs;
use self::partner::Partner;
use self::report::{Step, Verdict};
use crate::failure::Done;
use crate::run::Run;
use crate::target::Target;
use crate::wait::duration;

/// Test the memory behind a window, and what its link needs for coherence
///
/// Run it on both ends at the same time: with --node 0 where the region's owner will be, with --node 1 on the other
/// machine. On shm: and incoherent:, and with --both, it starts the other end itself. What the window holds is lost.
#[derive(Args)]
pub(crate) struct Selftest {
    #[command(flatten)]
    target: Target,

    /// Start the other end here as well, as a process (the default for shm: and incoherent: without --node)
    #[arg(long)]
    both: bool,

    /// Two patterns instead of six, a sample of a large window, fewer rounds; node 0 decides
    #[arg(long)]
    quick: bool,

    /// What the window holds may be lost, a region that nobody uses included
    #[arg(long)]
    overwrite: bool,

    /// What patterns are drawn from; node 0 decides
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// The longest the other end may be silent, as in 30s or 500ms
    #[arg(long, default_value = "30s", value_parser = duration)]
    timeout: Duration,
}

/// A step, as it is called.
type Work = fn(&mut Link<'_>) -> Done<Step>;

/// What the last words of an end are that has seen all steps through, and at least one fail: both ends know that then.
const VERDICT: &str = "the self-test failed";

impl Selftest {
    pub(crate) fn run(self, run: &Run) -> Done {
        let mut ends = Ends::new(self.target.uri()?)?;
        let both = self.both || ends.is_one_machine();
        if both && ends.node != 0 {
            let text = "--both starts node 1 itself; leave node=1 out";
            return Err(Error::new(ErrorKind::InvalidArgument, text).into());
        }
        let (mut made, memory) = ends.open(run, self.timeout, self.overwrite)?;
        let partner = if both { Some(Partner::start(&self.other_args(&ends))?) } else { None };
        if ends.node == 0 && !both {
            run.note(format_args!(
                "waiting for node 1: csm-bringup selftest ... --node 1 on the other machine"
            ));
        }
        let window = describe(&memory);
        let is_cached = memory.0.coherence().memory == MemoryType::WriteBack;
        let title = format!(
            "{}: {}, lines of {} bytes here, node {} of 0 and 1",
            ends.uri,
            format_size(memory.0.len_bytes()),
            memory.0.line_bytes(),
            ends.node
        );
        let plan = Plan { seed: self.seed, quick: self.quick };
        let mut link = Link::new(Rc::new(memory), ends.node, plan, run, self.timeout, partner);
        link.meet()?;
        let mut steps = vec![same::run(&mut link)?];
        if steps[0].verdict != Verdict::Fail {
            let more: [Work; 5] = [walk::run, pattern::run, needs::run, arrival::run, lines::run];
            for step in more {
                steps.push(step(&mut link)?);
            }
        }
        let (plan, failed) = (link.plan, steps.iter().any(|step| step.verdict == Verdict::Fail));
        let (memory, partner) = link.close()?;
        if let (Some(made), Some(memory)) = (&mut made, memory) {
            memory.0.remove()?;
            made.gone();
        }
        // Both ends have the same verdicts, so both go on or neither.
        if is_cached && !failed {
            let work = table::Work { run, ends: &ends, timeout: self.timeout, partner, seed: plan.seed };
            steps.push(table::run(work)?);
        } else {
            let why = if failed {
                "a region would not be safe here"
            } else {
                "no region is made in memory that is not cached"
            };
            let mut step = Step::new("table");
            step.add(Verdict::Note, format!("left out: {why}"));
            steps.push(step);
            if let Some(partner) = partner {
                partner.join(run, self.timeout)?;
            }
        }
        self::print(run, &ends, plan, &title, window, &steps)
    }

    /// The command line of the other end.
    fn other_args(&self, ends: &Ends) -> Vec<String> {
        let timeout = format!("{}ms", self.timeout.as_millis());
        ["selftest", &ends.other_uri(), "--timeout", &timeout].map(ToOwned::to_owned).to_vec()
    }
}

fn describe(memory: &memory::Memory) -> Value {
    let (window, report) = (&memory.0, memory.0.coherence());
    json!({
        "bytes": window.len_bytes(),
        "page_bytes": window.page_bytes(),
        "cache_line_bytes": window.line_bytes(),
        "link_line_bytes": report.line_bytes,
        "memory": match report.memory {
            MemoryType::WriteBack => "write-back",
            MemoryType::WriteCombining => "write-combining",
            MemoryType::Uncached => "uncached",
        },
        "device_says": Needs::said(&report).json(),
    })
}

fn print(run: &Run, ends: &Ends, plan: Plan, title: &str, window: Value, steps: &[Step]) -> Done {
    let failed: Vec<&str> =
        steps.iter().filter(|step| step.verdict == Verdict::Fail).map(|step| step.name).collect();
    let json = json!({
        "uri": ends.uri,
        "node": ends.node,
        "quick": plan.quick,
        "seed": plan.seed,
        "window": window,
        "steps": steps.iter().map(Step::json).collect::<Vec<_>>(),
    });
    let text = |out: &mut csm_tools::output::Output| {
        out.line(title)?;
        steps.iter().try_for_each(|step| step.print(out))
    };
    if failed.is_empty() {
        return run.print(json, text);
    }
    let why = format!("{}: {VERDICT}: {}", ends.uri, failed.join(", "));
    run.refute(json, text, why)
}
