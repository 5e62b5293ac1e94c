//! The process of the other end, where both ends are on one machine and this one started it.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use csm::{Error, ErrorKind};
use csm_tools::fail::{one_line, system};

use crate::failure::Done;

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

    /// An error with the process's last words, if it has ended, or (`wait`) when it does, unless it ended well.
    fn ended(&mut self, wait: bool) -> Done {
        let failed = |e: &_| system("waitpid(node 1's process)", e);
        let status = if wait {
            Some(self.child.wait().map_err(|e| failed(&e))?)
        } else {
            self.child.try_wait().map_err(|e| failed(&e))?
        };
        let Some(status) = status else { return Ok(()) };
        let mut words = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            // Words that cannot be read are none.
            let _ = stderr.read_to_string(&mut words);
        }
        let words = one_line(&words);
        if status.success() || words.contains(super::VERDICT) {
            return Ok(());
        }
        let words = words.trim_start_matches("csm-bringup: error: ");
        let text = format!("node 1's process ended ({status}): {words}");
        Err(Error::new(ErrorKind::Closed, text).into())
    }

    /// An error if the process has ended. One that says it is ending is waited for: it knows why.
    pub(super) fn check(&mut self, is_ending: bool) -> Done {
        self.ended(is_ending)
    }

    /// Waits until it has ended, which it is about to do.
    pub(super) fn join(mut self) -> Done {
        self.ended(true)
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        // Harmless for one that has ended: it is still ours until it is waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
