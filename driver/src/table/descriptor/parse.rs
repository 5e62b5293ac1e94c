//! The whole check of a descriptor, and what may be asked of one that passed.

use std::ops::{Deref, Range};
use std::sync::Arc;

use super::super::bytes::{array_at, u32_at, u64_at};
use super::super::schema::Schema;
use super::super::shape::{self, BufferRef, Node, Shape};
use super::envelope::corrupt;
use super::{BUFFER_LEN, Envelope, NODE_LEN, REGION_ABSENT, REGION_EMPTY};
use crate::error::{ErrorKind, Result};

/// A checked descriptor: every batch is one of the schema, every buffer where `check` allowed it.
#[derive(Debug)]
pub struct Descriptor {
    envelope: Envelope,
    schema: Arc<Schema>,
}

impl Deref for Descriptor {
    type Target = Envelope;
    fn deref(&self) -> &Envelope {
        &self.envelope
    }
}

impl Descriptor {
    /// Checks a private copy of a descriptor.
    ///
    /// `check(region, offset, len_bytes)` says for every buffer with bytes
    /// whether it lies inside of region number `region`; the number itself, the
    /// sum of offset and length, and the alignment that the type needs have
    /// been checked then.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`], [`ErrorKind::LayoutMismatch`], or the first error of `check`.
    pub fn parse(
        bytes: impl Into<Arc<[u8]>>,
        check: impl FnMut(u32, u64, u64) -> Result<()>,
    ) -> Result<Self> {
        Self::from_envelope(Envelope::parse(bytes.into())?, check)
    }

    /// Checks the rest of a descriptor whose envelope was looked at before; see [`Descriptor::parse`].
    ///
    /// # Errors
    /// As [`Descriptor::parse`].
    pub fn from_envelope(
        envelope: Envelope,
        mut check: impl FnMut(u32, u64, u64) -> Result<()>,
    ) -> Result<Self> {
        let schema = Schema::parse(envelope.bytes().clone(), envelope.schema_blob())?;
        if schema.hash() != envelope.schema_hash() || schema.n_nodes() != envelope.n_nodes() {
            return Err(corrupt(format!("its schema has {} nodes and another hash", schema.n_nodes())));
        }
        let this = Self { envelope, schema: Arc::new(schema) };
        this.check_batches(&mut check)?;
        Ok(this)
    }

    /// The schema of every batch.
    #[must_use]
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Batch `i`; `None` past the last one.
    #[must_use]
    pub fn batch(&self, i: usize) -> Option<Batch<'_>> {
        (i < self.n_batches()).then(|| self.batch_unchecked(i))
    }

    fn batch_unchecked(&self, i: usize) -> Batch<'_> {
        let (at, n_buffers) = self.directory(i);
        Batch { bytes: self.bytes(), nodes_at: at, n_nodes: self.n_nodes(), n_buffers }
    }

    fn check_batches(&self, check: &mut impl FnMut(u32, u64, u64) -> Result<()>) -> Result<()> {
        let (mut at, mut rows) = (self.batches_at(), 0u64);
        for i in 0..self.n_batches() {
            let (position, n_buffers) = self.directory(i);
            let left = self.bytes().len() - at;
            let len =
                n_buffers.checked_mul(BUFFER_LEN).and_then(|n| n.checked_add(self.n_nodes() * NODE_LEN));
            let Some(len) = len.filter(|&len| position == at && len <= left) else {
                return Err(corrupt(format!(
                    "batch {i} with {n_buffers} buffers is at {position}; {left} bytes are left at {at}"
                )));
            };
            at += len;
            let batch = self.batch_unchecked(i);
            self.check_batch(&batch, check).map_err(|e| e.context(format!("batch {i}")))?;
            rows = rows.saturating_add(batch.node(0).length);
        }
        if at != self.bytes().len() || rows != self.rows() || rows > i64::MAX as u64 {
            return Err(corrupt(format!(
                "{rows} rows in {at} bytes of batches instead of {} in {}",
                self.rows(),
                self.bytes().len()
            )));
        }
        Ok(())
    }

    fn check_batch(
        &self,
        batch: &Batch<'_>,
        check: &mut impl FnMut(u32, u64, u64) -> Result<()>,
    ) -> Result<()> {
        shape::check(&self.schema, batch, ErrorKind::Corrupt)?;
        for (i, info) in self.schema.nodes().iter().enumerate() {
            let node = batch.node(i);
            for k in 0..node.n_buffers {
                let record = batch.record((node.first_buffer + k) as usize);
                record
                    .check(self.n_regions())
                    .map_err(|what| self.schema.fault(ErrorKind::Corrupt, i, what))?;
                let BufferRef::At { region, offset, len_bytes } = record.place() else { continue };
                let align = info.layout.buffer(k).align_bytes();
                if offset % u64::from(align) != 0 {
                    let what = format!("buffer {k} is at {offset:#x}, not a multiple of {align}");
                    return Err(self.schema.fault(ErrorKind::Corrupt, i, what));
                }
                check(region, offset, len_bytes)?;
            }
        }
        Ok(())
    }
}

