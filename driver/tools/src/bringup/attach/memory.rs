//! The lender: makes the window, lends it through an AFU, and looks out for faults and borrowers.

use std::fs::{self, Permissions};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use csm::afu::thymesisflow::{LentWindow, LinkState, Mark, MemorySide};
use csm::afu::{Afu, AfuContext, Roots, Trace};
use csm::{Error, ErrorKind, Result};
use csm_tools::fail::system;
use serde_json::{Value, json};

use super::unless_interrupted;
use crate::failure::Done;
use crate::hold::state::Entry;
use crate::hold::{Held, Left};
use crate::link::Link;
use crate::progress::Progress;
use crate::run::Run;

/// Opens the AFU, before anything is made.
pub(super) fn find(run: &Run, link: &Link) -> Done<Box<dyn AfuContext>> {
    Ok(Box::new(Afu::open(&roots(run), &link.afu)?))
}

/// Where AFUs are looked for.
pub(crate) fn roots(run: &Run) -> Roots {
    let roots = Roots::from_env();
    if run.is_rerooted() {
        return roots.with_dev(run.path("/dev/ocxl")).with_sys(run.path("/sys/class/ocxl"));
    }
    roots
}

/// Removes the window of a lender that died. Its AFU context died with it, so nobody can reach the window.
pub(super) fn clear_up(run: &Run, entry: &Entry, file: &Path) -> Result<()> {
    if entry.left_behind().is_none() || !file.exists() {
        return Ok(());
    }
    run.note(format_args!("removing {}, left by an attach process that died", file.display()));
    fs::remove_file(file).map_err(|e| system(format_args!("unlink({file:?})"), &e))
}

/// A lent window.
pub(super) struct Lender {
    side: MemorySide,
    file: PathBuf,
    trace: Trace,
    afu: String,
    borrowed: Option<LinkState>,
}

/// Makes the window, for those that `mode` lets map it, and lends it.
pub(super) fn attach(
    run: &Run,
    link: &Link,
    file: &Path,
    mode: u32,
    afu: Box<dyn AfuContext>,
) -> Done<Lender> {
    let name = afu.name();
    let trace = Trace::new();
    let window = {
        let progress = Progress::bytes(run, "locking the window", link.window_bytes);
        let mut locked = |bytes| {
            progress.at(bytes);
            if run.interrupt().raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        LentWindow::create(file, mode, link.ea, link.window_bytes, &mut locked)
    };
    let window = window.map_err(|e| unless_interrupted(run, e))?;
    // The umask took its part.
    fs::set_permissions(file, Permissions::from_mode(mode))
        .map_err(|e| system(format_args!("chmod({file:?}, {mode:o})"), &e))?;
    let side = MemorySide::attach(afu, window, link.ports, &trace)?;
    Ok(Lender { side, file: file.to_owned(), trace, afu: name, borrowed: None })
}

/// A side's line in words.
pub(super) fn state_word(mark: Option<Mark>) -> &'static str {
    match mark.map(|mark| mark.state) {
        None => "unreadable",
        Some(LinkState::Never) => "never attached",
        Some(LinkState::Attached) => "attached",
        Some(LinkState::Detached) => "detached",
    }
}

impl Held for Lender {
    fn describe(&self) -> Value {
        json!({
            "role": "memory",
            "afu": self.afu,
            "port": self.side.ports().to_string(),
            "ea": format!("{:#x}", self.side.ea()),
            "window_bytes": self.side.len_bytes(),
            "file": self.file,
        })
    }

    fn status(&mut self, _link: bool) -> Result<Value> {
        // The borrower's line is in this host's memory.
        Ok(
            json!({ "borrower": state_word(self.side.compute()?), "answers_arrived": self.side.compute_arrived()? }),
        )
    }

    fn events(&mut self) -> Result<Vec<String>> {
        let mut events = Vec::new();
        let state = self.side.compute()?.map(|mark| mark.state);
        if let Some(state) = state.filter(|state| self.borrowed.is_some_and(|before| before != *state)) {
            events.push(format!(
                "the borrower is {}",
                if state == LinkState::Attached { "attached" } else { "detached" }
            ));
        }
        self.borrowed = state.or(self.borrowed);
        while let Some(fault) = self.side.fault()? {
            events.push(fault.into_error().to_string());
        }
        Ok(events)
    }

    fn trace(&self) -> Vec<String> {
        self.trace.take().iter().map(ToString::to_string).collect()
    }

    fn detach(&mut self, force: bool) -> Result<Left> {
        match self.side.detach(force) {
            Ok(()) => Ok(Left::Gone),
            Err(e) if e.kind() == ErrorKind::InUse => Ok(Left::Refused(refused(e))),
            Err(e) => Err(e),
        }
    }
}

fn refused(e: Error) -> Error {
    e.hint("detach the borrower first: an access without a lender makes its host fence the link")
}
