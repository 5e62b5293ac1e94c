//! The link file: what the nodes of a simulated link share, the lock under which lines move, and moving them.
//!
//! The lock has two halves: a mutex among the threads of this process, and a POSIX lock on a byte of the link file
//! among processes, which the kernel drops when its holder dies and which a forked child does not have. Closing
//! any descriptor of the file would drop it too: so a process has the file open once (see `registry`).
//! A process killed in the middle of a line leaves it torn; the journal word says which line, and the next holder
//! moves it again. That is always legal: a cache may evict or fetch a line at any time.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::CoherenceReport;
use super::super::shm_file::{self, SHM_DIR, ShmFile};
use super::names::Names;
use super::registry::OpenOnce;
use super::words::{Words, copy_line, first_difference};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::file;

/// "csmsim" and the version of the format.
const MAGIC: u64 = u64::from_le_bytes(*b"csmsim\x00\x01");
const LOCK: u64 = 0;
const BACKED_MAX: u64 = 32;
const BOOTS_OFF: u64 = 1024;
const PAGE_BYTES: u64 = 4096;

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
        let pick = |roles: super::super::Roles| if node == 0 { roles.owner } else { roles.borrower };
        pick(self.report.writer_writes_back) || pick(self.report.reader_invalidates)
    }
}

/// Which way a line moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From a node's cache.
    Home,
    /// To a node's cache.
    Fetch,
}

/// A link as this process has it open.
pub(super) struct Link {
    pub(super) names: Names,
    pub(super) shape: Shape,
    file: OpenOnce,
    words: Words,
    views: Mutex<Views>,
}

/// A file of the window, and as much of it as was mapped so far.
struct View {
    file: ShmFile,
    words: Option<Words>,
}

struct Views {
    home: View,
    caches: BTreeMap<u64, View>,
}

impl View {
    fn new(file: ShmFile) -> Self {
        Self { file, words: None }
    }

    /// Maps all of the file if it was lengthened.
    ///
    /// # Errors
    /// [`ErrorKind::RegionLost`] when it was truncated: touching what is gone would be a SIGBUS.
    fn reach(&mut self) -> Result<()> {
        let (mapped, len) = (self.words.as_ref().map_or(0, Words::len_bytes), self.file.len_bytes()?);
        if len < mapped {
            let text = format!("{} was truncated from {mapped} to {len} bytes", self.file.path.display());
            return Err(Error::new(ErrorKind::RegionLost, text));
        }
        if len > mapped {
            self.words = Some(Words::map(&self.file)?);
        }
        Ok(())
    }

    fn get(&self, range: Range<u64>) -> &[AtomicU64] {
        self.words.as_ref().map_or(&[], |words| words.get(range))
    }
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
        let views = Views { home: View::new(home), caches: BTreeMap::new() };
        Self { names, shape, file, words, views: Mutex::new(views) }
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
            match held.views.caches.get(&node) {
                Some(view) => name_anew(&view.file.file, mode, &path)?,
                None => name_anew(&home.create_sibling(path.clone())?.file, mode, &path)?,
            }
        }
        Ok(())
    }

    /// Takes the lock, and ends what its last holder was killed at.
    pub(super) fn lock(&self) -> Result<Held<'_>> {
        let views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        file::lock_byte(self.file.get(), LOCK)?;
        let mut held = Held { link: self, views, reached: None };
        let torn = self.word(Field::Journal).load(Ordering::Acquire);
        if torn != 0 {
            let (way, node, off) = decode(torn);
            held.transfer(node, way, off..off + self.shape.line_bytes)?;
            self.word(Field::Journal).store(0, Ordering::Release);
        }
        Ok(held)
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

/// The lock of the link, in hand. Nothing moves without it.
pub(super) struct Held<'a> {
    link: &'a Link,
    views: MutexGuard<'a, Views>,
    /// The node whose files are known to be as long as they are mapped.
    reached: Option<u64>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Err(e) = file::unlock_byte(self.link.file.get(), LOCK) {
            log::error!("simulated link: {e}");
        }
    }
}

