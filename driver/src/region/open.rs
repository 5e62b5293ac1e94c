//! Creating, opening, growing and destroying the bytes of a region.

use std::sync::Arc;

use memmap2::MmapOptions;
use uuid::Uuid;

use super::layout::{Layout, SLOT_BYTES, Shape};
use super::space::{Control, Space};
use super::superblock::{HugePages, SUPERBLOCK_BYTES, Superblock};
use crate::coherence::{Coherence, Part as StepPart, Step, does};
use crate::device::{self, CoherenceReport, Device};
use crate::error::{Error, ErrorKind, Result};
use crate::map::{DEFAULT_BASE, Mapping, PROMISED_SLOTS, Part};
use crate::sys::process;
use crate::uri::{Sort, Uri};

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

const DEFAULT_NAMES: u64 = 4096;
const DEFAULT_NODES: u64 = 8;
const DEFAULT_MEMBERS: u64 = 128;
const DEFAULT_LEASES: u64 = 4096;
const HUGE_PAGES: &[(&str, HugePages)] =
    &[("none", HugePages::None), ("thp", HugePages::Transparent), ("2M", HugePages::Reserved)];

fn shape_of(uri: &Uri) -> Result<Shape> {
    let Some(size_bytes) = uri.size("size")? else {
        let text = format!("region {:?} needs a size to be created; add ?size=1G", uri.label());
        return Err(Error::new(ErrorKind::BadSize, text));
    };
    Ok(Shape {
        size_bytes,
        max_bytes: uri.size("max")?.unwrap_or(size_bytes),
        nodes: uri.number("nodes")?.unwrap_or(DEFAULT_NODES),
        members: uri.number("members")?.unwrap_or(DEFAULT_MEMBERS),
        leases: uri.number("leases")?.unwrap_or(DEFAULT_LEASES),
        names: uri.number("catalog")?.unwrap_or(DEFAULT_NAMES),
    })
}

fn base_of(uri: &Uri) -> Result<u64> {
    let base = uri.number("base")?.unwrap_or(DEFAULT_BASE);
    if base == 0 || !base.is_multiple_of(SLOT_BYTES) {
        let e = uri.invalid("base", "use a multiple of 1 TiB (0x10000000000) above 0");
        return Err(e.with_kind(ErrorKind::BadAlignment));
    }
    Ok(base)
}

/// The slot asked for, or None for `auto`.
fn slot_of(uri: &Uri) -> Result<Option<u64>> {
    match uri.get("slot") {
        None | Some("auto") => Ok(None),
        Some(_) => match uri.number("slot")? {
            Some(slot) if slot < PROMISED_SLOTS => Ok(Some(slot)),
            _ => Err(uri.invalid("slot", format_args!("use auto or 0 to {}", PROMISED_SLOTS - 1))),
        },
    }
}

fn node_of(uri: &Uri, shape: &Shape) -> Result<u64> {
    let node = uri.number("node")?.unwrap_or(0);
    if node >= shape.nodes {
        return Err(
            uri.invalid("node", format_args!("this region has room for nodes 0 to {}", shape.nodes - 1))
        );
    }
    Ok(node)
}

/// Creates the region `uri` describes and opens it.
pub(crate) fn create(uri: &Uri) -> Result<Opened> {
    let about = |e: Error| e.context(format_args!("creating region {:?}", uri.label()));
    let shape = shape_of(uri)?;
    let layout = Layout::new(shape).map_err(about)?;
    let (base, slot) = (base_of(uri)?, slot_of(uri)?);
    let node = node_of(uri, &shape)?;
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
    let device = device::create(uri)?;
    let huge = huge_pages == HugePages::Transparent;
    device
        .extend(layout.window_bytes(shape.size_bytes), &layout.backed(shape.size_bytes), huge)
        .map_err(about)?;
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
    };
    let mapping = match slot {
        Some(_) => map(&*device, &superblock, &layout, node, true).map_err(about)?,
        None => map_anywhere(&*device, &mut superblock, &layout, &slots_in_use(base)).map_err(about)?,
    };
    let opened = finish(device, superblock, layout, mapping, node, true).map_err(about)?;
    opened.set_size(shape.size_bytes);
    opened.space.write_superblock(&opened.superblock.encode(&layout));
    Ok(opened)
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
    let (file, offset) = device.file();
    let page = usize::try_from(device.page_bytes()).unwrap_or(4096);
    // SAFETY: read once, into a private copy; that others may write meanwhile is what the checksum is for.
    let view = unsafe { MmapOptions::new().offset(offset).len(page).map(file) }
        .map_err(|e| Error::system("mmap of the superblock", e.raw_os_error().unwrap_or(0)))?;
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
    let mut bytes = [0; SUPERBLOCK_BYTES];
    bytes.copy_from_slice(&view[..SUPERBLOCK_BYTES]);
    Superblock::decode(&bytes, writable)
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
    check_options(uri, &opened.superblock)?;
    let node = node_of(uri, &opened.superblock.shape)?;
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

