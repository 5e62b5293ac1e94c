//! The process of the other end, where both ends are on one machine and this one started it.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use csm::{Error, ErrorKind};
use csm_tools::fail::{one_line, system};

use crate::failure::Done;
use crate::run::Run;
use crate::wait::until;

/// A process that is ended, at the latest, when this goes.
pub(super) struct Partner {
    child: Child,
}

impl Partner {
    /// Starts this program with other arguments.
    pub(super) fn start(args: &[String]) -> Done<Self> {
        let program = std::env::current_exe().map_err(|e| system("readlink(/proc/self/exe)", &e))?;
        let child = Command::new(&program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| system(format_args!("spawn({} {})", program.display(), args.join(" ")), &e))?;
        Ok(Self { child })
    }

    /// Whether the process has ended, as it should.
    ///
    /// # Errors
    /// With its last words, when it ended otherwise.
    fn has_ended(&mut self) -> Done<bool> {
        let status = self.child.try_wait().map_err(|e| system("waitpid(node 1's process)", &e))?;
        let Some(status) = status else { return Ok(false) };
        let mut words = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            // Words that cannot be read are none.
            let _ = stderr.read_to_string(&mut words);
        }
        let words = one_line(&words);
        if status.success() || words.contains(super::VERDICT) {
            return Ok(true);
        }
        let words = words.trim_start_matches("csm-bringup: error: ");
        let text = format!("node 1's process ended ({status}): {words}");
        Err(Error::new(ErrorKind::Closed, text).into())
    }

    /// An error if the process has ended as it should not.
    pub(super) fn check(&mut self) -> Done {
        self.has_ended().map(drop)
    }

    /// Waits until it has ended, which it is about to do.
    pub(super) fn join(mut self, run: &Run, timeout: Duration) -> Done {
        until("node 1's process to end", timeout, run.interrupt(), || Ok(self.has_ended()?.then_some(())))
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        // Harmless for one that has ended: it is still ours until it is waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
