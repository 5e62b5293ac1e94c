//! How the system's errors become csm's, and how an error becomes one line.

use std::any::Any;
use std::fmt::Display;
use std::io;

use csm::{Error, ErrorKind};

/// A failed read, write or open: `what` is the thing and the attempt.
pub fn system(what: impl Display, e: &io::Error) -> Error {
    match e.raw_os_error() {
        Some(errno) => Error::system(what, errno),
        None => Error::new(ErrorKind::System, format!("{what}: {e}")),
    }
}

/// What a panic said.
pub fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// The text with what would end or disturb the line written out.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.trim_end().chars() {
        match c {
            '\n' if line.ends_with([' ', ':']) => {}
            '\n' => line.push(' '),
            c if c.is_control() => line.extend(c.escape_default()),
            ' ' if line.ends_with(' ') => {}
            c => line.push(c),
        }
    }
    line
}
