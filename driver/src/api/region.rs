//! A region as its users see it.
#![allow(unsafe_code, reason = "extents and structs by pointer")]

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::coherence::Step;
use crate::device::CoherenceReport;
use crate::error::{Error, ErrorKind, Result};
use crate::member::MemberInfo;
use crate::region::superblock::LAYOUT_VERSION;
use crate::stats::RegionStats;
use crate::sys::process;
use crate::table::cdata::{ArrowArray, ArrowArrayStream, ArrowSchema};
use crate::table::tables::Tables;
use crate::table::{
    NodeInfo, OpenOptions, PublishOptions, Published, Table, TableInfo, TableLease, VerifyReport,
};

/// An open region. Clones share it; any thread may use it. The last handle to go, and the last array read
/// from the region, leaves it.
#[derive(Clone)]
pub struct Region {
    tables: Arc<Tables>,
    closed: Arc<AtomicBool>,
}

/// What a region is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionInfo {
    /// The URI without options.
    pub label: String,
    /// Its identity, new with every creation.
    pub uuid: String,
    /// Address of its first byte, on every node.
    pub base: u64,
    /// Its slot of address space.
    pub slot: u64,
    /// Bytes in use, metadata included.
    pub size_bytes: u64,
    /// Bytes it may grow to.
    pub max_bytes: u64,
    /// Bytes of its data zone.
    pub data_bytes: u64,
    /// Bytes of its metadata.
    pub metadata_bytes: u64,
    /// Node of this process.
    pub node: u64,
    /// Node that owns the region.
    pub owner_node: u64,
    /// Nodes it has room for.
    pub nodes: u64,
    /// Processes a node it has room for.
    pub members: u64,
    /// Names its catalog has room for.
    pub names: u64,
    /// Version of its layout.
    pub layout_version: u32,
    /// What the device's link needs from software.
    pub coherence: CoherenceReport,
    /// Whether this process may allocate and publish.
    pub writable: bool,
    /// When it was created, in nanoseconds since the epoch.
    pub created_unix_ns: u64,
}

impl Region {
    pub(super) fn new(tables: Arc<Tables>) -> Self {
        Self { tables, closed: Arc::new(AtomicBool::new(false)) }
    }

    /// The open region, if this handle may use it.
    #[inline]
    fn open(&self) -> Result<&Arc<Tables>> {
        if self.closed.load(Ordering::Relaxed) || self.tables.forks != process::fork_count() {
            return Err(self.unusable());
        }
        self.tables.space.check_alive()?;
        Ok(&self.tables)
    }

    #[cold]
    fn unusable(&self) -> Error {
        let label = &self.tables.label;
        if self.closed.load(Ordering::Relaxed) {
            return Error::new(ErrorKind::Closed, format!("region {label:?} was closed; open it again"));
        }
        let text =
            format!("region {label:?} was opened by the process this one was forked from; open it here");
        Error::new(ErrorKind::Forked, text)
    }

    /// Closes this handle and its clones: later calls answer [`ErrorKind::Closed`]. Arrays that were read
    /// stay valid.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// What the region is.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`], [`ErrorKind::Forked`], [`ErrorKind::RegionLost`]: as every call on a region.
    pub fn info(&self) -> Result<RegionInfo> {
        let tables = self.open()?;
        let (superblock, space) = (&tables.opened.superblock, &tables.space);
        space.hear_size();
        let (size_bytes, data_bytes) = (space.size_bytes(), space.data_bytes());
        Ok(RegionInfo {
            label: tables.label.clone(),
            uuid: tables.uuid.to_string(),
            base: space.base(),
            slot: superblock.slot,
            size_bytes,
            max_bytes: superblock.shape.max_bytes,
            data_bytes,
            metadata_bytes: size_bytes - data_bytes,
            node: tables.member.node(),
            owner_node: superblock.owner_node,
            nodes: superblock.shape.nodes,
            members: superblock.shape.members,
            names: superblock.shape.names,
            layout_version: LAYOUT_VERSION,
            coherence: tables.opened.coherence,
            writable: tables.opened.writable,
            created_unix_ns: superblock.created_unix_ns,
        })
    }

    /// How full the region is.
    ///
    /// # Errors
    /// As [`Region::info`].
    pub fn stats(&self) -> Result<RegionStats> {
        self.open()?.stats()
    }

    /// The processes that have the region open, the dead that nobody cleared up after included.
    ///
    /// # Errors
    /// As [`Region::info`].
    pub fn members(&self) -> Result<Vec<MemberInfo>> {
        Ok(self.open()?.members())
    }

    /// The nodes that ever had the region open: who reads, who is silent, who was fenced.
    ///
    /// # Errors
    /// As [`Region::info`].
    pub fn nodes(&self) -> Result<Vec<NodeInfo>> {
        self.open()?.nodes()
    }