fn check_given(uri: &Uri) -> Result<()> {
    uri.given(Sort::Create).next().map_or(Ok(()), |option| {
        Err(uri.invalid(
            option,
            "this option shapes a new region and means nothing for one that exists; leave it out",
        ))
    })
}

fn read_only(uri: &Uri) -> Result<bool> {
    Ok(uri.choice("access", &[("rw", false), ("ro", true)])?.unwrap_or(false))
}

/// Opens the region `uri` names.
pub(crate) fn open(uri: &Uri) -> Result<Opened> {
    let about = |e: Error| e.context(format_args!("region {:?}", uri.label()));
    check_given(uri)?;
    let read_only = read_only(uri)?;
    // Even a reader writes: its lease.
    let device = device::open(uri, true)?;
    let (superblock, layout) = peek(&*device, !read_only).map_err(about)?;
    check_owner(uri, &*device, &superblock)?;
    check_options(uri, &superblock)?;
    check_len(&*device, &layout, superblock.shape.size_bytes).map_err(about)?;
    let node = node_of(uri, &superblock.shape)?;
    let writable = node == superblock.owner_node && !read_only;
    let mapping = map(&*device, &superblock, &layout, node, writable).map_err(about)?;
    let opened = finish(device, superblock, layout, mapping, node, writable).map_err(about)?;
    opened.space.hear_size();
    opened.check_size().map_err(about)?;
    Ok(opened)
}

/// A name in a shared directory can be taken by anybody first: the region must be the expected user's.
fn check_owner(uri: &Uri, device: &dyn Device, superblock: &Superblock) -> Result<()> {
    let Some(uid) = device.owner_uid()? else { return Ok(()) };
    let expected = match uri.number("owner")? {
        Some(owner) => owner,
        None => process::effective_uid().into(),
    };
    if u64::from(uid) == expected && superblock.owner_uid == uid {
        return Ok(());
    }
    let text = format!(
        "region {:?} belongs to user {uid} (its superblock says {}), not to user {expected}; if you trust that user, open it with owner={uid}",
        uri.label(),
        superblock.owner_uid
    );
    Err(Error::new(ErrorKind::NotYours, text))
}

/// Options that shaped the region must agree with it where they are given again.
fn check_options(uri: &Uri, superblock: &Superblock) -> Result<()> {
    let mismatch = |option: &str, given: String, there: String| {
        let text = format!(
            "region {:?}: {option}={given} was asked for, but the region has {option}={there}; leave the option out, or create the region anew",
            uri.label()
        );
        Error::new(ErrorKind::OptionMismatch, text)
    };
    let shape = &superblock.shape;
    let checks = [
        ("size", uri.size("size")?, shape.size_bytes),
        ("max", uri.size("max")?, shape.max_bytes),
        ("base", uri.number("base")?, superblock.base),
        ("slot", slot_of(uri)?, superblock.slot),
        ("catalog", uri.number("catalog")?, shape.names),
        ("nodes", uri.number("nodes")?, shape.nodes),
        ("members", uri.number("members")?, shape.members),
        ("leases", uri.number("leases")?, shape.leases),
    ];
    for (option, given, there) in checks {
        if let Some(given) = given.filter(|given| *given != there) {
            return Err(mismatch(option, given.to_string(), there.to_string()));
        }
    }
    let coherence = uri.choice("coherence", CoherenceReport::NAMED)?;
    if let Some(given) =
        coherence.filter(|given| *given != superblock.coherence.unwrap_or(CoherenceReport::GLOBAL))
    {
        let word = |report| {
            CoherenceReport::NAMED
                .iter()
                .find(|(_, named)| *named == report)
                .map_or("", |(word, _)| word)
                .to_owned()
        };
        return Err(mismatch(
            "coherence",
            word(given),
            word(superblock.coherence.unwrap_or(CoherenceReport::GLOBAL)),
        ));
    }
    match uri.choice("hugepages", HUGE_PAGES)? {
        Some(given) if given != superblock.huge_pages => {
            let word =
                HUGE_PAGES.iter().find(|(_, h)| *h == superblock.huge_pages).map_or("", |(word, _)| word);
            Err(mismatch("hugepages", uri.get("hugepages").unwrap_or_default().to_owned(), word.to_owned()))
        }
        _ => Ok(()),
    }
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
    let (file, offset) = device.file();
    let end = layout.window_bytes(layout.shape.max_bytes);
    let own = if layout.node_stride.is_multiple_of(device.page_bytes()) {
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
    parts.retain(|part| !part.range.is_empty());
    let mapping = Mapping::new(superblock.address(), file, offset, &parts)?;
    if superblock.huge_pages == HugePages::Transparent {
        mapping.use_huge_pages(0..end)?;
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
    let report = superblock.coherence.unwrap_or_else(|| device.coherence());
    let cache = Coherence::new(device.clone(), &report, mapping.base(), node, owner)?;
    device.set_writers(&layout.writers(owner));
    let space = Arc::new(Space::new(Arc::new(mapping), layout, device.clone(), cache, owner));
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
