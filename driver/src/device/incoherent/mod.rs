//! `incoherent:NAME`: a link that keeps nothing coherent, simulated on one host.
//!
//! A node has a cache: a file of its own with a copy of the window, which its processes map instead of home, and
//! which outlives them. Lines move between it and home by write-back and invalidate alone, and these are queued
//! until the fence of the thread that asked (`ops`). An adversary drawn from the seed (`adversary`) does what caches
//! may do unasked. The one-writer map (`writers`) says which way a line may move: the writer's to home, everybody else's
//! from home. So no store that a correct program makes is ever lost, and one that breaks the rule is.
//! Loads cannot be seen; `audit` compares caches with home instead.
//!
//! Where the profile says that a node needs no instructions, its processes map home itself. A node that starts anew
//! (`boot=`) loses its cache. A cache takes memory when its node first starts, so that room for many nodes costs nothing.
//!
//! What is simulated no more closely than this: a line arrives word by word. Who looks at it meanwhile without having
//! invalidated it (a process of the same node, or of the node that a `lender` profile spares) may see its last words
//! new and its first word, the one that commits, old.

mod adversary;
mod held;
mod link;
mod names;
mod opening;
mod ops;
mod registry;
#[cfg(test)]
mod tests;
mod words;
mod writers;

use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use self::link::{Link, Shape};
use self::names::Names;
use self::opening::Opening;
use self::ops::SimulatedCache;
use super::shm::{self, Shm};
use super::shm_file::{self, ShmFile};
use super::{CoherenceReport, Device, Flaw, NODES_DEFAULT, NODES_MAX};
use crate::arch::{CacheOps, Coherent};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::{file, mem};
use crate::uri::Uri;

const DEFAULT_LINE_BYTES: u64 = 128;
const DEFAULT_SEED: u64 = 1;

pub(crate) struct Incoherent {
    home: ShmFile,
    /// What this node's processes map: its cache, or home.
    view: ShmFile,
    opening: Arc<Opening>,
    boot: u64,
}

impl Incoherent {
    pub(crate) fn create(uri: &Uri) -> Result<Self> {
        let names = Names(uri.encoded_name());
        if names.home().symlink_metadata().is_ok() {
            return Err(shm_file::exists(&uri.label(), &names.home()));
        }
        let nodes = uri.number("nodes")?.unwrap_or(NODES_DEFAULT);
        if nodes == 0 || nodes > NODES_MAX {
            return Err(uri.invalid("nodes", format_args!("use 1 to {NODES_MAX}")));
        }
        let shape = Shape {
            nodes,
            line_bytes: line_of(uri)?.unwrap_or(DEFAULT_LINE_BYTES),
            seed: uri.number("seed")?.unwrap_or(DEFAULT_SEED),
            report: uri.choice("profile", CoherenceReport::NAMED)?.unwrap_or(CoherenceReport::LOCAL),
        };
        if uri.get("loss").is_some_and(|loss| loss != "never") {
            return Err(uri.invalid(
                "loss",
                "a region is created on a link that works; create it, then open it with loss=",
            ));
        }
        let boot = boot_of(uri)?.unwrap_or(1);
        let home = ShmFile::create(uri, names.home())?;
        let file = home.create_sibling(names.link())?;
        Link::write(&file, &shape)?;
        let link = registry::create(names.clone(), file, &home)?;
        let mut held = link.lock()?;
        if shape.has_cache(0) {
            held.add_cache(0, home.create_sibling(names.node(0))?);
        }
        link.set_boot(&held, 0, boot);
        let view = held.view_of(0)?;
        drop(held);
        let opening = opening_of(uri, link, 0)?;
        Ok(Self { home, view, opening, boot })
    }
}

impl Incoherent {
    /// Opens it as the node that `uri` says. Always for writing: readers write leases.
    pub(crate) fn open(uri: &Uri, _writable: bool) -> Result<Self> {
        let names = Names(uri.encoded_name());
        let path = names.home();
        if path.symlink_metadata().is_err() {
            return Err(shm_file::not_there(uri, &path));
        }
        let home = ShmFile::open(uri, path, true)?;
        let link =
            registry::open(names, &home).map_err(|e| e.context(format_args!("region {:?}", uri.label())))?;
        check_options(uri, &link.shape)?;
        let node = uri.node(link.shape.nodes)?;
        let (boot, view) = start_node(uri, &link, node)?;
        let opening = opening_of(uri, link, node)?;
        Ok(Self { home, view, opening, boot })
    }
}

/// Every region on a simulated link that can be read, as its home.
pub(super) fn neighbours() -> impl Iterator<Item = Shm> {
    shm::windows(names::HOME_PREFIX)
}