    /// Declares that `node` is off, which is the caller's word for it: its leases count no more, and what they alone
    /// protected is used anew. A node that is not off reads other tables' bytes from then on;
    /// [`Table::check`](crate::Table::check) tells it.
    ///
    /// # Errors
    /// [`ErrorKind::NotOwner`], [`ErrorKind::ReadOnly`]; [`ErrorKind::InvalidArgument`] for the owner's node, and one that
    /// never had the region open.
    pub fn fence_node(&self, node: u64) -> Result<()> {
        self.open()?.fence_node(node)
    }

    /// Brings `len` bytes at `address` home, so that other nodes can see them once they acquire them. Publishing
    /// does this for a table's bytes, so that nobody needs to: this is for programs that share raw extents.
    /// Only the owner's processes can have written there.
    ///
    /// # Errors
    /// [`ErrorKind::ForeignPointer`] for a range that is not in the region's data, [`ErrorKind::NotOwner`],
    /// [`ErrorKind::ReadOnly`].
    pub fn release(&self, address: *const u8, len: u64) -> Result<()> {
        let tables = self.open()?;
        tables.heap()?;
        let range = tables.data_range(address, len)?;
        tables.space.coherence().release_before_loads(Step::UserHome, &[range]);
        tables.space.check_alive()
    }

    /// Makes the next loads of `len` bytes at `address` see what is home. Opening a table does this for its bytes.
    ///
    /// # Errors
    /// [`ErrorKind::ForeignPointer`] for a range that is not in the region's data.
    pub fn acquire(&self, address: *const u8, len: u64) -> Result<()> {
        let tables = self.open()?;
        let range = tables.data_range(address, len)?;
        tables.space.coherence().acquire(Step::UserIn, tables.space.owner(), &[range]);
        tables.space.check_alive()
    }

    /// Who reads which table since when.
    ///
    /// # Errors
    /// As [`Region::info`].
    pub fn leases(&self) -> Result<Vec<TableLease>> {
        self.open()?.table_leases()
    }

    /// Clears up after processes that died, as opening does. Returns a line about each.
    ///
    /// # Errors
    /// As [`Region::info`].
    pub fn reap(&self) -> Result<Vec<String>> {
        self.open()?.reap()
    }

    /// Checks every structure of the region.
    ///
    /// # Errors
    /// As [`Region::info`]; what does not check is in the report.
    pub fn verify(&self) -> Result<VerifyReport> {
        self.open()?.verify()
    }

    /// Grows the region to `size_bytes`, for every process at once.
    ///
    /// # Errors
    /// [`ErrorKind::BadSize`] unless it is a multiple of 2 MiB, above the size and at most `max=`;
    /// [`ErrorKind::NoMemory`], [`ErrorKind::NotOwner`], [`ErrorKind::ReadOnly`].
    pub fn grow(&self, size_bytes: u64) -> Result<()> {
        self.open()?.grow(size_bytes)
    }

    /// Whether an address lies in the region's data.
    #[must_use]
    pub fn contains(&self, address: *const u8) -> bool {
        self.tables.space.data_off_of(address as u64).is_some()
    }

    /// Allocates `size` bytes, aligned to 128 or to `align` bytes, whichever is more.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for size 0, [`ErrorKind::BadAlignment`] unless `align` is a power of
    /// two up to 2 MiB, [`ErrorKind::RegionFull`].
    #[inline]
    pub fn alloc(&self, size: u64, align: u64) -> Result<NonNull<u8>> {
        let tables = self.open()?;
        if size == 0 {
            return Err(Error::new(ErrorKind::InvalidArgument, "an extent of 0 bytes cannot be allocated"));
        }
        let off = tables.heap()?.alloc(size, align)?;
        Ok(Self::at(tables, off))
    }

