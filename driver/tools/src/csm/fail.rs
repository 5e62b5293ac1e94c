//! How arrow-rs's errors and panics become this crate's errors.

use std::any::Any;
use std::error::Error as _;
use std::fmt::Display;
use std::path::Path;

use arrow_schema::ArrowError;
use csm::{Error, ErrorKind};

pub(crate) use csm_tools::fail::{one_line, panic_text, system};

/// A file that is not what it is said to be.
pub(crate) fn bad_file(path: &Path, why: impl Display) -> Error {
    Error::new(ErrorKind::BadFile, format!("file {path:?}: {why}"))
}

/// An error out of one of arrow-rs's readers or writers: csm's own and the system's come out as they were.
pub(crate) fn arrow(what: impl Display, e: ArrowError, kind: ErrorKind) -> Error {
    match e {
        ArrowError::ExternalError(e) if e.is::<Error>() => match e.downcast::<Error>() {
            Ok(e) => *e,
            Err(e) => Error::new(kind, format!("{what}: {e}")),
        },
        ArrowError::IoError(_, e) if e.raw_os_error().is_some() => system(what, &e),
        e => Error::new(kind, format!("{what}: {}", plain(&e))),
    }
}

/// The error's words without arrow-rs's name for its kind, nor what it quotes of the row.
fn plain(e: &ArrowError) -> String {
    let text = e.to_string();
    let text =
        text.split_once(" error: ").filter(|(kind, _)| !kind.contains(' ')).map_or(&*text, |(_, rest)| rest);
    let text = text.split(". Row data:").next().unwrap_or(text);
    let cause = e.source().map(|cause| cause.to_string()).filter(|cause| !text.contains(cause));
    cause.map_or_else(|| text.to_owned(), |cause| format!("{text}: {cause}"))
}

/// A panic, caught: a fault of this program or of a library.
pub(crate) fn fault(payload: &(dyn Any + Send)) -> Error {
    let what = panic_text(payload);
    Error::new(
        ErrorKind::Internal,
        format!("a fault inside csm ({what}); nothing was published; please report it"),
    )
}
