//! Devices: what a window of memory comes from, one file a device.
//!
//! A device opens a window (a file to map, an offset, a length), says honestly what its link needs for
//! coherence, and puts memory behind the window. It does not map, and does not know what the bytes mean.

pub(crate) mod shm;

use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use crate::arch::CacheOps;
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
    pub const GLOBAL: Self = Self {
        writer_writes_back: Roles { owner: false, borrower: false },
        reader_invalidates: Roles { owner: false, borrower: false },
        memory: MemoryType::WriteBack,
        line_bytes: 64,
    };
}

/// A window of memory.
pub(crate) trait Device: Send + Sync {
    /// What its link needs from software.
    fn coherence(&self) -> CoherenceReport;
    /// The cache instructions that work on it.
    fn cache_ops(&self) -> Box<dyn CacheOps>;
    /// The file to map, and the window's offset in it.
    fn file(&self) -> (&File, u64);
    /// Length of the window at the moment, in bytes.
    fn len_bytes(&self) -> Result<u64>;
    /// User id of the window's owner, where the system knows one.
    fn owner_uid(&self) -> Result<Option<u32>>;
    /// Permission bits for what belongs to the window, as the control file.
    fn mode(&self) -> u32;
    /// Page size the window is mapped with, in bytes.
    fn page_bytes(&self) -> u64;
    /// Lengthens the window, and puts memory behind `backed`: huge pages where `huge` asks for them and the
    /// kernel has them.
    ///
    /// # Errors
    /// `NoMemory` when there is not enough; `Unsupported` when the window is fixed.
    fn extend(&self, len_bytes: u64, backed: &[Range<u64>], huge: bool) -> Result<()>;
    /// Gives a window that was just created its name: before this nobody else can find it.
    ///
    /// # Errors
    /// `RegionExists` when the name was taken meanwhile.
    fn commit(&self) -> Result<()>;
    /// Where the processes of this host keep their proof of life for the region `uuid`.
    fn control_path(&self, uuid: &Uuid) -> PathBuf;
    /// Removes the name; those who have the window mapped keep it.
    fn remove(&self) -> Result<()>;
    /// Waits until what was written back has arrived where the link's other end reads.
    fn drain(&self) {}
}

/// Creates the window that `uri` names, of `len_bytes`, unnamed until [`Device::commit`].
pub(crate) fn create(uri: &Uri) -> Result<Arc<dyn Device>> {
    match uri.scheme() {
        Scheme::Shm => Ok(Arc::new(shm::Shm::create(uri)?)),
    }
}

/// Opens the window that `uri` names.
pub(crate) fn open(uri: &Uri, writable: bool) -> Result<Arc<dyn Device>> {
    match uri.scheme() {
        Scheme::Shm => Ok(Arc::new(shm::Shm::open(uri, writable)?)),
    }
}

/// What a creation holds while it chooses an address and until it has a name, so that no other one on this host
/// chooses the same.
pub(crate) fn creation_lock(uri: &Uri) -> Option<impl Drop> {
    match uri.scheme() {
        Scheme::Shm => shm::creation_lock(),
    }
}

/// The windows beside the one `uri` names on this host, as far as they can be seen: whoever creates a
/// region keeps clear of their addresses.
pub(crate) fn neighbours(uri: &Uri) -> Vec<Arc<dyn Device>> {
    match uri.scheme() {
        Scheme::Shm => shm::neighbours().map(|window| Arc::new(window) as Arc<dyn Device>).collect(),
    }
}
