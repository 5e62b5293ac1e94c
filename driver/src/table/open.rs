//! Open and wait: finding a name, taking a lease, looking twice.
//!
//! Acquire is staged: the entry's commit word first, the descriptor only after the lease is home and the
//! word was read again, the data after the descriptor was checked on a private copy. A lease that comes too late
//! is given back and the probe starts again.
#![allow(unsafe_code, reason = "the promise behind an export")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::arrive::{Arrivals, Arrive};
use super::catalog::{DescriptorAt, Probe, hash};
use super::cdata::{ArrowArray, ArrowArrayStream, ArrowSchema};
use super::descriptor::{Descriptor, HEADER_LEN};
use super::export::Export;
use super::publish::missing;
use super::tables::Tables;
use crate::coherence::{Bytes, Step, check};
use crate::error::{Error, ErrorKind, Result};
use crate::lease::Lease;
use crate::member::node;
use crate::region::space::Control;
use crate::sys::{futex, process};
use crate::units::index;

/// The most of a descriptor that is asked for before its lease is home.
const PREFETCH_BYTES: u64 = 4096;

/// How to open a table.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions {
    /// Check every value that leads to another (offsets, indices, text), once, now: O(rows).
    pub validate: bool,
}

/// An open table: one lease, and everything that is needed to read in place. Clones share the lease.
///
/// The arrays it hands out keep the lease, and the region mapped, for as long as they live.
#[derive(Clone)]
pub struct Table {
    export: Arc<Export>,
    held: Arc<Held>,
}

/// A lease and what it keeps; ends when the last array goes.
struct Held {
    tables: Arc<Tables>,
    /// What of the buffers has arrived, in this region and the others that they lie in.
    arrivals: Option<Arrivals>,
    lease: Lease,
    slot: u64,
    generation: u64,
    forks: u32,
}

impl Drop for Held {
    fn drop(&mut self) {
        // A forked child's copy of the lease is not a lease.
        if self.forks != process::fork_count() {
            return;
        }
        // What is protected without a lease is so before the lease ends.
        self.arrivals = None;
        self.tables.leases.give_back(&self.lease);
        if self.tables.catalog().commit(self.slot).0 == self.generation {
            return;
        }
        // It was replaced or removed, and this may have been what it waited for.
        if let Err(e) = self.tables.try_reclaim() {
            log::warn!("region {}: reclaiming after the end of a lease: {e}", self.tables.label);
        }
    }
}

impl Arrive for Held {
    fn arrive(&self, descriptor: &Descriptor, batch: usize, columns: Option<&[usize]>) -> Result<()> {
        self.arrivals.as_ref().map_or(Ok(()), |arrivals| arrivals.arrive(descriptor, batch, columns))
    }
}

impl Tables {
    /// Opens the table of `name`.
    pub(crate) fn open(self: &Arc<Self>, name: &str, options: &OpenOptions) -> Result<Table> {
        Self::check_name(name)?;
        let deadline = Instant::now() + self.patience;
        loop {
            let mut raced = false;
            let (found, _) = self.catalog().probe(hash(name), |entry| {
                let soon = entry.at.len.min(PREFETCH_BYTES);
                self.space.coherence().prefetch(self.space.ptr(0).wrapping_add(index(entry.at.off)), soon);
                // A reader beside the publisher sees the word before it is home: what it tells others must hold there.
                let found = self.catalog().entry(entry.slot);
                if self.space.node() == self.space.owner() {
                    self.space.coherence().start_release(Step::OpenHelpsHome, &[found]);
                }
                let lease = self.leases.take(entry.at.off)?;
                // From here on the lease is given back whichever way this ends.
                let held = Held {
                    tables: self.clone(),
                    arrivals: None,
                    lease,
                    slot: entry.slot,
                    generation: entry.commit.0,
                    forks: process::fork_count(),
                };
                let void = node::void_line(&self.space, self.space.node());
                self.space.coherence().acquire(Step::SecondLookIn, self.space.owner(), &[found, void]);
                if !check(Step::SecondLook, self.catalog().noted(entry.slot) == entry.commit) {
                    raced = true;
                    self.space.coherence().note_retry();
                    return Ok(Probe::On);
                }
                if !check(Step::NotFenced, !self.member.is_fenced()) {
                    return Err(self.fenced());
                }
                let bytes = self.copy_out(entry.at.off, entry.at.len)?;
                let table = self
                    .table(entry.at, bytes, held, name)
                    .map_err(|e| e.context(format_args!("table \"{name}\"")))?;
                Ok(table.map_or(Probe::On, Probe::Found))
            })?;
            if let Some(table) = found {
                if options.validate {
                    table.validate()?;
                }
                return Ok(table);
            }
            if !raced {
                return Err(missing(name, &self.label));
            }
            if Instant::now() >= deadline {
                let text = format!("table \"{name}\" is replaced faster than it can be opened; try again");
                return Err(Error::new(ErrorKind::TimedOut, text));
            }
        }
    }

