//! A window of a device, mapped, without a region in it: what bring-up measures and tests a link with.

use std::ops::Range;
use std::sync::Arc;

use crate::arch::CacheOps;
use crate::cluster;
use crate::device::{self, CoherenceReport, Device, NODES_DEFAULT};
use crate::error::{Error, ErrorKind, Result};
use crate::map::{DEFAULT_BASE, Mapping, Part, Source};
use crate::units::{TIB, format_size};
use crate::uri::Uri;

/// Where windows are mapped unless base= or slot= says otherwise: above the slots of regions.
const SLOT_DEFAULT: u64 = 20;

/// A window of cluster memory as this node sees it. Everything in it may be stored to: a region that is there is
/// lost by that.
///
/// Each of the cache operations works whatever the device reports: a test of the report needs to do what is said to be
/// unnecessary, and to leave out what is said to be needed. They belong to the thread that calls them and are complete
/// at its next [`Window::fence`].
///
/// May be used from several threads at once.
pub struct Window {
    mapping: Mapping,
    cache: Box<dyn CacheOps>,
    device: Arc<dyn Device>,
    coherence: CoherenceReport,
    len_bytes: u64,
}

impl Window {
    /// Makes the window that `uri` names, of `size=` bytes, where the device makes windows (`shm:`, `incoherent:`,
    /// `file:`), and opens it as node 0. It has a name when this returns.
    ///
    /// # Errors
    /// [`ErrorKind::RegionExists`], [`ErrorKind::NoMemory`], [`ErrorKind::BadSize`] without a size, ...
    pub fn create(uri: &str) -> Result<Self> {
        let uri = cluster::uri(uri)?;
        let device = device::create(&uri)?;
        if device.is_new() {
            let Some(len) = uri.size("size")? else {
                let text = format!("region {:?}: a new window needs a size; add size=16M", uri.label());
                return Err(Error::new(ErrorKind::BadSize, text));
            };
            device.extend(len, std::slice::from_ref(&(0..len)), false)?;
        }
        let this = Self::map(&uri, device)?;
        this.device.commit()?;
        Ok(this)
    }

    /// Opens the window that `uri` names, as the node it says. On a simulated link each node writes the part that
    /// [`Window::part`] gives it.
    ///
    /// # Errors
    /// Those of opening the device, [`ErrorKind::AddressTaken`] where something else is mapped.
    pub fn open(uri: &str) -> Result<Self> {
        let uri = cluster::uri(uri)?;
        let device = device::open(&uri, true)?;
        Self::map(&uri, device)
    }

    fn map(uri: &Uri, device: Arc<dyn Device>) -> Result<Self> {
        let about = |e: Error| e.context(format_args!("region {:?}", uri.label()));
        let there = device.len_bytes()?;
        let len_bytes = uri.size("size")?.unwrap_or(there) / device.page_bytes() * device.page_bytes();
        if len_bytes == 0 || len_bytes > there.min(TIB) {
            let text = format!(
                "region {:?}: the window has {} here; say with size= how much of it to use, up to {}",
                uri.label(),
                if there == u64::MAX {
                    "a length that its device does not tell".to_owned()
                } else {
                    format_size(there)
                },
                format_size(TIB)
            );
            return Err(Error::new(ErrorKind::BadSize, text));
        }
        let slot = match uri.get("slot") {
            None | Some("auto") => SLOT_DEFAULT,
            Some(_) => uri.number("slot")?.unwrap_or(SLOT_DEFAULT),
        };
        let base = uri.number("base")?.unwrap_or(DEFAULT_BASE) + slot * TIB;
        let (file, off) = device.file();
        let source = Source { file, off, sync: device.is_mapped_sync() };
        let whole = [Part { range: 0..len_bytes, writable: true }];
        let mapping = Mapping::new(base, &source, &whole).map_err(about)?;
        let cache = device.cache_ops(mapping.base()).map_err(about)?;
        let nodes = uri.number("nodes")?.unwrap_or(NODES_DEFAULT);
        let parts: Vec<_> = (0..nodes).map(|node| (part(len_bytes, nodes, node), node)).collect();
        device.set_writers(&parts);
        // As for a region: whoever knows better than the device says so.
        let coherence = uri.choice("coherence", CoherenceReport::NAMED)?.unwrap_or(device.coherence());
        Ok(Self { mapping, cache, device, coherence, len_bytes })
    }

    /// The part of the window that `node` of `nodes` writes.
    #[must_use]
    pub fn part(&self, nodes: u64, node: u64) -> Range<u64> {
        part(self.len_bytes, nodes, node)
    }

    /// Address of its first byte. Valid while this lives; other processes and other hosts store to it.
    #[must_use]
    pub fn as_ptr(&self) -> *mut u8 {
        self.mapping.base()
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Bytes of the pages it is mapped in.
    #[must_use]
    pub fn page_bytes(&self) -> u64 {
        self.device.page_bytes()
    }

    /// Says anew which node writes what: ranges of offsets, in order and disjoint; what is in none is node 0's. Only a
    /// simulated link listens, and it moves lines accordingly: before a range passes from one node to another, both
    /// have invalidated and fenced it, and both say so before either stores to it.
    pub fn set_writers(&self, writers: &[(Range<u64>, u64)]) {
        self.device.set_writers(writers);
    }

    /// What its device, or else `coherence=`, says that the link needs.
    #[must_use]
    pub fn coherence(&self) -> CoherenceReport {
        self.coherence
    }

    /// Bytes of a line of this node's caches.
    #[must_use]
    pub fn line_bytes(&self) -> u64 {
        self.cache.line_bytes()
    }

    /// Starts to write the lines of a range (offsets) home.
    ///
    /// # Panics
    /// When the range does not lie in the window.
    pub fn write_back(&self, range: Range<u64>) {
        let (address, len) = self.at(&range);
        self.cache.write_back(address, len);
    }

    /// Starts to drop the lines of a range (offsets); dirty ones are written home.
    ///
    /// # Panics
    /// When the range does not lie in the window.
    pub fn invalidate(&self, range: Range<u64>) {
        let (address, len) = self.at(&range);
        self.cache.invalidate(address, len);
    }

    /// Completes what this thread started, before every later load and store.
    pub fn fence(&self) {
        self.cache.fence();
    }

    /// Waits until what was written back has arrived where the link's other end reads.
    pub fn drain(&self) {
        self.device.drain();
    }

    /// Removes a window that [`Window::create`] made: its name. Nothing is removed of a window that was there.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn remove(self) -> Result<()> {
        if self.device.is_new() { self.device.remove(self.len_bytes) } else { Ok(()) }
    }

    fn at(&self, range: &Range<u64>) -> (*const u8, u64) {
        assert!(range.start <= range.end && range.end <= self.len_bytes, "{range:?} is outside the window");
        (self.as_ptr().wrapping_add(crate::units::index(range.start)).cast_const(), range.end - range.start)
    }
}

/// Equal parts, of whole 128-byte lines; the last has the rest.
fn part(len_bytes: u64, nodes: u64, node: u64) -> Range<u64> {
    let step = len_bytes / nodes / 128 * 128;
    let end = if node + 1 == nodes { len_bytes } else { (node + 1) * step };
    node * step..end
}
