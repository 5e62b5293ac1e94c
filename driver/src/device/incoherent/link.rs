//! The link file: what the nodes of a simulated link share, and the lock under which lines move.
//!
//! The lock has two halves: a mutex among the threads of this process, and a POSIX lock on a byte of the link file
//! among processes, which the kernel drops when its holder dies and which a forked child does not have. Closing
//! any descriptor of the file would drop it too: so a process has the file open once (see `registry`).
//! A process killed in the middle of a line leaves it torn; the journal word says which line, and the next holder
//! moves it again. That is always legal: a cache may evict or fetch a line at any time.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Mutex, PoisonError};

use super::super::CoherenceReport;
use super::super::shm_file::{self, SHM_DIR, ShmFile};
use super::held::{Held, Views, Way};
use super::names::Names;
use super::registry::OpenOnce;
use super::words::Words;
use crate::error::{Error, ErrorKind, Result};
use crate::sys::file;

/// "csmsim" and the version of the format.
const MAGIC: u64 = u64::from_le_bytes(*b"csmsim\x00\x01");
const LOCK: u64 = 0;
const BACKED_MAX: u64 = 32;
const BOOTS_OFF: u64 = 1024;
/// Files are allocated in multiples of this.
pub(super) const PAGE_BYTES: u64 = 4096;

/// The words of the link file, but for the nodes' boots.
#[derive(Clone, Copy)]
enum Field {
    Magic,
    Nodes,
    Profile,
    Line,
    Seed,
    /// The line that is being moved, or 0.
    Journal,
    /// How often the region was opened.
    Openings,
    /// How many parts of the window have memory behind them; their starts and ends follow.
    Backed,
}

/// What a link is created with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) nodes: u64,
    pub(super) line_bytes: u64,
    pub(super) seed: u64,
    pub(super) report: CoherenceReport,
}

impl Shape {
    /// Whether a node has a cache that hardware does not keep coherent. Node 0 is the owner.
    pub(super) fn has_cache(&self, node: u64) -> bool {
        self.report.writer_writes_back.of(node == 0) || self.report.reader_invalidates.of(node == 0)
    }
}

/// A link as this process has it open.
pub(super) struct Link {
    pub(super) names: Names,
    pub(super) shape: Shape,
    file: OpenOnce,
    words: Words,
    views: Mutex<Views>,
}

impl Link {
    /// Bytes of the link file.
    pub(super) fn file_bytes(nodes: u64) -> u64 {
        (BOOTS_OFF + nodes * 8).next_multiple_of(PAGE_BYTES)
    }

    /// Makes an empty link file a link.
    pub(super) fn write(file: &ShmFile, shape: &Shape) -> Result<()> {
        let len = Self::file_bytes(shape.nodes);
        file.extend(len, &[Range { start: 0, end: len }], PAGE_BYTES, |_| ())?;
        let words = Words::map(file)?;
        let profile = CoherenceReport::NAMED.iter().position(|(_, report)| *report == shape.report);
        let store = |field: Field, value| word(&words, field as u64).store(value, Ordering::Release);
        store(Field::Nodes, shape.nodes);
        store(Field::Profile, profile.unwrap_or_default() as u64);
        store(Field::Line, shape.line_bytes);
        store(Field::Seed, shape.seed);
        store(Field::Magic, MAGIC);
        Ok(())
    }

    /// Looks at a link file: what it was created with, and its words.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when it is no link.
    pub(super) fn read(link: &ShmFile) -> Result<(Shape, Words)> {
        let corrupt = |what: &str| {
            let text = format!(
                "{} is no simulated link ({what}); remove the region's files and create it anew: rm {}/csm-sim*",
                link.path.display(),
                SHM_DIR
            );
            Error::new(ErrorKind::Corrupt, text)
        };
        let len = link.len_bytes()?;
        if len < Self::file_bytes(1) {
            return Err(corrupt("it is too short"));
        }
        let words = Words::map(link)?;
        let load = |field: Field| word(&words, field as u64).load(Ordering::Acquire);
        let (nodes, line_bytes) = (load(Field::Nodes), load(Field::Line));
        let named = usize::try_from(load(Field::Profile)).ok().and_then(|at| CoherenceReport::NAMED.get(at));
        let Some((_, report)) = named.filter(|_| load(Field::Magic) == MAGIC) else {
            return Err(corrupt("another version made it, or it was overwritten"));
        };
        if !matches!(line_bytes, 64 | 128) || nodes == 0 || nodes > len || Self::file_bytes(nodes) > len {
            return Err(corrupt("its header says what cannot be"));
        }
        Ok((Shape { nodes, line_bytes, seed: load(Field::Seed), report: *report }, words))
    }

    /// A link whose file this process has open once.
    pub(super) fn new(names: Names, file: OpenOnce, (shape, words): (Shape, Words), home: ShmFile) -> Self {
        Self { names, shape, file, words, views: Mutex::new(Views::new(home)) }
    }

