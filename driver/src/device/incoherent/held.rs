//! Moving lines between a node's cache and home, with the lock of the link in hand; and the files they move between.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::MutexGuard;
use std::sync::atomic::AtomicU64;

use super::super::shm_file::{self, ShmFile};
use super::link::{Link, PAGE_BYTES};
use super::words::{Words, copy_line, first_difference};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::file;
use crate::units::format_size;

/// Which way a line moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From a node's cache.
    Home,
    /// To a node's cache.
    Fetch,
}

/// A file of the window, and as much of it as was mapped so far.
struct View {
    file: ShmFile,
    words: Option<Words>,
}

/// The files of the window that this process has open.
pub(super) struct Views {
    home: View,
    caches: BTreeMap<u64, View>,
}

impl Views {
    pub(super) fn new(home: ShmFile) -> Self {
        Self { home: View::new(home), caches: BTreeMap::new() }
    }
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

/// The lock of the link, in hand. Nothing moves without it.
pub(super) struct Held<'a> {
    link: &'a Link,
    views: MutexGuard<'a, Views>,
    /// The node whose files are known to be as long as they are mapped.
    reached: Option<u64>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.link.unlock();
    }
}

impl<'a> Held<'a> {
    /// With the lock in hand, within this process and among processes.
    pub(super) fn new(link: &'a Link, views: MutexGuard<'a, Views>) -> Self {
        Self { link, views, reached: None }
    }

    /// Moves the lines of a range between a node's cache and home, whoever writes them.
    pub(super) fn transfer(&mut self, node: u64, way: Way, range: Range<u64>) -> Result<()> {
        self.reach(node)?;
        let Some(cache) = self.views.caches.get(&node) else { return Ok(()) };
        let (cache, home) = (cache.get(range.clone()), self.views.home.get(range.clone()));
        let (from, to) = if way == Way::Home { (cache, home) } else { (home, cache) };
        let line_words = if self.link.shape.line_bytes == 64 { 8 } else { 16 };
        let mut off = range.start;
        for (from, to) in from.chunks_exact(line_words).zip(to.chunks_exact(line_words)) {
            if first_difference(from, to).is_some() {
                self.link.journaled(node, way, off, || copy_line(from, to));
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
        // Allocating would find out too, once it has taken all that there is from everybody else.
        let bytes = |part: Range<u64>| part.end.saturating_sub(part.start);
        let (wanted, had) =
            (backed.iter().cloned().map(bytes).sum::<u64>(), self.link.backed().map(bytes).sum());
        let wanted = wanted.saturating_sub(had).saturating_mul(started.len() as u64 + 1);
        if wanted > shm_file::free_bytes() {
            let text = format!("{} are needed, for home and {} caches", format_size(wanted), started.len());
            return Err(Error::new(ErrorKind::NoMemory, text));
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
        self.link.set_backed(self, backed);
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

    /// The cache of a node, if it is open here.
    pub(super) fn cache(&self, node: u64) -> Option<&ShmFile> {
        self.views.caches.get(&node).map(|view| &view.file)
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
