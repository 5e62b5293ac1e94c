//! Holding: what `attach` does once a device is set up, until it is told to give it back.
//!
//! The process that configured the hardware keeps it: an AFU's context, a VFIO group and hotplugged blocks end with
//! the process that owns them. It stays in the foreground and answers on a socket beside its state file; Ctrl-C,
//! SIGTERM and `csm-bringup detach` all end in [`Held::detach`], which may refuse.

pub(crate) mod control;
pub(crate) mod state;

use std::time::{Duration, Instant};

use csm::{Error, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};

use crate::failure::Done;
use crate::run::Run;
use control::{Request, Server};
use state::Entry;

/// How often a held device is looked at.
const WATCH: Duration = Duration::from_secs(1);

/// A device that is set up. What is dropped without a detach is given back all the same.
pub(crate) trait Held {
    /// What was set up, as the state file says it: the same as long as it is held.
    fn describe(&self) -> Value;
    /// How it is now. The other end is asked if `link` says that the link may be touched: on one that is dead the access
    /// makes the host fence it.
    ///
    /// # Errors
    /// Where the device cannot be asked.
    fn status(&mut self, link: bool) -> Result<Value>;
    /// What happened since the last time, in words: faults and the like.
    ///
    /// # Errors
    /// Where the device cannot be asked.
    fn events(&mut self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    /// The calls and register accesses so far, in words.
    fn trace(&self) -> Vec<String> {
        Vec::new()
    }
    /// Gives the device back, undoing what was done in reverse; `force` is an operator's word that the other end does
    /// not use it any more.
    ///
    /// # Errors
    /// What could not be undone; the rest was.
    fn detach(&mut self, force: bool) -> Result<Left>;
}

/// What became of a detach.
pub(crate) enum Left {
    /// The device is given back.
    Gone,
    /// Nothing was done, and this is why.
    Refused(Error),
}

/// Holds `held`, answering at `server`, until it is detached.
pub(crate) fn hold(run: &Run, server: &Server, entry: &Entry, held: &mut dyn Held) -> Done {
    let mut looked = Instant::now();
    let mut told = String::new();
    loop {
        if run.interrupt().take() {
            match held.detach(false)? {
                Left::Gone => return Ok(()),
                Left::Refused(e) => run.note(format_args!(
                    "still attached: {e}\n`csm-bringup detach {} --force` takes your word for it",
                    entry.name()
                )),
            }
        }
        let mut end = None;
        if let Some(client) = server.accept()? {
            control::answer(client, |request| match request {
                Request::Status { link } => held.status(link),
                Request::Detach { force } => match held.detach(force) {
                    Ok(Left::Refused(e)) => Err(e),
                    Ok(Left::Gone) => {
                        end = Some(Ok(()));
                        Ok(json!({}))
                    }
                    Err(e) => {
                        let message = e.message().to_owned();
                        let told = Error::new(e.kind(), message);
                        end = Some(Err(e));
                        Err(told)
                    }
                },
            });
        }
        if let Some(end) = end {
            return Ok(end?);
        }
        if looked.elapsed() >= WATCH {
            looked = Instant::now();
            match held.events() {
                Ok(events) => events.iter().for_each(|event| run.note(event)),
                // Once, not each second.
                Err(e) if told != e.message() => {
                    run.note(&e);
                    e.message().clone_into(&mut told);
                }
                Err(_) => {}
            }
        }
        let left = PollTimeout::try_from(WATCH.saturating_sub(looked.elapsed())).unwrap_or(PollTimeout::ZERO);
        let mut fds = [
            PollFd::new(run.interrupt().fd(), PollFlags::POLLIN),
            PollFd::new(server.fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, left) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(Error::system("poll(signals, control socket)", e as i32).into()),
        }
    }
}
