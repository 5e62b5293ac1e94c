//! Creating, opening, growing and destroying the bytes of a region.

use std::sync::Arc;

use memmap2::{Mmap, MmapOptions};
use uuid::Uuid;

use super::layout::{CHUNK_BYTES, Layout, ZONE_BYTES};
use super::options::{
    HUGE_PAGES, base_of, check_given, check_options, check_owner, read_only, shape_of, slot_of,
};
use super::space::{Control, Space};
use super::superblock::{HugePages, SUPERBLOCK_BYTES, Superblock};
use crate::coherence::{Coherence, Part as StepPart, Step, does};
use crate::device::{self, CoherenceReport, Device, MemoryType};
use crate::error::{Error, ErrorKind, Result};
use crate::map::{self, Mapping, PROMISED_SLOTS, Part, Source};
use crate::sys::process;
use crate::units::index;
use crate::uri::Uri;

/// Bytes at the beginning of a window that are nothing but zeroes when it holds nothing, whatever its pages are.
const EMPTY_BYTES: usize = 4096;

/// A region's bytes, mapped, and what they come from.
pub(crate) struct Opened {
    pub(crate) superblock: Superblock,
    pub(crate) space: Arc<Space>,
    pub(crate) device: Arc<dyn Device>,
    pub(crate) node: u64,
    /// What the nodes do for coherence.
    pub(crate) coherence: CoherenceReport,
    /// This process may store to the owner's zones: it runs on the owner node and asked for `rw`.
    pub(crate) writable: bool,
}

/// Creates the region `uri` describes and opens it.
pub(crate) fn create(uri: &Uri) -> Result<Opened> {
    let about = |e: Error| e.context(format_args!("creating region {:?}", uri.label()));
    let device = device::create(uri)?;
    let shape = shape_of(uri, &*device)?;
    let layout = Layout::new(shape).map_err(about)?;
    let (base, slot) = (base_of(uri)?, slot_of(uri)?);
    let node = uri.node(shape.nodes)?;
    let huge_pages = uri.choice("hugepages", HUGE_PAGES)?.unwrap_or(HugePages::None);
    let coherence = uri.choice("coherence", CoherenceReport::NAMED)?;
    if node != 0 {
        return Err(uri.invalid("node", "a region is created by the node that owns it, node 0"));
    }
    if read_only(uri)? {
        return Err(
            uri.invalid("access", "a region is created by a process that writes; create it, then open it so")
        );
    }
    let overwrite = uri.choice("overwrite", &[("no", false), ("yes", true)])?.unwrap_or(false);
    if !device.is_new() {
        check_vacant(uri, &*device, overwrite)?;
    }
    let huge = huge_pages == HugePages::Transparent;
    device
        .extend(layout.window_bytes(shape.size_bytes), &layout.backed(shape.size_bytes), huge)
        .map_err(about)?;
    device.clear(layout.data_off).map_err(about)?;
    let owner_uid = device.owner_uid()?.unwrap_or_else(process::effective_uid);
    let mut superblock = Superblock {
        uuid: Uuid::new_v4(),
        base,
        slot: slot.unwrap_or(0),
        shape,
        huge_pages,
        coherence,
        owner_uid,
        owner_node: 0,
        created_unix_ns: process::unix_ns(),
        in_window: !device.is_new(),
    };
    let mapping = match slot {
        Some(_) => map(&*device, &superblock, &layout, node, true).map_err(about)?,
        None => map_anywhere(&*device, &mut superblock, &layout, &slots_in_use(base)).map_err(about)?,
    };
    let opened = finish(device, superblock, layout, mapping, node, true).map_err(about)?;
    opened.set_size(shape.size_bytes);
    Ok(opened)
}

/// Nothing may be lost in a window that is there already: not a region, and nothing else unless that was asked for.
fn check_vacant(uri: &Uri, device: &dyn Device, overwrite: bool) -> Result<()> {
    check_memory_type(uri, device)?;
    let label = uri.label();
    match peek(device, false) {
        Ok((superblock, _)) => {
            let text = format!(
                "region {label:?} is there already ({}); open it, or remove it with: csm destroy '{uri}'",
                superblock.uuid
            );
            Err(Error::new(ErrorKind::RegionExists, text))
        }
        Err(e) if e.kind() == ErrorKind::LayoutMismatch => Err(e.context(format_args!("region {label:?}"))),
        Err(e) if e.kind() == ErrorKind::System => Err(e),
        Err(_) if overwrite || is_empty(&view(device)?) => Ok(()),
        Err(_) => {
            let text = format!(
                "region {label:?}: the window holds something that is no region; if that may be lost, add overwrite=yes"
            );
            Err(Error::new(ErrorKind::InvalidArgument, text))
        }
    }
}

