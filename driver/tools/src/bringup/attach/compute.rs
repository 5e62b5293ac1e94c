//! The borrower: brings the link up, trains it, and adds its memory to the system if that is asked for.

use std::ops::ControlFlow;
use std::path::PathBuf;

use csm::Result;
use csm::afu::thymesisflow::{
    BLOCK_BYTES, Borrow, CharDevice, ComputeSide, MemoryBlocks, Section, Stage, Training, ZoneSource,
};
use csm::afu::{Afu, AfuContext, Trace};
use serde_json::{Value, json};

use super::memory::{roots, state_word};
use super::unless_interrupted;
use crate::failure::{Done, Failure};
use crate::hold::{Held, Left};
use crate::link::Link;
use crate::progress::Progress;
use crate::run::Run;

/// Where the kernel takes memory in.
const MEMORY: &str = "/sys/devices/system/memory";

/// Opens the AFU and looks for the device that maps the window, before anything is changed.
pub(super) fn find(
    run: &Run,
    link: &Link,
    device: &CharDevice,
) -> Done<(Box<dyn AfuContext>, Box<dyn ZoneSource>)> {
    let afu = Afu::open(&roots(run), &link.afu)?;
    let source = CharDevice { path: run.path(&device.path), ..device.clone() };
    if !source.path.exists() {
        return Err(Failure::missing(format!(
            "{} is not there, by which the borrowed memory is mapped: load the module that makes it, or name another (via=)",
            device.path.display()
        )));
    }
    Ok((Box::new(afu), Box::new(source)))
}

/// A borrowed window.
pub(super) struct Borrower {
    /// Above the link: what is online in it goes first.
    blocks: Option<MemoryBlocks>,
    side: ComputeSide,
    device: PathBuf,
    off_bytes: u64,
    trace: Trace,
    afu: String,
}

/// Brings the link up and trains it.
pub(super) fn attach(
    run: &Run,
    link: &Link,
    section: Section,
    device: &CharDevice,
    way: (Box<dyn AfuContext>, Box<dyn ZoneSource>),
    training: Training,
) -> Done<Borrower> {
    let (afu, source) = way;
    let name = afu.name();
    let trace = Trace::new();
    let borrow = Borrow { ea: link.ea, len_bytes: link.window_bytes, section, ports: link.ports, training };
    let bar = Progress::steps(
        run,
        "training the link",
        u64::try_from(training.deadline.as_millis()).unwrap_or(u64::MAX),
    );
    let mut progress = |now: &csm::afu::thymesisflow::Progress| {
        bar.at(u64::try_from(now.elapsed.as_millis()).unwrap_or(u64::MAX));
        bar.what(match now.stage {
            Stage::Settling => "letting the link settle",
            Stage::Asking => "training the link",
        });
        if run.interrupt().raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let side = ComputeSide::attach(afu, &borrow, source, &trace, &mut progress);
    let side = side.map_err(|e| unless_interrupted(run, e))?;
    drop(bar);
    Ok(Borrower {
        blocks: None,
        side,
        device: device.path.clone(),
        off_bytes: device.off_bytes,
        trace,
        afu: name,
    })
}

impl Borrower {
    /// Adds the window, but for the block with the link zone, to the system's memory.
    pub(super) fn add_blocks(&mut self, run: &Run, device: &CharDevice) -> Done {
        let len = device.len_bytes - BLOCK_BYTES;
        let bar = Progress::steps(run, "adding memory blocks", len / BLOCK_BYTES);
        let mut progress = |done| {
            bar.at(done);
            if run.interrupt().raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let blocks = MemoryBlocks::add(&run.path(MEMORY), device.off_bytes, len, &mut progress);
        self.blocks = Some(blocks.map_err(|e| unless_interrupted(run, e))?);
        Ok(())
    }
}

impl Held for Borrower {
    fn describe(&self) -> Value {
        let terms = self.side.terms();
        let trained = self.side.trained();
        json!({
            "role": "compute",
            "afu": self.afu,
            "port": terms.ports.to_string(),
            "section": terms.section.number(),
            "ea": format!("{:#x}", terms.ea),
            "window_bytes": terms.len_bytes,
            "via": self.device,
            "off_bytes": self.off_bytes,
            "trained_ns": u64::try_from(trained.elapsed.as_nanos()).unwrap_or(u64::MAX),
            "training_attempts": trained.attempts,
            "memory_blocks": self.blocks.as_ref().map_or(0, MemoryBlocks::online),
        })
    }

    fn status(&mut self, link: bool) -> Result<Value> {
        let mut status = json!({ "memory_blocks": self.blocks.as_ref().map_or(0, MemoryBlocks::online) });
        if link {
            status["lender"] = state_word(self.side.memory()?).into();
        }
        Ok(status)
    }

    fn trace(&self) -> Vec<String> {
        self.trace.take().iter().map(ToString::to_string).collect()
    }

    fn detach(&mut self, force: bool) -> Result<Left> {
        if let Some(blocks) = &mut self.blocks
            && let Err(e) = blocks.take_back()
        {
            // Memory in use behind a link that is gone is worse than any refusal, whatever an operator says.
            return Ok(Left::Refused(e));
        }
        self.blocks = None;
        self.side.detach(force)?;
        Ok(Left::Gone)
    }
}
