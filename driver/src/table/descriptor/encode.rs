//! Building a descriptor straight into the memory it is published from.

use super::super::bytes::{Writer, narrow, padded};
use super::super::schema::Schema;
use super::super::shape::{self, BufferRef, PlacedBatch};
use super::{
    BUFFER_LEN, DIRECTORY_LEN, EXTENT_LEN, HEADER_LEN, MAGIC, MAX_NAME_LEN, NODE_LEN, PREFIX_LEN,
    REGION_ABSENT, REGION_EMPTY, REGION_LEN, VERSION,
};
use crate::error::{Error, ErrorKind, Result};

/// What a descriptor says.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// The table's name, 1 to 255 bytes.
    pub name: &'a str,
    /// The schema of every batch.
    pub schema: &'a Schema,
    /// The uuids of the regions that buffers lie in; the first is the home region.
    pub regions: &'a [[u8; 16]],
    /// The batches, their buffers in place.
    pub batches: &'a [PlacedBatch],
}

impl Draft<'_> {
    /// The exact length of the descriptor if it lists `n_extents` extents.
    ///
    /// # Errors
    /// [`ErrorKind::BadName`], or [`ErrorKind::Unsupported`] if it cannot be counted.
    pub fn encoded_len(&self, n_extents: usize) -> Result<usize> {
        if self.name.is_empty() || self.name.len() > MAX_NAME_LEN {
            return Err(Error::new(
                ErrorKind::BadName,
                format!(
                    "table name \"{}\" has {} bytes; use 1 to {MAX_NAME_LEN}",
                    self.name.escape_debug(),
                    self.name.len()
                ),
            ));
        }
        self.checked_len(n_extents).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("table \"{}\": its descriptor is too long", self.name))
        })
    }

    fn checked_len(&self, n_extents: usize) -> Option<usize> {
        let sections = [
            (self.regions.len(), REGION_LEN),
            (n_extents, EXTENT_LEN),
            (self.batches.len(), DIRECTORY_LEN),
            (self.name.len(), 1),
            (self.schema.blob().len(), 1),
        ];
        let batches =
            self.batches.iter().flat_map(|b| [(b.nodes.len(), NODE_LEN), (b.buffers.len(), BUFFER_LEN)]);
        sections
            .into_iter()
            .chain(batches)
            .try_fold(HEADER_LEN, |len, (n, item)| len.checked_add(padded(n.checked_mul(item)?)?))
    }

    /// Writes the descriptor; `out` has [`encoded_len`](Self::encoded_len) bytes, of which all are written.
    ///
    /// `slot` and `generation` may be set in place later on.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if a batch does not fit the schema or `out` the length: the caller's fault.
    pub fn encode_into(&self, out: &mut [u8], extents: &[u64], slot: u32, generation: u64) -> Result<()> {
        if out.len() != self.encoded_len(extents.len())? {
            return Err(Error::new(
                ErrorKind::Internal,
                format!("descriptor of \"{}\": {} bytes of room", self.name, out.len()),
            ));
        }
        let mut rows = 0u64;
        for batch in self.batches {
            shape::check(self.schema, batch, ErrorKind::Internal)?;
            let sum = rows.checked_add(batch.nodes[0].length).filter(|&n| n <= i64::MAX as u64);
            rows = sum.ok_or_else(|| {
                Error::new(ErrorKind::BadArrow, format!("table \"{}\": more than 2^63 rows", self.name))
            })?;
        }
        let total_len = out.len() as u64;
        let mut w = Writer::new(out);
        w.u64(MAGIC)?;
        w.u32(VERSION)?;
        w.u32(0)?; // the CRC, below
        w.u64(generation)?;
        w.u64(0)?; // next_retired
        w.u32(slot)?;
        w.bytes(&[0; 28])?;

        w.u64(total_len)?;
        w.u64(rows)?;
        let schema = self.schema.blob();
        for (n, what) in [
            (self.batches.len(), "batches"),
            (self.schema.n_nodes(), "nodes"),
            (self.regions.len(), "regions"),
            (extents.len(), "extents"),
            (self.name.len(), "bytes of name"),
            (schema.len(), "bytes of schema"),
        ] {
            w.u32(narrow(n, what)?)?;
        }
        w.u32(self.schema.hash())?;
        w.bytes(&[0; 20])?;

        self.regions.iter().try_for_each(|uuid| w.bytes(uuid))?;
        extents.iter().try_for_each(|&offset| w.u64(offset))?;
        self.directory(&mut w, schema.len())?;
        w.bytes(self.name.as_bytes())?;
        w.pad()?;
        w.bytes(schema)?;
        w.pad()?;
        self.batches.iter().try_for_each(|batch| write_batch(&mut w, batch))?;

        let crc = crc32fast::hash(&out[PREFIX_LEN..]);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        Ok(())
    }

    /// Writes where each batch will be.
    fn directory(&self, w: &mut Writer<'_>, schema_len: usize) -> Result<()> {
        let mut at = w.position()
            + self.batches.len() * DIRECTORY_LEN
            + self.name.len().next_multiple_of(8)
            + schema_len.next_multiple_of(8);
        for batch in self.batches {
            w.u64(at as u64)?;
            w.u64(batch.buffers.len() as u64)?;
            at += batch.nodes.len() * NODE_LEN + batch.buffers.len() * BUFFER_LEN;
        }
        Ok(())
    }
}

fn write_batch(w: &mut Writer<'_>, batch: &PlacedBatch) -> Result<()> {
    for node in &batch.nodes {
        let mut record = [0; NODE_LEN];
        record[..8].copy_from_slice(&node.length.to_le_bytes());
        record[8..16].copy_from_slice(&node.null_count.to_le_bytes());
        record[16..24].copy_from_slice(&node.offset.to_le_bytes());
        record[24..28].copy_from_slice(&node.first_buffer.to_le_bytes());
        record[28..].copy_from_slice(&node.n_buffers.to_le_bytes());
        w.bytes(&record)?;
    }
    for buffer in &batch.buffers {
        let (region, offset, len_bytes) = match *buffer {
            BufferRef::Absent => (REGION_ABSENT, 0, 0),
            BufferRef::Empty => (REGION_EMPTY, 0, 0),
            BufferRef::At { region, offset, len_bytes } => (region, offset, len_bytes),
        };
        let mut record = [0; BUFFER_LEN];
        record[..4].copy_from_slice(&region.to_le_bytes());
        record[8..16].copy_from_slice(&offset.to_le_bytes());
        record[16..].copy_from_slice(&len_bytes.to_le_bytes());
        w.bytes(&record)?;
    }
    Ok(())
}