/// Slots that other regions of this host use, so that one process can open them all.
fn slots_in_use(base: u64) -> Vec<u64> {
    let windows = device::neighbours();
    let used = windows.iter().filter_map(|window| peek(&**window, false).ok());
    used.filter(|(superblock, _)| superblock.base == base).map(|(superblock, _)| superblock.slot).collect()
}

/// Maps into the first slot that is free here and that no neighbour uses; failing that, one that is free here.
fn map_anywhere(
    device: &dyn Device,
    superblock: &mut Superblock,
    layout: &Layout,
    used: &[u64],
) -> Result<Mapping> {
    let (fresh, shared): (Vec<u64>, Vec<u64>) = (0..PROMISED_SLOTS).partition(|slot| !used.contains(slot));
    let mut last = None;
    for slot in fresh.into_iter().chain(shared) {
        superblock.slot = slot;
        match map(device, superblock, layout, superblock.owner_node, true) {
            Err(e) if e.kind() == ErrorKind::AddressTaken => last = Some(e),
            result => return result,
        }
    }
    Err(last.unwrap_or_else(|| Error::new(ErrorKind::AddressTaken, "no slot is free")))
}

/// Reads a region's superblock without mapping the region.
pub(crate) fn peek(device: &dyn Device, writable: bool) -> Result<(Superblock, Layout)> {
    let len = device.len_bytes()?;
    if len < SUPERBLOCK_BYTES as u64 {
        let text =
            format!("it has {len} bytes, less than a superblock; it is something else, or was truncated");
        return Err(Error::new(ErrorKind::NotARegion, text));
    }
    let view = view(device)?;
    let mut bytes = [0; SUPERBLOCK_BYTES];
    bytes.copy_from_slice(&view[..SUPERBLOCK_BYTES]);
    Superblock::decode(&bytes, writable)
}

/// The first page of a window as it is at home, to be copied from before it is looked at.
fn view(device: &dyn Device) -> Result<Mmap> {
    let (file, offset) = device.file();
    // SAFETY: read once, into a private copy; that others may write meanwhile is what the checksum is for.
    let view = unsafe { MmapOptions::new().offset(offset).len(index(device.page_bytes())).map(file) }
        .map_err(|e| {
            let call = format_args!("mmap of the window's first {} bytes at {offset}", device.page_bytes());
            Error::system(call, e.raw_os_error().unwrap_or(0))
        })?;
    if device.coherence() != CoherenceReport::GLOBAL {
        // Nothing is open yet that could do this; an own copy that is new already is none the worse for it.
        let cache = device.cache_ops(view.as_ptr())?;
        if does(Step::SuperblockIn, StepPart::Invalidate) {
            cache.invalidate(view.as_ptr(), SUPERBLOCK_BYTES as u64);
        }
        if does(Step::SuperblockIn, StepPart::Fence) {
            cache.fence();
        }
    }
    Ok(view)
}

/// Whether nothing is where a superblock would be. Behind it, in the same large page, a creation that failed may have
/// left metadata, which nothing leads to.
fn is_empty(view: &[u8]) -> bool {
    view.iter().take(EMPTY_BYTES).all(|byte| *byte == 0)
}

/// What is wrong with a window that has no region: nothing, where it is empty.
pub(crate) fn not_found(uri: &Uri, device: &dyn Device, e: Error) -> Error {
    let label = uri.label();
    let empty = || view(device).is_ok_and(|view| is_empty(&view));
    if e.kind() == ErrorKind::NotARegion && !device.is_new() && empty() {
        let text = format!(
            "region {label:?} is not there: the window is empty; create it on the node that owns it, with: csm create '{uri}'"
        );
        return Error::new(ErrorKind::RegionNotFound, text);
    }
    e.context(format_args!("region {label:?}"))
}