    /// Makes a table of a private copy of its descriptor at `at`; None when it is another name's.
    fn table(
        self: &Arc<Self>,
        at: DescriptorAt,
        bytes: Vec<u8>,
        mut held: Held,
        name: &str,
    ) -> Result<Option<Table>> {
        let mut others: Vec<Arc<Self>> = Vec::new();
        let descriptor = {
            let envelope = super::descriptor::Envelope::parse(bytes.into())?;
            if envelope.name() != name {
                return Ok(None);
            }
            if !check(Step::Generation, envelope.generation() == held.generation) {
                let text = format!(
                    "its descriptor is of generation {} where the catalog names {}; run csm verify",
                    envelope.generation(),
                    held.generation
                );
                return Err(Error::new(ErrorKind::Corrupt, text));
            }
            for (number, uuid) in envelope.regions().enumerate() {
                match number {
                    0 if uuid == *self.uuid.as_bytes() => {}
                    0 => return Err(Error::new(ErrorKind::Corrupt, "it was published for another region; run csm verify")),
                    _ => others.push(self.regions.of(uuid).ok_or_else(|| {
                        let uuid = uuid::Uuid::from_bytes(uuid);
                        let text = format!("it has buffers in the region {uuid}, which is not open here; open that region first");
                        Error::new(ErrorKind::RegionNotFound, text)
                    })?),
                }
            }
            Descriptor::from_envelope(envelope, |region, off, len| {
                let tables = if region == 0 { self } else { &others[region as usize - 1] };
                tables.check_data(off, len)
            })?
        };
        let regions = || std::iter::once(self).chain(&others);
        let bases: Vec<*const u8> = regions().map(|tables| tables.space.ptr(0).cast_const()).collect();
        let body = self.space.range(at.off + HEADER_LEN as u64, at.len - HEADER_LEN as u64);
        self.space.coherence().audit(format_args!("descriptor of \"{}\"", name.escape_debug()), [body])?;
        self.space.check_alive()?;
        held.arrivals = Some(Arrivals::new(&descriptor, regions().cloned().collect()));
        let held = Arc::new(held);
        // SAFETY: every buffer was checked to lie in its region's data zone, which `held` keeps mapped, and
        // the lease keeps from being reused; bases are aligned to 1 TiB.
        let export = unsafe { Export::new(Arc::new(descriptor), bases, held.clone()) }?;
        Ok(Some(Table { export: Arc::new(export), held }))
    }

    /// A range of addresses, if it lies in the data zone as it is now.
    pub(crate) fn data_range(&self, address: *const u8, len: u64) -> Result<Bytes> {
        let last = (address as u64).checked_add(len.saturating_sub(1));
        if self.space.data_off_of(address as u64).is_none()
            || last.is_none_or(|last| self.space.data_off_of(last).is_none())
        {
            let text = format!("{len} bytes at {address:p} are not in the data of region {:?}", self.label);
            return Err(Error::new(ErrorKind::ForeignPointer, text));
        }
        if !self.space.mapping().is_open(address, len) {
            let text = format!(
                "{len} bytes at {address:p} are not open here: region {:?} has protect=yes, and a process that only reads \
                 loads there what it has open tables and columns of",
                self.label
            );
            return Err(Error::new(ErrorKind::ForeignPointer, text));
        }
        Ok((address, len))
    }

    /// Whether a range lies in the data zone as it is now.
    pub(super) fn check_data(&self, off: u64, len: u64) -> Result<()> {
        if off.saturating_add(len) > self.space.layout().data_off + self.space.data_bytes() {
            // The region may have grown since this node heard of its size.
            self.space.hear_size();
        }
        let (start, bytes) = (self.space.layout().data_off, self.space.data_bytes());
        let inside = off >= start && off - start <= bytes && len <= bytes - (off - start);
        inside.then_some(()).ok_or_else(|| {
            let text = format!(
                "a buffer of {len} bytes at {off:#x} is outside of the data of region {:?}",
                self.label
            );
            Error::new(ErrorKind::Corrupt, text)
        })
    }