    /// Changes the size of an extent, in place where that is possible. A published extent is copied.
    ///
    /// # Errors
    /// As [`Region::alloc`] and [`Region::free`]; the extent is then as it was.
    ///
    /// # Safety
    /// Nobody else uses the extent meanwhile, and nobody uses `ptr` afterwards unless it was returned.
    pub unsafe fn realloc(
        &self,
        ptr: NonNull<u8>,
        old_size: u64,
        new_size: u64,
        align: u64,
    ) -> Result<NonNull<u8>> {
        let tables = self.open()?;
        let off = Self::off(tables, ptr)?;
        if new_size == 0 {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "an extent cannot shrink to 0 bytes; free it",
            ));
        }
        let off = tables.heap()?.realloc(off, old_size, new_size, align)?;
        Ok(Self::at(tables, off))
    }

    /// Gives up the process's reference to an extent. Published bytes stay until the last table that has
    /// them is gone. `size`, if given, is checked. This works through a closed handle too, as long as
    /// anything keeps the region open: what was allocated must have a way back.
    ///
    /// # Errors
    /// [`ErrorKind::ForeignPointer`], [`ErrorKind::DoubleFree`]; nothing was freed then.
    ///
    /// # Safety
    /// Nobody uses `ptr` afterwards.
    #[inline]
    pub unsafe fn free(&self, ptr: NonNull<u8>, size: Option<u64>) -> Result<()> {
        let tables = &self.tables;
        if tables.forks != process::fork_count() {
            return Err(self.unusable());
        }
        let off = Self::off(tables, ptr)?;
        tables.heap()?.free(off, size)
    }

    fn at(tables: &Tables, off: u64) -> NonNull<u8> {
        // The base is not 0, so neither is anything above it.
        NonNull::new(tables.space.ptr(off)).unwrap_or(NonNull::dangling())
    }

    fn off(tables: &Tables, ptr: NonNull<u8>) -> Result<u64> {
        tables.space.data_off_of(ptr.as_ptr() as u64).ok_or_else(|| {
            let text = format!("{ptr:p} is not in region {:?}; free it where it was allocated", tables.label);
            Error::new(ErrorKind::ForeignPointer, text)
        })
    }

    /// Publishes record batches under `name`: in place what lies in a region, copied in what does not.
    ///
    /// # Errors
    /// [`ErrorKind::BadName`], [`ErrorKind::NameTaken`] (see [`PublishOptions::replace`]), [`ErrorKind::BadArrow`],
    /// [`ErrorKind::RegionFull`], [`ErrorKind::CatalogFull`], [`ErrorKind::NotOwner`], [`ErrorKind::ReadOnly`].
    /// Nothing is published then.
    ///
    /// # Safety
    /// Schema and arrays obey the Arrow C Data Interface, and nobody stores to their buffers from now on.
    pub unsafe fn publish_batches(
        &self,
        name: &str,
        schema: &ArrowSchema,
        batches: &[ArrowArray],
        options: &PublishOptions,
    ) -> Result<Published> {
        // SAFETY: the caller's contract.
        unsafe { self.open()?.publish(name, schema, batches, options) }
    }

    /// Publishes all batches of a stream; see [`Region::publish_batches`]. The stream is used up.
    ///
    /// # Errors
    /// As there, and [`ErrorKind::BadArrow`] with the stream's own message when it fails.
    ///
    /// # Safety
    /// As there, for everything the stream gives.
    pub unsafe fn publish(
        &self,
        name: &str,
        stream: ArrowArrayStream,
        options: &PublishOptions,
    ) -> Result<Published> {
        let tables = self.open()?;
        // SAFETY: the caller's contract.
        let (schema, batches) =
            unsafe { collect(stream) }.map_err(|e| e.context(format_args!("publishing \"{name}\"")))?;
        // SAFETY: the caller's contract.
        unsafe { tables.publish(name, &schema, &batches, options) }
    }

    /// Opens the table of `name` and takes a lease on it: what it shows does not change, whatever is
    /// published or removed meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::NameNotFound`], [`ErrorKind::LeasesFull`], [`ErrorKind::Corrupt`], [`ErrorKind::TimedOut`].
    pub fn open_table(&self, name: &str, options: &OpenOptions) -> Result<Table> {
        self.open()?.open(name, options)
    }

    /// Waits until a table of `name` is published.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`].
    pub fn wait(&self, name: &str, timeout: Duration) -> Result<()> {
        self.open()?.wait(name, timeout)
    }

    /// Removes the table of `name`. Its memory returns when its last reader has gone.
    ///
    /// # Errors
    /// [`ErrorKind::NameNotFound`], [`ErrorKind::NotOwner`], [`ErrorKind::ReadOnly`].
    pub fn remove(&self, name: &str) -> Result<()> {
        self.open()?.remove(name)
    }

    /// The published tables, by name.
    ///
    /// # Errors
    /// As [`Region::info`].
    pub fn tables(&self) -> Result<Vec<TableInfo>> {
        self.open()?.list()
    }
}

/// Everything a stream gives.
///
/// # Safety
/// The stream obeys the C Stream Interface.
unsafe fn collect(mut stream: ArrowArrayStream) -> Result<(ArrowSchema, Vec<ArrowArray>)> {
    // SAFETY: the caller's contract.
    let schema = unsafe { stream.schema() }?;
    let mut batches = Vec::new();
    // SAFETY: the caller's contract.
    while let Some(batch) = unsafe { stream.next_array() }? {
        batches.push(batch);
    }
    Ok((schema, batches))
}

impl std::fmt::Debug for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Region({})", self.tables.label)
    }
}
