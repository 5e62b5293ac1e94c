//! Reading /sys, /proc and /dev under a root that tests choose. What is not there is `None`: probing asks, it does
//! not demand.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::Run;

/// A place below the root.
pub(super) struct Dir(PathBuf);

impl Dir {
    pub(super) fn new(run: &Run, path: &str) -> Self {
        Self(run.path(path))
    }

    /// A path that was found, and so has the root in it.
    pub(super) fn of(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(super) fn exists(&self) -> bool {
        self.0.exists()
    }

    pub(super) fn at(&self, name: impl AsRef<Path>) -> Self {
        Self(self.0.join(name))
    }

    /// The names in it, in order.
    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_by_cached_key(|name| natural(name));
        names
    }

    /// The text of a file in it, trimmed.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.0.join(name)).ok().map(|text| text.trim().to_owned())
    }

    /// A number, decimal or with 0x.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        let text = self.text(name)?;
        match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => text.parse().ok(),
        }
    }

    /// The last part of what a symbolic link in it points to.
    pub(super) fn link(&self, name: &str) -> Option<String> {
        let target = fs::read_link(self.0.join(name)).ok()?;
        target.file_name()?.to_str().map(ToOwned::to_owned)
    }

    /// Whether this user may open it for reading and writing.
    pub(super) fn is_ours(&self) -> bool {
        nix::unistd::access(&self.0, nix::unistd::AccessFlags::R_OK | nix::unistd::AccessFlags::W_OK).is_ok()
    }
}

/// Sorts dax2.0 before dax10.0.
fn natural(name: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let word = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (text, tail) = rest.split_at(word);
        let digits = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let (number, tail) = tail.split_at(digits);
        parts.push((text.to_owned(), number.parse().unwrap_or(0)));
        rest = tail;
    }
    parts
}