    /// This node was declared off, and is not.
    fn fenced(&self) -> Error {
        let text = format!(
            "node {} was fenced by an operator: its leases on tables of region {:?} count no more; discard what was read, \
             close the region in every process of the node, and open it anew",
            self.space.node(),
            self.label
        );
        Error::new(ErrorKind::Fenced, text)
    }

    /// Waits until a table of `name` is published.
    pub(crate) fn wait(&self, name: &str, timeout: Duration) -> Result<()> {
        Self::check_name(name)?;
        // Another node's publish wakes nobody here: look again after a nap at the latest.
        const NAP: Duration = Duration::from_millis(1);
        let deadline = Instant::now() + timeout;
        let changes = self.space.control_word(Control::Changes);
        loop {
            let seen = changes.load();
            self.space.check_alive()?;
            if self.find(name)?.0.is_some() {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let text = format!("no table \"{}\" was published within {timeout:?}", name.escape_debug());
                return Err(Error::new(ErrorKind::TimedOut, text));
            }
            futex::wait_low(changes.as_ptr(), seen, left.min(NAP));
        }
    }
}

/// Region number, offset and length of every buffer with bytes.
pub(super) fn buffers(descriptor: &Descriptor) -> impl Iterator<Item = (u32, u64, u64)> + '_ {
    let batches = (0..descriptor.n_batches()).filter_map(|i| descriptor.batch(i));
    batches.flat_map(|batch| batch.located(0..batch.n_buffers()))
}

impl Table {
    /// The name it was opened by.
    #[must_use]
    pub fn name(&self) -> &str {
        self.export.descriptor().name()
    }

    /// Rows of all batches.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.export.descriptor().rows()
    }

    /// Number of record batches.
    #[must_use]
    pub fn batches(&self) -> usize {
        self.export.descriptor().n_batches()
    }

    /// Number of columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.export.shown().n_columns()
    }

    /// Bytes that its arrays refer to, each buffer counted as often as it is used.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        self.export.buffer_lens().sum()
    }

    /// The same table, under the same lease, with these of its columns alone and in this order. Where this node must
    /// invalidate what it reads, a column that is not selected costs nothing.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a column that is not there.
    pub fn select(&self, columns: &[usize]) -> Result<Self> {
        Ok(Self { export: Arc::new(self.export.select(columns)?), held: self.held.clone() })
    }

    /// The generation that was opened.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.held.generation
    }

    /// The schema, as a struct to be released by its owner.
    #[must_use]
    pub fn schema(&self) -> ArrowSchema {
        self.export.schema()
    }

    /// Record batch `i`, in place.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] past the last one.
    pub fn batch(&self, i: usize) -> Result<ArrowArray> {
        self.export.batch(i)
    }

    /// All batches in order, as a stream; as often as wanted.
    #[must_use]
    pub fn stream(&self) -> ArrowArrayStream {
        self.export.stream()
    }

    /// Checks every value that leads to another. The data zone is memory that its writer can still change:
    /// this says how it was when it was read.
    ///
    /// # Errors
    /// [`ErrorKind::BadArrow`], naming column, row and value.
    pub fn validate(&self) -> Result<()> {
        self.held.tables.space.check_alive()?;
        self.export.validate()
    }

    /// Whether this generation is still what the name stands for. It stays readable either way.
    ///
    /// # Errors
    /// [`ErrorKind::RegionLost`].
    pub fn is_current(&self) -> Result<bool> {
        self.held.tables.space.check_alive()?;
        Ok(self.held.tables.catalog().commit(self.held.slot).0 == self.held.generation)
    }

    /// Whether what was read so far can be trusted: the lease held all along.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`] when the lease was lost, [`ErrorKind::RegionLost`] when the memory was.
    pub fn check(&self) -> Result<()> {
        self.held.tables.space.check_alive()?;
        if self.held.forks != process::fork_count() {
            return Err(Error::new(
                ErrorKind::Forked,
                "the table was opened by the process this one was forked from; open it here",
            ));
        }
        // Everything that was read is behind this: if the mark is not there now, the lease counted all along.
        let tables = &self.held.tables;
        tables.space.coherence().fence();
        let void = node::void_line(&tables.space, tables.space.node());
        tables.space.coherence().acquire(Step::VoidIn, tables.space.owner(), &[void]);
        if !check(Step::LeaseHolds, !tables.member.is_fenced()) {
            return Err(tables.fenced());
        }
        if !self.held.tables.leases.holds(&self.held.lease) {
            let text = format!(
                "the lease on table \"{}\" was taken away; discard what was read and open it again",
                self.name()
            );
            return Err(Error::new(ErrorKind::Stale, text));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("name", &self.name())
            .field("generation", &self.generation())
            .finish_non_exhaustive()
    }
}