/// The identity of the region `uri` names; None when there is none or it does not say.
pub(crate) fn find(uri: &Uri) -> Result<Option<Uuid>> {
    let device = match device::open(uri, true) {
        Ok(device) => device,
        Err(e) if e.kind() == ErrorKind::RegionNotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    Ok(peek(&*device, false).ok().map(|(superblock, _)| superblock.uuid))
}

/// Checks the options of a second opening against what this process has open.
pub(crate) fn check_again(uri: &Uri, opened: &Opened) -> Result<()> {
    check_given(uri)?;
    check_owner(uri, &*opened.device, &opened.superblock)?;
    check_options(uri, &*opened.device, &opened.superblock)?;
    let node = uri.node(opened.superblock.shape.nodes)?;
    let writable = node == opened.superblock.owner_node && !read_only(uri)?;
    if (node, writable) != (opened.node, opened.writable) {
        let text = format!(
            "region {:?} is open in this process already, as node {} with access={}; close it first, or use the same",
            uri.label(),
            opened.node,
            if opened.writable { "rw" } else { "ro" }
        );
        return Err(Error::new(ErrorKind::OptionMismatch, text));
    }
    Ok(())
}

/// Opens the region `uri` names.
pub(crate) fn open(uri: &Uri) -> Result<Opened> {
    let about = |e: Error| e.context(format_args!("region {:?}", uri.label()));
    check_given(uri)?;
    let read_only = read_only(uri)?;
    // Even a reader writes: its lease.
    let device = device::open(uri, true)?;
    let (superblock, layout) = peek(&*device, !read_only).map_err(|e| not_found(uri, &*device, e))?;
    check_window(uri, &*device, &superblock)?;
    check_owner(uri, &*device, &superblock)?;
    check_options(uri, &*device, &superblock)?;
    check_memory_type(uri, &*device)?;
    check_len(&*device, &layout, superblock.shape.size_bytes).map_err(about)?;
    let node = uri.node(superblock.shape.nodes)?;
    let writable = node == superblock.owner_node && !read_only;
    let mapping = map(&*device, &superblock, &layout, node, writable).map_err(about)?;
    let opened = finish(device, superblock, layout, mapping, node, writable).map_err(about)?;
    opened.space.hear_size();
    opened.check_size().map_err(about)?;
    Ok(opened)
}

/// A file can be a region's own or a window: processes that take it for different things would not see each other.
pub(crate) fn check_window(uri: &Uri, device: &dyn Device, superblock: &Superblock) -> Result<()> {
    if superblock.in_window != device.is_new() {
        return Ok(());
    }
    let (what, advice) = if superblock.in_window {
        ("in a window that was there before it", "add fixed=yes")
    } else {
        ("in a file that was made with it", "leave fixed=yes out")
    };
    let text = format!("region {:?} is {what}: {advice}", uri.label());
    Err(Error::new(ErrorKind::OptionMismatch, text))
}

/// Metadata is changed by atomic instructions, which uncached memory does not take everywhere.
fn check_memory_type(uri: &Uri, device: &dyn Device) -> Result<()> {
    if device.coherence().memory == MemoryType::WriteBack || cfg!(target_arch = "x86_64") {
        return Ok(());
    }
    let text = format!(
        "region {:?}: this window is mapped uncached, where atomic instructions fail on {}: no region is kept there; use a          device whose memory is cached (dax:, thymesisflow:), or this window for messages alone",
        uri.label(),
        std::env::consts::ARCH
    );
    Err(Error::new(ErrorKind::Unsupported, text))
}

/// Maps what this process stores to writable, and the rest read-only: the zone of its node, and the owner's zones
/// if it is `writable`. Where pages are too large to tell the nodes' zones apart, all of these are.
fn map(
    device: &dyn Device,
    superblock: &Superblock,
    layout: &Layout,
    node: u64,
    writable: bool,
) -> Result<Mapping> {
    if layout.shape.protect {
        map::check_pages(device.page_bytes(), CHUNK_BYTES)?;
    }
    let (file, offset) = device.file();
    let page = device.page_bytes();
    let end = layout.window_bytes(layout.shape.max_bytes).next_multiple_of(page);
    let own = if layout.node_stride.is_multiple_of(page) {
        layout.node_off(node)..layout.node_off(node + 1)
    } else {
        layout.nodes_off..layout.data_off
    };
    let mut parts = vec![
        Part { range: 0..layout.nodes_off, writable },
        Part { range: layout.nodes_off..own.start, writable: false },
        Part { range: own.clone(), writable: true },
        Part { range: own.end..layout.data_off, writable: false },
        // Mapped up to the maximum: what is beyond the file's end appears there when the region grows.
        Part { range: layout.data_off..end, writable },
    ];
    if page > ZONE_BYTES {
        // Zones share pages.
        parts = vec![Part { range: 0..end, writable: true }];
    }
    parts.retain(|part| !part.range.is_empty());
    let source = Source { file, off: offset, sync: device.is_mapped_sync() };
    let mut mapping = Mapping::new(superblock.address(), &source, &parts)?;
    if superblock.huge_pages == HugePages::Transparent {
        mapping.use_huge_pages(0..end)?;
    }
    // A process that writes has extents of its own among those it reads.
    if layout.shape.protect && !writable {
        mapping.guard(layout.data_off..end, CHUNK_BYTES)?;
    }
    Ok(mapping)
}

fn finish(
    device: Arc<dyn Device>,
    superblock: Superblock,
    layout: Layout,
    mapping: Mapping,
    node: u64,
    writable: bool,
) -> Result<Opened> {
    let owner = superblock.owner_node;
    let of_device = device.coherence();
    let asked = superblock.coherence.map(|report| CoherenceReport { memory: of_device.memory, ..report });
    let report = asked.unwrap_or(of_device);
    let cache = Coherence::new(device.clone(), &report, mapping.base(), node, owner)?;
    device.set_writers(&layout.writers(owner));
    let life = if device.is_new() { 0 } else { superblock.uuid.as_u64_pair().1 | 1 };
    let space = Arc::new(Space::new(Arc::new(mapping), layout, device.clone(), cache, owner, life));
    Ok(Opened { superblock, space, device, node, coherence: report, writable })
}

/// The memory must reach as far as the size says, or a load beyond it would be a SIGBUS.
fn check_len(device: &dyn Device, layout: &Layout, size_bytes: u64) -> Result<()> {
    let (needed, there) = (layout.window_bytes(size_bytes), device.len_bytes()?);
    if there < needed {
        let text = format!(
            "it has {there} bytes where {needed} must be: it was truncated; destroy it and create it anew"
        );
        return Err(Error::new(ErrorKind::Truncated, text));
    }
    Ok(())
}

impl Opened {
    /// Checks the size that the owner says the region has now.
    pub(crate) fn check_size(&self) -> Result<()> {
        let size_bytes = self.space.noted(Control::Size);
        let shape = &self.superblock.shape;
        if size_bytes < shape.size_bytes
            || size_bytes > shape.max_bytes
            || !size_bytes.is_multiple_of(super::layout::ZONE_BYTES)
        {
            let text = format!(
                "its size field says {size_bytes} bytes, which cannot be; it was overwritten: create it anew"
            );
            return Err(Error::new(ErrorKind::Corrupt, text));
        }
        check_len(&*self.device, self.space.layout(), size_bytes)
    }

    /// Writes the superblock of a new region: from here on it can be found where it has no name to be given.
    pub(crate) fn write_superblock(&self) {
        self.space.write_superblock(&self.superblock.encode(self.space.layout()));
    }

    /// Makes the size known. The memory is there.
    pub(crate) fn set_size(&self, size_bytes: u64) {
        self.space.control(Control::Size).store(size_bytes);
        self.space.coherence().release(Step::SizeHome, &[self.space.control_line(Control::Size)]);
    }

    /// Puts memory behind a larger region. The caller makes it known and holds the heap lock.
    pub(crate) fn extend(&self, size_bytes: u64) -> Result<()> {
        let layout = self.space.layout();
        let now = self.space.size_bytes();
        let max = self.superblock.shape.max_bytes;
        if size_bytes <= now || size_bytes > max || !size_bytes.is_multiple_of(super::layout::ZONE_BYTES) {
            let text = format!(
                "cannot grow from {now} to {size_bytes} bytes: the new size must be a multiple of 2 MiB, above the old one and at most max={max}"
            );
            return Err(Error::new(ErrorKind::BadSize, text));
        }
        let huge = self.superblock.huge_pages == HugePages::Transparent;
        self.device.extend(layout.window_bytes(size_bytes), &layout.backed(size_bytes), huge)
    }
}
