//! Devices: what a window of memory comes from, one file a device.
//!
//! A device opens a window (a file to map, an offset, a length), says honestly what its link needs for
//! coherence, and puts memory behind the window. It does not map, and does not know what the bytes mean.

mod dax;
mod file;
mod incoherent;
mod shm;
mod shm_file;
mod thymesisflow;
pub mod vfio;
mod window;

use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use crate::arch::{self, CacheOps};
use crate::error::Result;
use crate::uri::{Scheme, Uri};

/// Whether the owner and the borrowers of a region must do a thing themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// The node that owns the region.
    pub owner: bool,
    /// Every other node.
    pub borrower: bool,
}

impl Roles {
    const NONE: Self = Self { owner: false, borrower: false };

    /// What is asked of a node, which owns the region or borrows it.
    #[must_use]
    pub const fn of(self, owns: bool) -> bool {
        if owns { self.owner } else { self.borrower }
    }
}

/// How the window is mapped on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryType {
    /// Ordinary cached memory.
    WriteBack,
    /// Stores are gathered, loads go out.
    WriteCombining,
    /// Every access goes out: no atomics on POWER or ARM, so no heap there.
    Uncached,
}

/// Nodes that a region has room for unless its URI says otherwise, and the most there can be.
pub(crate) const NODES_DEFAULT: u64 = 8;
pub(crate) const NODES_MAX: u64 = 4096;

/// What a link needs from software, per direction and role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoherenceReport {
    /// Who must write back what it stored before another node can see it.
    pub writer_writes_back: Roles,
    /// Who must invalidate before it can see what another node stored.
    pub reader_invalidates: Roles,
    /// How the window is mapped.
    pub memory: MemoryType,
    /// Bytes the link moves at once.
    pub line_bytes: u64,
}

impl CoherenceReport {
    /// One host, or a link that hardware keeps coherent: nothing to do for anybody.
    pub const GLOBAL: Self = Self::of(Roles::NONE, 64);
    /// The owner's hardware answers for it (ThymesisFlow's memory side): the borrowers' caches alone lie.
    pub const LENDER: Self = Self::of(Roles { owner: false, borrower: true }, 128);
    /// Coherent inside each host alone (memory outside of all of them): everybody does everything.
    pub const LOCAL: Self = Self::of(Roles { owner: true, borrower: true }, 128);

    /// A window that no host caches: what is stored is home once something was read back, and loads are never old.
    pub(crate) const fn not_cached(memory: MemoryType) -> Self {
        let all = Roles { owner: true, borrower: true };
        Self { writer_writes_back: all, reader_invalidates: Roles::NONE, memory, line_bytes: 64 }
    }

    /// The words by which URIs name these reports.
    pub(crate) const NAMED: &'static [(&'static str, Self)] =
        &[("gc", Self::GLOBAL), ("lender", Self::LENDER), ("lc", Self::LOCAL)];

    /// The word for this report; empty for one that has none.
    pub(crate) fn name(&self) -> &'static str {
        Self::NAMED.iter().find(|(_, named)| named == self).map_or("", |(name, _)| name)
    }

    const fn of(roles: Roles, line_bytes: u64) -> Self {
        let memory = MemoryType::WriteBack;
        Self { writer_writes_back: roles, reader_invalidates: roles, memory, line_bytes }
    }
}

/// Where a node's view of the window and the home of its lines disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// Offset of the first differing byte in the window.
    pub(crate) off: u64,
    /// Whose lines these are: the node that writes them.
    pub(crate) writer: u64,
    /// What the writer stored is not home; else this node's view of it is old.
    pub(crate) not_home: bool,
}

