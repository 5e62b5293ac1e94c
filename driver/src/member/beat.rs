//! Signs of life for kernels that do not see this process: a thread that writes the time into the member's line.
//!
//! A sign that fails to come proves nothing (law 5); it only tells people which node to look at. So the clocks of the
//! nodes need to agree no better than people's do, and where one kernel sees all members there is no thread.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::Member;
use crate::error::{Error, Result};
use crate::sys::process;

const EVERY: Duration = Duration::from_secs(1);
/// A member that gave no sign for this long is silent: five of its beats are missing.
pub(crate) const SILENT_NS: u64 = 5_000_000_000;

/// The thread, which ends when this is dropped.
pub(crate) struct Beat {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    forks: u32,
}

impl Beat {
    /// Starts giving signs of life for `member`.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn start(member: Arc<Member>) -> Result<Self> {
        let (stop, stopped) = channel();
        let run = move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(EVERY) {
                member.beat();
            }
        };
        let thread = Builder::new().name("csm-beat".to_owned()).spawn(run).map_err(|e| {
            Error::system("starting the thread that gives signs of life", e.raw_os_error().unwrap_or(0))
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread), forks: process::fork_count() })
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        let (stop, thread) = (self.stop.take(), self.thread.take());
        if self.forks != process::fork_count() {
            // A forked child does not have the thread.
            std::mem::forget((stop, thread));
            return;
        }
        drop(stop);
        if thread.is_some_and(|thread| thread.join().is_err()) {
            log::error!("the thread that gives signs of life ended unexpectedly");
        }
    }
}