/// One batch of a descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    bytes: &'a [u8],
    nodes_at: usize,
    n_nodes: usize,
    n_buffers: usize,
}

impl Batch<'_> {
    /// Rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.node(0).length
    }

    /// Number of arrays, the batch itself included.
    #[must_use]
    pub fn n_nodes(&self) -> usize {
        self.n_nodes
    }

    /// Number of buffers of all arrays.
    #[must_use]
    pub fn n_buffers(&self) -> usize {
        self.n_buffers
    }

    /// The numbers of array `i`, in the schema's order. Panics if there is none.
    #[must_use]
    pub fn node(&self, i: usize) -> Node {
        assert!(i < self.n_nodes);
        let record: [u8; NODE_LEN] = array_at(self.bytes, self.nodes_at + i * NODE_LEN);
        Node {
            length: u64_at(&record, 0),
            null_count: u64_at(&record, 8),
            offset: u64_at(&record, 16),
            first_buffer: u32_at(&record, 24),
            n_buffers: u32_at(&record, 28),
        }
    }

    /// Where buffer `k` of the batch is. Panics if there is none.
    #[must_use]
    pub fn buffer(&self, k: usize) -> BufferRef {
        self.record(k).place()
    }

    /// Region number, offset and length of those of the buffers `which` that have bytes.
    pub(crate) fn located(self, which: Range<usize>) -> impl Iterator<Item = (u32, u64, u64)> {
        which.filter_map(move |k| match self.buffer(k) {
            BufferRef::At { region, offset, len_bytes } => Some((region, offset, len_bytes)),
            BufferRef::Absent | BufferRef::Empty => None,
        })
    }

    fn record(&self, k: usize) -> BufferRecord {
        assert!(k < self.n_buffers);
        BufferRecord(array_at(self.bytes, self.nodes_at + self.n_nodes * NODE_LEN + k * BUFFER_LEN))
    }
}

/// A buffer as it is written down.
struct BufferRecord([u8; BUFFER_LEN]);

impl BufferRecord {
    fn region(&self) -> u32 {
        u32_at(&self.0, 0)
    }

    fn extent(&self) -> (u64, u64) {
        (u64_at(&self.0, 8), u64_at(&self.0, 16))
    }

    fn place(&self) -> BufferRef {
        let (offset, len_bytes) = self.extent();
        match self.region() {
            REGION_ABSENT => BufferRef::Absent,
            REGION_EMPTY => BufferRef::Empty,
            region => BufferRef::At { region, offset, len_bytes },
        }
    }

    /// That the record names a region and an extent that can be, and sets nothing else.
    fn check(&self, n_regions: usize) -> Result<(), String> {
        let (region, (offset, len)) = (self.region(), self.extent());
        let is_sound = match region {
            REGION_ABSENT | REGION_EMPTY => offset == 0 && len == 0,
            _ => {
                let is_extent = offset.checked_add(len).is_some_and(|end| end <= i64::MAX as u64);
                (region as usize) < n_regions && len != 0 && is_extent
            }
        };
        if is_sound && u32_at(&self.0, 4) == 0 {
            return Ok(());
        }
        Err(format!("a buffer has {len} bytes at {offset} of region {region} of {n_regions}"))
    }
}

impl Shape for Batch<'_> {
    fn n_nodes(&self) -> usize {
        self.n_nodes
    }
    fn n_buffers(&self) -> usize {
        self.n_buffers
    }
    fn node(&self, i: usize) -> Node {
        Batch::node(self, i)
    }
    fn buffer_len(&self, k: usize) -> Option<u64> {
        // A buffer of no bytes says so, which `BufferRecord::check` holds it to.
        let record = self.record(k);
        (record.region() != REGION_ABSENT).then(|| record.extent().1)
    }
}
