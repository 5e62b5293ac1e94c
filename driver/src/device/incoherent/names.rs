//! The files of a simulated link in /dev/shm, by name.
//!
//! ```text
//! csm-sim.NAME            home: what the link's other end reads. It gets its name last and loses it first
//! csm-sim-link.NAME       what all nodes share about the link
//! csm-sim-node.NAME.K     the cache of node K
//! csm-sim-members.NAME.K  proof of life of node K's processes
//! ```
//! No other kind of region has names that begin so: shm: regions have `csm.` and `csm-members.`.

use std::path::{Path, PathBuf};

use super::super::shm_file::SHM_DIR;
use crate::sys::file;

pub(super) const HOME_PREFIX: &str = "csm-sim.";
const LINK_PREFIX: &str = "csm-sim-link.";
const NODE_PREFIX: &str = "csm-sim-node.";
const CONTROL_PREFIX: &str = "csm-sim-members.";

/// The names that belong to one region, by its name as it stands in URIs.
#[derive(Clone)]
pub(super) struct Names(pub(super) String);

impl Names {
    pub(super) fn home(&self) -> PathBuf {
        self.path(HOME_PREFIX, "")
    }

    pub(super) fn link(&self) -> PathBuf {
        self.path(LINK_PREFIX, "")
    }

    pub(super) fn node(&self, node: u64) -> PathBuf {
        self.path(NODE_PREFIX, &format!(".{node}"))
    }

    pub(super) fn control(&self, node: u64) -> PathBuf {
        self.path(CONTROL_PREFIX, &format!(".{node}"))
    }

    /// The proofs of life that are there.
    pub(super) fn controls(&self) -> Vec<PathBuf> {
        self.there(&[CONTROL_PREFIX])
    }

    /// The files of nodes that are there, whoever left them and however many nodes there were.
    fn there(&self, prefixes: &[&str]) -> Vec<PathBuf> {
        let of_node = |name: &str, prefix: &str| {
            let node = name.strip_prefix(prefix)?.strip_prefix(self.0.as_str())?.strip_prefix('.')?;
            Some(!node.is_empty() && node.bytes().all(|digit| digit.is_ascii_digit()))
        };
        let mine = |name: &str| prefixes.iter().any(|prefix| of_node(name, prefix) == Some(true));
        let entries = std::fs::read_dir(SHM_DIR).into_iter().flatten().flatten();
        let entries = entries.filter(|entry| entry.file_name().to_str().is_some_and(mine));
        entries.map(|entry| entry.path()).collect()
    }

    /// Removes everything but home.
    pub(super) fn remove_files(&self) {
        for path in self.there(&[NODE_PREFIX, CONTROL_PREFIX]).into_iter().chain([self.link()]) {
            if let Err(e) = file::unlink(&path)
                && e.errno() != libc::ENOENT
            {
                log::warn!("left behind: {e}");
            }
        }
    }

    fn path(&self, prefix: &str, suffix: &str) -> PathBuf {
        Path::new(SHM_DIR).join(format!("{prefix}{}{suffix}", self.0))
    }
}