/// Which start of the node this is, and its view of the window. A start that the link has not seen loses the cache.
fn start_node(uri: &Uri, link: &Link, node: u64) -> Result<(u64, ShmFile)> {
    let mut held = link.lock()?;
    let known = link.boot(node);
    let boot = boot_of(uri)?.unwrap_or(known.max(1));
    if boot < known {
        let text = format!(
            "region {:?}: node {node} has been started as boot={known}, and starts are counted upwards; use that, a larger number, or leave boot= out",
            uri.label()
        );
        return Err(Error::new(ErrorKind::InvalidArgument, text));
    }
    if boot != known {
        if known != 0 && file::is_locked_at(&link.names.control(node))? {
            let text = format!(
                "region {:?}: node {node} is running as boot={known}, so it cannot have started again as boot={boot}; \
                 end its processes first, or leave boot= out",
                uri.label()
            );
            return Err(Error::new(ErrorKind::InUse, text));
        }
        if link.shape.has_cache(node) {
            // Whoever comes after a process that is killed in the middle of this does it again.
            link.set_boot(&held, node, 0);
            held.lose_cache(node).map_err(|e| hint(e).context(format_args!("region {:?}", uri.label())))?;
        }
        link.set_boot(&held, node, boot);
    }
    Ok((boot, held.view_of(node)?))
}

fn opening_of(uri: &Uri, link: Arc<Link>, node: u64) -> Result<Arc<Opening>> {
    let seed = uri.number("seed")?.unwrap_or(link.shape.seed);
    let delay = uri.duration("delay")?.unwrap_or_default();
    let loss = if uri.get("loss") == Some("never") { None } else { uri.number("loss")? };
    Ok(Arc::new(Opening::new(link, node, seed, delay, loss)))
}

fn line_of(uri: &Uri) -> Result<Option<u64>> {
    match uri.number("line")? {
        None => Ok(None),
        Some(line @ (64 | 128)) => Ok(Some(line)),
        Some(_) => Err(uri.invalid("line", "use 64 or 128")),
    }
}

fn boot_of(uri: &Uri) -> Result<Option<u64>> {
    match uri.number("boot")? {
        Some(0) => Err(uri.invalid("boot", "starts are counted from 1")),
        boot => Ok(boot),
    }
}

/// What shaped the link must agree with it where it is given again.
fn check_options(uri: &Uri, shape: &Shape) -> Result<()> {
    let profile = uri.choice("profile", CoherenceReport::NAMED)?;
    if let Some(given) = profile.filter(|given| *given != shape.report) {
        return Err(uri.mismatch("profile", given.name(), shape.report.name()));
    }
    match line_of(uri)?.filter(|given| *given != shape.line_bytes) {
        Some(given) => Err(uri.mismatch("line", given, shape.line_bytes)),
        None => Ok(()),
    }
}

fn hint(e: Error) -> Error {
    if e.kind() == ErrorKind::NoMemory {
        return e.hint(format_args!(
            "a simulated region takes its size once, and again for each node that has started; {}",
            shm_file::no_memory_hint()
        ));
    }
    e
}

impl Device for Incoherent {
    fn coherence(&self) -> CoherenceReport {
        let shape = &self.opening.link.shape;
        CoherenceReport { line_bytes: shape.line_bytes, ..shape.report }
    }

    fn cache_ops(&self, base: *const u8) -> Result<Box<dyn CacheOps>> {
        if !self.opening.has_cache() {
            return Ok(Box::new(Coherent));
        }
        Ok(Box::new(SimulatedCache::new(self.opening.clone(), base)))
    }

    fn file(&self) -> (&File, u64) {
        (&self.view.file, 0)
    }

    fn len_bytes(&self) -> Result<u64> {
        self.view.len_bytes()
    }

    fn owner_uid(&self) -> Result<Option<u32>> {
        self.home.owner_uid().map(Some)
    }

    fn mode(&self) -> Result<u32> {
        self.home.mode()
    }

    fn page_bytes(&self) -> u64 {
        mem::page_bytes()
    }

    fn extend(&self, len_bytes: u64, backed: &[Range<u64>], _huge: bool) -> Result<()> {
        self.opening.link.lock()?.extend(len_bytes, backed).map_err(hint)
    }

    fn commit(&self) -> Result<()> {
        let named = self.opening.link.name_files(&self.home).and_then(|()| self.home.commit());
        if named.is_err() && self.home.path.symlink_metadata().is_err() {
            // Half of the names are no region. The next creation would replace them; nobody else would.
            self.opening.link.names.remove_files();
        }
        named
    }

    fn control_paths(&self, _uuid: &Uuid) -> Result<Vec<PathBuf>> {
        Ok(self.opening.link.names.controls())
    }

    fn control_path(&self, _uuid: &Uuid, node: u64) -> PathBuf {
        self.opening.link.names.control(node)
    }

    fn is_one_host(&self) -> bool {
        false
    }

    fn boot(&self) -> Result<u64> {
        Ok(self.boot)
    }

    fn remove(&self, _len_bytes: u64) -> Result<()> {
        // Without home it is no region; what a kill leaves of the rest is replaced by the next creation.
        file::unlink(&self.home.path)?;
        self.opening.link.names.remove_files();
        Ok(())
    }

    fn set_writers(&self, writers: &[(Range<u64>, u64)]) {
        self.opening.set_writers(writers);
    }

    fn audit(&self, range: Range<u64>) -> Option<Flaw> {
        self.opening.audit(&range)
    }

    fn is_lost(&self) -> bool {
        self.opening.is_lost()
    }
}
