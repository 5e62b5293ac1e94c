//! What every command works with: how it prints, where it looks, whether it was interrupted.
//!
//! The conventions: results on standard output, as text or with `--json` as one object that begins with
//! `"command"` and `"ok"` (commands that go on, as `counters`, print an object a line); everything else
//! (progress, notes) on standard error, and nothing of it with `--json` but the error's line. Sizes in JSON are in
//! bytes, times in nanoseconds, and named so; addresses are strings in hexadecimal.

use std::path::{Path, PathBuf};

use csm::Result;
use csm_tools::output::Output;
use serde_json::{Value, json};

use crate::failure::{Done, Failure};
use crate::interrupt::Interrupt;

/// Where attach processes say what they hold; `$CSM_RUN_DIR` is another place.
const RUN_DIR: &str = "/run/csm";

/// One command at work.
pub(crate) struct Run {
    command: &'static str,
    json: bool,
    root: PathBuf,
    run_dir: PathBuf,
    interrupt: Interrupt,
}

impl Run {
    /// # Errors
    /// When the signals cannot be caught.
    pub(crate) fn new(command: &'static str, json: bool, root: Option<PathBuf>) -> Done<Self> {
        let root = root.unwrap_or_else(|| PathBuf::from("/"));
        let run_dir = std::env::var_os("CSM_RUN_DIR").filter(|dir| !dir.is_empty());
        let run_dir = run_dir.map_or_else(|| PathBuf::from(RUN_DIR), PathBuf::from);
        Ok(Self { command, json, root, run_dir, interrupt: Interrupt::catch()? })
    }

    /// One of a test's own, whose Ctrl-C is what comes through `wake`.
    #[cfg(test)]
    pub(crate) fn of_test(run_dir: &Path, wake: std::os::unix::net::UnixStream) -> Self {
        let interrupt = Interrupt::of(wake);
        Self { command: "test", json: true, root: "/".into(), run_dir: run_dir.into(), interrupt }
    }

    /// Whether to print JSON.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Where the state files are.
    pub(crate) fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// Ctrl-C and its kind.
    pub(crate) fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// `path` (absolute) where this command looks for it.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Whether tests chose another root.
    pub(crate) fn is_rerooted(&self) -> bool {
        self.root != Path::new("/")
    }

    /// Says to people, on standard error, what is going on.
    pub(crate) fn note(&self, text: impl std::fmt::Display) {
        if !self.json {
            eprintln!("{text}");
        }
    }

    /// Prints the result: `json`, an object, or `text`.
    pub(crate) fn print(&self, json: Value, text: impl FnOnce(&mut Output) -> Result<()>) -> Done {
        self.emit(true, json, text)
    }

    /// Prints the result of a check whose answer is no, and fails with `why`.
    pub(crate) fn refute(
        &self,
        json: Value,
        text: impl FnOnce(&mut Output) -> Result<()>,
        why: impl Into<String>,
    ) -> Done {
        self.emit(false, json, text)?;
        Err(Failure::finding(why).reported())
    }

    /// Prints the result, which is good news or not.
    pub(crate) fn emit(&self, ok: bool, json: Value, text: impl FnOnce(&mut Output) -> Result<()>) -> Done {
        let mut out = Output::stdout();
        if self.json {
            let mut object = json!({ "command": self.command, "ok": ok });
            if let (Some(object), Value::Object(json)) = (object.as_object_mut(), json) {
                object.extend(json);
            }
            out.json(&object)?;
        } else {
            text(&mut out)?;
        }
        Ok(out.finish()?)
    }
}