/// A window of memory.
pub(crate) trait Device: Send + Sync {
    /// What its link needs from software.
    fn coherence(&self) -> CoherenceReport;
    /// The cache instructions that work on the window where it is mapped at `base`, from its first byte on.
    fn cache_ops(&self, base: *const u8) -> Result<Box<dyn CacheOps>>;
    /// The file to map, and the window's offset in it.
    fn file(&self) -> (&File, u64);
    /// Whether the file is to be mapped with MAP_SYNC: then the kernel keeps no copy of it.
    fn is_mapped_sync(&self) -> bool {
        false
    }
    /// Whether creating the window makes it, all zeroes, under a name: else it is there already, may hold anything,
    /// and a region is in it when its superblock is.
    fn is_new(&self) -> bool {
        true
    }
    /// Whether the name alone shows that what is there is a region's, however damaged.
    fn is_marked(&self) -> bool {
        true
    }
    /// Length of the window at the moment, in bytes.
    fn len_bytes(&self) -> Result<u64>;
    /// User id of the window's owner, where the system knows one.
    fn owner_uid(&self) -> Result<Option<u32>>;
    /// Permission bits for what belongs to the window, as the control files.
    fn mode(&self) -> Result<u32>;
    /// Page size the window is mapped with, in bytes.
    fn page_bytes(&self) -> u64;
    /// Lengthens the window, and puts memory behind `backed`: huge pages where `huge` asks for them and the
    /// kernel has them.
    ///
    /// # Errors
    /// `NoMemory` when there is not enough; `Unsupported` when the window is fixed.
    fn extend(&self, len_bytes: u64, backed: &[Range<u64>], huge: bool) -> Result<()>;
    /// Makes the first bytes of a window that is not new zeroes, home.
    fn clear(&self, _len_bytes: u64) -> Result<()> {
        Ok(())
    }
    /// Gives a window that was just created its name: before this nobody else can find it.
    ///
    /// # Errors
    /// `RegionExists` when the name was taken meanwhile.
    fn commit(&self) -> Result<()>;
    /// Where the processes of `node` keep their proof of life.
    fn control_path(&self, uuid: &Uuid, node: u64) -> PathBuf;
    /// The control files of all nodes that this host keeps.
    fn control_paths(&self, uuid: &Uuid) -> Result<Vec<PathBuf>>;
    /// Whether one kernel sees the processes of all nodes, so that one control file serves all.
    fn is_one_host(&self) -> bool;
    /// Which start of this node it is: another number after each, never 0.
    fn boot(&self) -> Result<u64>;
    /// Removes the region, which takes `len_bytes` of the window: its name; or what the window holds of it, and what
    /// this host's caches do. Those who have a named window mapped keep it.
    fn remove(&self, len_bytes: u64) -> Result<()>;
    /// Waits until what was written back has arrived where the link's other end reads.
    fn drain(&self) {}
    /// Says which node writes which part of the window: offsets, in order, the whole window.
    fn set_writers(&self, _writers: &[(Range<u64>, u64)]) {}
    /// Compares this node's view of a range with its home, and the writer's view too, where a device can.
    fn audit(&self, _range: Range<u64>) -> Option<Flaw> {
        None
    }
    /// Whether the link failed: what is loaded from now on means nothing.
    fn is_lost(&self) -> bool {
        false
    }
}

/// Creates the window that `uri` names, of `len_bytes`, unnamed until [`Device::commit`].
pub(crate) fn create(uri: &Uri) -> Result<Arc<dyn Device>> {
    match uri.scheme() {
        Scheme::Shm => Ok(Arc::new(shm::Shm::create(uri)?)),
        Scheme::Incoherent => Ok(Arc::new(incoherent::Incoherent::create(uri)?)),
        Scheme::File => Ok(file::create(uri)?.into()),
        _ => open(uri, true),
    }
}

/// Opens the window that `uri` names.
pub(crate) fn open(uri: &Uri, writable: bool) -> Result<Arc<dyn Device>> {
    match uri.scheme() {
        Scheme::Shm => Ok(Arc::new(shm::Shm::open(uri, writable)?)),
        Scheme::Incoherent => Ok(Arc::new(incoherent::Incoherent::open(uri, writable)?)),
        Scheme::File => Ok(file::open(uri, writable)?.into()),
        Scheme::Dax => Ok(Arc::new(dax::open(uri)?)),
        Scheme::ThymesisFlow => Ok(Arc::new(thymesisflow::open(uri)?)),
        Scheme::Vfio => Ok(Arc::new(vfio::open(uri)?)),
    }
}

/// The cache instruction that `uri` asks for, which this machine has; None for the best one.
fn flush_of(uri: &Uri) -> Result<Option<String>> {
    let choice = uri.get("flush").filter(|choice| *choice != "auto");
    if choice.is_some() {
        arch::native(choice).map_err(|e| e.context(format_args!("region {:?}", uri.label())))?;
    }
    Ok(choice.map(ToOwned::to_owned))
}

/// What a creation holds while it chooses an address and until it has a name, so that no other one on this host
/// chooses the same.
pub(crate) fn creation_lock() -> Option<impl Drop> {
    shm::creation_lock()
}

/// The windows of this host that can be seen: whoever creates a region keeps clear of their addresses.
pub(crate) fn neighbours() -> Vec<Arc<dyn Device>> {
    let shared = shm::neighbours().map(|window| Arc::new(window) as Arc<dyn Device>);
    shared.chain(incoherent::neighbours().map(|window| Arc::new(window) as Arc<dyn Device>)).collect()
}
