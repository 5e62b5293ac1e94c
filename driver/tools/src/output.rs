//! Where a command writes: standard output, or a file.
//!
//! The libraries that format tables turn a failed write into words of their own. So the failure is kept
//! here, and whoever gets an error from such a library asks here first what really happened.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use csm::Result;

use crate::fail;

/// A buffered output that remembers why it failed.
pub struct Output {
    inner: io::BufWriter<Box<dyn Write + Send>>,
    trouble: Trouble,
}

/// The failure of an [`Output`], if there was one.
#[derive(Clone)]
pub struct Trouble {
    name: Arc<str>,
    first: Arc<Mutex<Option<io::Error>>>,
}

impl Output {
    /// Standard output.
    pub fn stdout() -> Self {
        Self::new("standard output", Box::new(io::stdout()))
    }

    /// The file at `path`, made or cut to nothing, or standard output.
    pub fn create(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::stdout()) };
        let file = File::create(path).map_err(|e| fail::system(format_args!("create {path:?}"), &e))?;
        Ok(Self::new(&format!("file {path:?}"), Box::new(file)))
    }

    fn new(name: &str, inner: Box<dyn Write + Send>) -> Self {
        let trouble = Trouble { name: name.into(), first: Arc::default() };
        Self { inner: io::BufWriter::with_capacity(1 << 18, inner), trouble }
    }

    /// Where its failure will be kept.
    pub fn trouble(&self) -> Trouble {
        self.trouble.clone()
    }

    /// Writes a line.
    pub fn line(&mut self, text: impl std::fmt::Display) -> Result<()> {
        writeln!(self, "{text}").map_err(|e| self.trouble.error(&e))
    }

    /// Writes `value` as JSON, indented.
    pub fn json(&mut self, value: &serde_json::Value) -> Result<()> {
        self.line(format_args!("{value:#}"))
    }

    /// Flushes: what a command says it wrote was written.
    pub fn finish(mut self) -> Result<()> {
        self.flush().map_err(|e| self.trouble.error(&e))
    }
}

impl Trouble {
    fn error(&self, e: &io::Error) -> csm::Error {
        fail::system(format_args!("write to {}", self.name), e)
    }

    /// The failed write, if it was that, else `other`.
    pub fn or(&self, other: csm::Error) -> csm::Error {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.as_ref().map_or(other, |e| self.error(e))
    }

    fn note<T>(&self, done: io::Result<T>) -> io::Result<T> {
        if let Err(e) = &done
            && e.kind() != io::ErrorKind::Interrupted
        {
            let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| {
                e.raw_os_error().map_or(e.kind().into(), io::Error::from_raw_os_error)
            });
        }
        done
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let done = self.inner.write(bytes);
        self.trouble.note(done)
    }

    fn flush(&mut self) -> io::Result<()> {
        let done = self.inner.flush();
        self.trouble.note(done)
    }
}

/// Whether bytes that are not text would end up on somebody's screen.
pub fn is_screen(path: Option<&PathBuf>) -> bool {
    path.is_none() && io::stdout().is_terminal()
}
