//! Copying arrow-rs arrays into a region, each buffer once.

use std::collections::HashMap;

use arrow_array::{Array, RecordBatch, RecordBatchOptions, make_array};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow_data::ArrayData;

use super::extent::Extent;
use crate::{Region, Result};

/// Copies record batches into a region, one after the other.
///
/// For data that some reader made in ordinary memory: copy each batch as it comes and drop the original, and
/// no more than two batches are ever held twice. A buffer that a batch shares with another column, or with
/// the batch before it (a dictionary, say), is copied once; a buffer that lies in the region stays.
///
/// What was copied and is then not published is freed when it is dropped, or when the process ends.
///
/// ```no_run
/// # fn main() -> csm::Result<()> {
/// # let batches: Vec<arrow_array::RecordBatch> = vec![];
/// # let schema = arrow_schema::SchemaRef::new(arrow_schema::Schema::empty());
/// let region = csm::Context::new()?.open("shm:trades")?;
/// let mut copier = csm::arrow::BatchCopier::new(&region);
/// let in_region = batches.iter().map(|batch| copier.copy_in(batch)).collect::<csm::Result<Vec<_>>>()?;
/// region.publish_record_batches("today", schema, &in_region, &Default::default())?;
/// println!("{} bytes copied", copier.bytes_copied());
/// # Ok(())
/// # }
/// ```
pub struct BatchCopier {
    region: Region,
    /// What the batch before was copied from and to. Holding the source keeps its address from being reused.
    before: Copies,
    bytes_copied: u64,
}

/// From a buffer's address and length to the buffer itself and its copy.
type Copies = HashMap<(usize, usize), (Buffer, Buffer)>;

impl BatchCopier {
    /// A copier into `region`.
    #[must_use]
    pub fn new(region: &Region) -> Self {
        Self { region: region.clone(), before: Copies::new(), bytes_copied: 0 }
    }

    /// The batch with every buffer in the region.
    ///
    /// A slice of a string or list column shares its values with the whole, and takes them all along.
    ///
    /// # Errors
    /// [`RegionFull`](crate::ErrorKind::RegionFull), and those of [`Region::alloc`].
    pub fn copy_in(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut copies = Copies::new();
        let columns = batch
            .columns()
            .iter()
            .map(|column| Ok(make_array(self.array(&column.to_data(), &mut copies)?)))
            .collect::<Result<Vec<_>>>()?;
        self.before = copies;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(batch.schema(), columns, &options).map_err(|e| {
            crate::Error::new(crate::ErrorKind::Internal, format!("a copied batch differs: {e}"))
        })
    }

    /// How many bytes were copied so far.
    #[must_use]
    pub fn bytes_copied(&self) -> u64 {
        self.bytes_copied
    }

    fn array(&mut self, data: &ArrayData, copies: &mut Copies) -> Result<ArrayData> {
        let buffers = data.buffers().iter().map(|b| self.buffer(b, copies)).collect::<Result<_>>()?;
        let children =
            data.child_data().iter().map(|child| self.array(child, copies)).collect::<Result<_>>()?;
        let nulls = data.nulls().map(|nulls| self.nulls(nulls, copies)).transpose()?;
        let copy = ArrayData::builder(data.data_type().clone())
            .len(data.len())
            .offset(data.offset())
            .nulls(nulls)
            .buffers(buffers)
            .child_data(children);
        // SAFETY: the same type, lengths, offsets and bytes as an array that is valid.
        Ok(unsafe { copy.build_unchecked() })
    }

    fn nulls(&mut self, nulls: &NullBuffer, copies: &mut Copies) -> Result<NullBuffer> {
        let bits = BooleanBuffer::new(self.buffer(nulls.buffer(), copies)?, nulls.offset(), nulls.len());
        // SAFETY: the same bits.
        Ok(unsafe { NullBuffer::new_unchecked(bits, nulls.null_count()) })
    }

    fn buffer(&mut self, buffer: &Buffer, copies: &mut Copies) -> Result<Buffer> {
        if buffer.is_empty() {
            // Not a clone: that could keep alive all of what it is an empty slice of.
            return Ok(Buffer::default());
        }
        if self.region.contains(buffer.as_ptr()) {
            return Ok(buffer.clone());
        }
        let key = (buffer.as_ptr().addr(), buffer.len());
        if let Some((_, copy)) = copies.get(&key) {
            return Ok(copy.clone());
        }
        let copy = match self.before.get(&key) {
            Some((_, copy)) => copy.clone(),
            None => {
                let extent = Extent::new(&self.region, buffer.len())?;
                self.bytes_copied += buffer.len() as u64;
                // SAFETY: the extent is new, so nothing overlaps it, and of this length.
                unsafe {
                    buffer.as_ptr().copy_to_nonoverlapping(extent.ptr().as_ptr(), buffer.len());
                    extent.into_buffer(buffer.len())
                }
            }
        };
        copies.insert(key, (buffer.clone(), copy.clone()));
        Ok(copy)
    }
}