impl Held<'_> {
    /// Moves the lines of a range between a node's cache and home, whoever writes them.
    pub(super) fn transfer(&mut self, node: u64, way: Way, range: Range<u64>) -> Result<()> {
        self.reach(node)?;
        let Some(cache) = self.views.caches.get(&node) else { return Ok(()) };
        let (cache, home) = (cache.get(range.clone()), self.views.home.get(range.clone()));
        let (from, to) = if way == Way::Home { (cache, home) } else { (home, cache) };
        let line_words = if self.link.shape.line_bytes == 64 { 8 } else { 16 };
        let journal = self.link.word(Field::Journal);
        let mut off = range.start;
        for (from, to) in from.chunks_exact(line_words).zip(to.chunks_exact(line_words)) {
            if first_difference(from, to).is_some() {
                journal.store(encode(node, way, off), Ordering::Relaxed);
                fence(Ordering::Release);
                copy_line(from, to);
                journal.store(0, Ordering::Release);
            }
            off += self.link.shape.line_bytes;
        }
        Ok(())
    }

    /// Offset of the first byte in which a node's view of a range differs from home.
    pub(super) fn difference(&mut self, node: u64, range: Range<u64>) -> Result<Option<u64>> {
        if self.link.boot(node) == 0 {
            return Ok(None);
        }
        self.reach(node)?;
        let Some(cache) = self.views.caches.get(&node) else { return Ok(None) };
        let found = first_difference(cache.get(range.clone()), self.views.home.get(range.clone()));
        Ok(found.map(|at| range.start + at))
    }

    /// Lengthens home and the caches of all nodes that have started. When there is not enough memory, nothing has
    /// changed.
    pub(super) fn extend(&mut self, len_bytes: u64, backed: &[Range<u64>]) -> Result<()> {
        let started: Vec<u64> = (0..self.link.shape.nodes)
            .filter(|node| self.link.shape.has_cache(*node) && self.link.boot(*node) != 0)
            .collect();
        for node in &started {
            self.open_cache(*node)?;
        }
        let views = &*self.views;
        let home = &views.home.file;
        let mut done: Vec<(&ShmFile, u64)> = Vec::new();
        // Home last: it is what says how long the window is.
        for file in
            started.iter().filter_map(|node| views.caches.get(node)).map(|view| &view.file).chain([home])
        {
            let old_len = file.len_bytes()?;
            if let Err(e) = file.extend(len_bytes, backed, PAGE_BYTES, |_| ()) {
                for (file, old_len) in done {
                    file::set_len(&file.file, &file.path, old_len)?;
                }
                return Err(e);
            }
            done.push((file, old_len));
        }
        let store =
            |at, value| word(&self.link.words, Field::Backed as u64 + at).store(value, Ordering::Release);
        let most = BACKED_MAX.min(backed.len() as u64);
        // A process that draws from these meanwhile finds fewer parts, never wrong ones.
        store(0, 0);
        for (at, range) in (0..most).zip(backed) {
            store(1 + 2 * at, range.start);
            store(2 + 2 * at, range.end);
        }
        store(0, most);
        Ok(())
    }

    /// Empties a node's cache, as a restart does: all its lines are as they are at home.
    pub(super) fn lose_cache(&mut self, node: u64) -> Result<()> {
        self.open_cache(node)?;
        let views = &mut *self.views;
        let Some(View { file: cache, words }) = views.caches.get_mut(&node) else { return Ok(()) };
        let home = &views.home.file;
        (*words, self.reached) = (None, None);
        file::set_len(&cache.file, &cache.path, 0)?;
        let backed: Vec<_> = self.link.backed().collect();
        cache.extend(home.len_bytes()?, &backed, PAGE_BYTES, |_| ())?;
        let written = file::data_ranges(&home.file, &home.path)?;
        for range in written {
            self.transfer(node, Way::Fetch, range)?;
        }
        Ok(())
    }

    /// A node's view of the window, to be mapped by programs.
    pub(super) fn view_of(&mut self, node: u64) -> Result<ShmFile> {
        self.open_cache(node)?;
        self.views.caches.get(&node).unwrap_or(&self.views.home).file.duplicate()
    }

    /// Takes the cache of a node whose file has no name yet.
    pub(super) fn add_cache(&mut self, node: u64, file: ShmFile) {
        self.views.caches.insert(node, View::new(file));
    }

    fn open_cache(&mut self, node: u64) -> Result<()> {
        if self.link.shape.has_cache(node) && !self.views.caches.contains_key(&node) {
            let file = self.views.home.file.sibling(self.link.names.node(node))?;
            self.views.caches.insert(node, View::new(file));
        }
        Ok(())
    }

    /// Maps what a node's lines move between, once while the lock is held: lengths change under the lock alone.
    fn reach(&mut self, node: u64) -> Result<()> {
        if self.reached != Some(node) {
            self.open_cache(node)?;
            self.views.home.reach()?;
            self.views.caches.get_mut(&node).map_or(Ok(()), View::reach)?;
            self.reached = Some(node);
        }
        Ok(())
    }
}
