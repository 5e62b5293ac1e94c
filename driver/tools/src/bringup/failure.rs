//! How a command ends: exit codes, and the one line (and the one JSON object) that an error is.
//!
//! Scripts decide on the exit code, so it says what to do next: repair the command line, get the hardware or the
//! right, wait longer, look at the link. The code follows from the kind of the library's error.

use std::process::ExitCode;

use csm::{Error, ErrorKind};
use csm_tools::fail::one_line;
use serde_json::json;

/// What a command returns.
pub(crate) type Done<T = ()> = Result<T, Failure>;

/// The exit codes, for people.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; what was begun has been undone
  2  the command line, the URI or the cluster file is wrong; nothing was touched
  3  hardware, a driver or a permission is missing; nothing was touched
  4  timed out (see --timeout); what was begun has been undone
  5  interrupted (Ctrl-C, SIGTERM); what was begun has been undone
  6  the check was made and its answer is no: the link or the machine is not as it must be";

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    Missing = 3,
    TimedOut = 4,
    Interrupted = 5,
    Finding = 6,
}

impl Exit {
    fn of(e: &Error) -> Self {
        match e.kind() {
            ErrorKind::InvalidArgument
            | ErrorKind::BadUri
            | ErrorKind::BadSize
            | ErrorKind::BadAlignment
            | ErrorKind::BadName
            | ErrorKind::BadFile
            | ErrorKind::OptionMismatch => Self::Usage,
            ErrorKind::PermissionDenied | ErrorKind::Unsupported | ErrorKind::RegionNotFound => Self::Missing,
            ErrorKind::System if matches!(e.errno(), libc::ENOENT | libc::ENODEV | libc::ENXIO) => {
                Self::Missing
            }
            ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        // The discriminants are the codes.
        ExitCode::from(exit as u8)
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    error: Error,
    /// The command's JSON object was printed already, with `"ok": false`.
    reported: bool,
}

impl Failure {
    /// The operator stopped it; `what` says what was undone.
    pub(crate) fn interrupted(what: &str) -> Self {
        let error = Error::new(ErrorKind::Closed, format!("interrupted: {what}"));
        Self { exit: Exit::Interrupted, error, reported: false }
    }

    /// What was asked for is not there; `what` says how to get it.
    pub(crate) fn missing(what: impl Into<String>) -> Self {
        Self { exit: Exit::Missing, error: Error::new(ErrorKind::Unsupported, what), reported: false }
    }

    /// The check was made, and the answer is no.
    pub(crate) fn finding(what: impl Into<String>) -> Self {
        Self { exit: Exit::Finding, error: Error::new(ErrorKind::Unsupported, what), reported: false }
    }

    /// The same failure, of a command whose JSON object was printed already.
    pub(crate) fn reported(self) -> Self {
        Self { reported: true, ..self }
    }

    /// What the command exits with.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// The sentence.
    pub(crate) fn message(&self) -> &str {
        self.error.message()
    }

    /// Prints it and says what to exit with.
    pub(crate) fn report(&self, command: &str, json: bool) -> Exit {
        // A reader that went away (`csm-bringup probe | head`) is no failure.
        if self.error.errno() == libc::EPIPE {
            return Exit::Ok;
        }
        let message = one_line(self.error.message());
        if json && !self.reported {
            let error = json!({
                "kind": self.error.kind().name(),
                "errno": self.error.errno(),
                "message": message,
                "exit": self.exit as u8,
            });
            println!("{:#}", json!({ "command": command, "ok": false, "error": error }));
        }
        eprintln!("csm-bringup: error: {message}");
        self.exit
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { exit: Exit::of(&error), error, reported: false }
    }
}
