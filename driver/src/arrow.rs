//! arrow-rs in and out of a region (feature `arrow`).
//!
//! Everything passes through the C Data Interface, as it does for C and C++: arrow-rs arrays are exported
//! to be published, and what a [`Table`] exports is imported again, at the same addresses. Nothing here
//! knows descriptors, leases or the heap's insides; it uses the crate's public API alone.
//!
//! arrow-rs builders allocate from Rust's global allocator. To have data in the region without a copy, fill
//! a [`RegionVec`] and freeze it; to move arrays that exist already, [`BatchCopier`] copies each buffer once.
#![allow(unsafe_code, reason = "the C Data Interface is made of pointers")]

mod copy;
mod extent;
mod reader;
#[cfg(test)]
mod tests;
mod vec;

use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{Array, RecordBatch, RecordBatchOptions, StructArray, ffi};
use arrow_data::ffi::FFI_ArrowArray;
use arrow_schema::ffi::FFI_ArrowSchema;
use arrow_schema::{ArrowError, DataType, SchemaRef};

pub use copy::BatchCopier;
pub use reader::TableReader;
pub use vec::RegionVec;

use crate::table::cdata::{ArrowArray, ArrowArrayStream, ArrowSchema};
use crate::{Error, ErrorKind, PublishOptions, Published, Region, Result, Table};

impl Region {
    /// Publishes `batches` as the table `name`.
    ///
    /// Buffers that lie in a region stay where they are; the others are copied in, and
    /// [`Published::bytes_copied`] says how much. `batches` may be dropped afterwards.
    ///
    /// # Errors
    /// [`ErrorKind::BadArrow`] if a batch is not of `schema`, and those of [`Region::publish_batches`].
    pub fn publish_record_batches(
        &self,
        name: &str,
        schema: SchemaRef,
        batches: &[RecordBatch],
        options: &PublishOptions,
    ) -> Result<Published> {
        if let Some(at) = batches.iter().position(|batch| !schema.contains(batch.schema_ref())) {
            return Err(Error::new(
                ErrorKind::BadArrow,
                format!(
                    "table {name:?}: batch {at} has another schema than the table; publish batches of one schema"
                ),
            ));
        }
        let c_schema = FFI_ArrowSchema::try_from(schema.as_ref()).map_err(|e| bad_arrow(name, &e))?;
        let arrays: Vec<ArrowArray> = batches
            .iter()
            .map(|batch| FFI_ArrowArray::new(&StructArray::from(batch.clone()).into_data()).into())
            .collect();
        // SAFETY: arrow-rs made the structs, and they live until the call is over.
        unsafe { self.publish_batches(name, &c_schema.into(), &arrays, options) }
    }

    /// Copies the buffers of `batch` into this region, each once. See [`BatchCopier`] for many batches.
    ///
    /// # Errors
    /// [`ErrorKind::RegionFull`], and those of [`Region::alloc`].
    pub fn copy_in(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        BatchCopier::new(self).copy_in(batch)
    }

    /// An empty vector in this region with room for `capacity` values.
    ///
    /// # Errors
    /// [`ErrorKind::RegionFull`], and those of [`Region::alloc`].
    pub fn vec<T: arrow_buffer::ArrowNativeType>(&self, capacity: usize) -> Result<RegionVec<T>> {
        RegionVec::with_capacity(self, capacity)
    }
}

impl Table {
    /// The schema, with its metadata and that of its fields.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a type that arrow-rs does not have.
    pub fn arrow_schema(&self) -> Result<SchemaRef> {
        let schema = arrow_schema::Schema::try_from(&FFI_ArrowSchema::from(self.schema()));
        Ok(schema.map_err(|e| bad_arrow(self.name(), &e).with_kind(ErrorKind::Unsupported))?.into())
    }

    /// The batches, read in place. Each holds the table's lease until the last array of it is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a type that arrow-rs does not have.
    pub fn record_batches(&self) -> Result<Vec<RecordBatch>> {
        let schema = self.arrow_schema()?;
        (0..self.batches()).map(|i| self.record_batch(i, &schema)).collect()
    }

    /// The batches one after the other, read in place.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a type that arrow-rs does not have.
    pub fn reader(&self) -> Result<TableReader> {
        Ok(TableReader::new(self.clone(), self.arrow_schema()?))
    }

    fn record_batch(&self, i: usize, schema: &SchemaRef) -> Result<RecordBatch> {
        let import = |array: ArrowArray| {
            let rows = DataType::Struct(schema.fields().clone());
            // SAFETY: the table checked the array against its schema when it was opened. The values
            // inside the buffers are the publisher's word, which opening the region accepted.
            let data = unsafe { ffi::from_ffi_and_data_type(array.into(), rows) }?;
            let options = RecordBatchOptions::new().with_row_count(Some(data.len()));
            let (_, columns, nulls) = StructArray::from(data).into_parts();
            if nulls.is_some() {
                return Err(ArrowError::CDataInterface("a batch has null rows".into()));
            }
            RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        };
        import(self.batch(i)?).map_err(|e| bad_arrow(self.name(), &e).context(format_args!("batch {i}")))
    }
}

fn bad_arrow(table: &str, e: &ArrowError) -> Error {
    Error::new(ErrorKind::BadArrow, format!("table {table:?}: arrow-rs: {e}"))
}

/// The structs of csm and of arrow-rs are both those of the C interfaces: converting one moves it.
macro_rules! same_c_struct {
    ($($ours:ident = $theirs:ident,)*) => {$(
        const _: () = assert!(size_of::<$ours>() == size_of::<$theirs>() && align_of::<$ours>() == align_of::<$theirs>());

        impl From<$theirs> for $ours {
            fn from(mut from: $theirs) -> Self {
                // SAFETY: the same C struct, whole; what stays behind is marked released.
                unsafe { Self::from_raw((&raw mut from).cast()) }
            }
        }

        impl From<$ours> for $theirs {
            fn from(mut from: $ours) -> Self {
                // SAFETY: the same C struct, whole; what stays behind is marked released.
                unsafe { Self::from_raw((&raw mut from).cast()) }
            }
        }
    )*};
}

same_c_struct! {
    ArrowSchema = FFI_ArrowSchema,
    ArrowArray = FFI_ArrowArray,
    ArrowArrayStream = FFI_ArrowArrayStream,
}