    /// Gives the link and the nodes' caches their names, replacing what a killed creation left.
    pub(super) fn name_files(&self, home: &ShmFile) -> Result<()> {
        if home.path.symlink_metadata().is_ok() {
            return Err(shm_file::exists(&home.label, &home.path));
        }
        let held = self.lock()?;
        let mode = home.mode()?;
        name_anew(self.file.get(), mode, &self.names.link())?;
        for node in (0..self.shape.nodes).filter(|node| self.shape.has_cache(*node)) {
            let path = self.names.node(node);
            match held.cache(node) {
                Some(cache) => name_anew(&cache.file, mode, &path)?,
                None => name_anew(&home.create_sibling(path.clone())?.file, mode, &path)?,
            }
        }
        Ok(())
    }

    /// Takes the lock, and ends what its last holder was killed at.
    pub(super) fn lock(&self) -> Result<Held<'_>> {
        let views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        file::lock_byte(self.file.get(), LOCK)?;
        let mut held = Held::new(self, views);
        let torn = self.word(Field::Journal).load(Ordering::Acquire);
        if torn != 0 {
            let (way, node, off) = decode(torn);
            held.transfer(node, way, off..off + self.shape.line_bytes)?;
            self.word(Field::Journal).store(0, Ordering::Release);
        }
        Ok(held)
    }

    /// Gives the lock up; its holder alone calls this.
    pub(super) fn unlock(&self) {
        if let Err(e) = file::unlock_byte(self.file.get(), LOCK) {
            log::error!("simulated link: {e}");
        }
    }

    /// Notes which line is being moved while `work` moves it.
    pub(super) fn journaled(&self, node: u64, way: Way, off: u64, work: impl FnOnce()) {
        let journal = self.word(Field::Journal);
        journal.store(encode(node, way, off), Ordering::Relaxed);
        fence(Ordering::Release);
        work();
        journal.store(0, Ordering::Release);
    }

    /// The number of this opening.
    pub(super) fn count_opening(&self) -> u64 {
        self.word(Field::Openings).fetch_add(1, Ordering::Relaxed)
    }

    /// Which start of a node it is; 0 before the first, and while its cache is being emptied.
    pub(super) fn boot(&self, node: u64) -> u64 {
        word(&self.words, BOOTS_OFF / 8 + node).load(Ordering::Acquire)
    }

    pub(super) fn set_boot(&self, _held: &Held<'_>, node: u64, boot: u64) {
        word(&self.words, BOOTS_OFF / 8 + node).store(boot, Ordering::Release);
    }

    /// The parts of the window that have memory behind them.
    pub(super) fn backed(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let count = self.word(Field::Backed).load(Ordering::Acquire).min(BACKED_MAX);
        (0..count).map(|at| {
            let load = |at| word(&self.words, Field::Backed as u64 + 1 + at).load(Ordering::Acquire);
            load(2 * at)..load(2 * at + 1)
        })
    }

    /// Says which parts have memory behind them from now on.
    pub(super) fn set_backed(&self, _held: &Held<'_>, backed: &[Range<u64>]) {
        let store = |at, value| word(&self.words, Field::Backed as u64 + at).store(value, Ordering::Release);
        let count = BACKED_MAX.min(backed.len() as u64);
        // Who draws from these meanwhile finds fewer parts, never wrong ones.
        store(0, 0);
        for (at, range) in (0..count).zip(backed) {
            store(1 + 2 * at, range.start);
            store(2 + 2 * at, range.end);
        }
        store(0, count);
    }

    fn word(&self, field: Field) -> &AtomicU64 {
        word(&self.words, field as u64)
    }

    #[cfg(test)]
    pub(super) fn pretend_torn(&self, node: u64, way: Way, off: u64) {
        self.word(Field::Journal).store(encode(node, way, off), Ordering::Release);
    }
}

/// A word of the link file, which was found long enough when it was opened.
fn word(words: &Words, at: u64) -> &AtomicU64 {
    &words.get(at * 8..at * 8 + 8)[0]
}

/// Gives a file a name that nobody uses any more.
fn name_anew(file: &File, mode: u32, path: &Path) -> Result<()> {
    while let Err(e) = file::name_file(file, mode, path) {
        if e.errno() != libc::EEXIST {
            return Err(e);
        }
        file::unlink(path)?;
    }
    Ok(())
}

/// A line is a multiple of 64 below 2^40, a node below 2^12: bit 0 says that there is one, bit 1 which way it moves.
fn encode(node: u64, way: Way, off: u64) -> u64 {
    node << 44 | off | u64::from(way == Way::Home) << 1 | 1
}

fn decode(journal: u64) -> (Way, u64, u64) {
    let way = if journal & 2 == 0 { Way::Fetch } else { Way::Home };
    (way, journal >> 44, journal & 0xfff_ffff_ffc0)
}
