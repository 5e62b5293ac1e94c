//! A typed vector that grows in a region, and becomes an arrow-rs buffer where it stands.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;

use arrow_buffer::{ArrowNativeType, Buffer, ScalarBuffer};

use super::extent::Extent;
use crate::{Error, ErrorKind, Region, Result};

/// A vector in a region. Until it is frozen and published it belongs to this process alone, and is an
/// ordinary `[T]` to read and write; it returns to the region when it is dropped.
///
/// Growing may move it, in place where the heap can. Everything that allocates says so by its `Result`.
///
/// ```no_run
/// use std::sync::Arc;
/// use arrow_array::{Float64Array, RecordBatch};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let region = csm::Context::new()?.open("shm:trades")?;
/// let mut prices = region.vec::<f64>(1000)?;
/// for i in 0..1000 {
///     prices.push(f64::from(i) / 4.0)?;
/// }
/// let column = Float64Array::new(prices.freeze(), None);
/// let batch = RecordBatch::try_from_iter([("price", Arc::new(column) as _)])?;
/// let published = region.publish_record_batches("prices", batch.schema(), &[batch], &Default::default())?;
/// assert_eq!(published.bytes_copied, 0);
/// # Ok(())
/// # }
/// ```
pub struct RegionVec<T: ArrowNativeType> {
    region: Region,
    /// None while the capacity is 0.
    extent: Option<Extent>,
    len: usize,
    values: PhantomData<T>,
}

impl<T: ArrowNativeType> RegionVec<T> {
    /// An empty vector with room for `capacity` values.
    ///
    /// # Errors
    /// [`ErrorKind::RegionFull`], and those of [`Region::alloc`].
    pub fn with_capacity(region: &Region, capacity: usize) -> Result<Self> {
        let mut vec = Self { region: region.clone(), extent: None, len: 0, values: PhantomData };
        vec.set_capacity(capacity)?;
        Ok(vec)
    }

    /// How many values fit before the vector must grow.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.extent.as_ref().map_or(0, |extent| extent.size_bytes() / size_of::<T>())
    }

    /// Appends `value`.
    ///
    /// # Errors
    /// [`ErrorKind::RegionFull`], and those of [`Region::realloc`]; the vector is as it was.
    pub fn push(&mut self, value: T) -> Result<()> {
        self.extend_from_slice(slice::from_ref(&value))
    }

    /// Appends all of `values`.
    ///
    /// # Errors
    /// [`ErrorKind::RegionFull`], and those of [`Region::realloc`]; the vector is as it was.
    pub fn extend_from_slice(&mut self, values: &[T]) -> Result<()> {
        self.reserve(values.len())?;
        // SAFETY: there is room behind the last value, and `&mut self` keeps `values` from lying in it.
        unsafe { self.as_mut_ptr().add(self.len).copy_from_nonoverlapping(values.as_ptr(), values.len()) };
        self.len += values.len();
        Ok(())
    }

    /// Appends what `values` yields.
    ///
    /// # Errors
    /// [`ErrorKind::RegionFull`], and those of [`Region::realloc`]; what was appended before stays.
    pub fn extend(&mut self, values: impl IntoIterator<Item = T>) -> Result<()> {
        let values = values.into_iter();
        self.reserve(values.size_hint().0)?;
        for value in values {
            self.push(value)?;
        }
        Ok(())
    }

    /// Makes the length `len`: what is new is `value`.
    ///
    /// # Errors
    /// [`ErrorKind::RegionFull`], and those of [`Region::realloc`]; the vector is as it was.
    pub fn resize(&mut self, len: usize, value: T) -> Result<()> {
        self.reserve(len.saturating_sub(self.len))?;
        for at in self.len..len {
            // SAFETY: within the capacity just reserved.
            unsafe { self.as_mut_ptr().add(at).write(value) };
        }
        self.len = len;
        Ok(())
    }

    /// Makes room for `additional` values more, at least doubling so that pushing stays cheap.
    ///
    /// # Errors
    /// [`ErrorKind::RegionFull`], and those of [`Region::realloc`]; the vector is as it was.
    pub fn reserve(&mut self, additional: usize) -> Result<()> {
        let Some(len) = self.len.checked_add(additional) else { return Err(too_long()) };
        if len <= self.capacity() { Ok(()) } else { self.set_capacity(len.max(self.capacity() * 2)) }
    }

    /// Gives back the room behind the last value.
    ///
    /// # Errors
    /// Those of [`Region::realloc`]; the vector is as it was.
    pub fn shrink_to_fit(&mut self) -> Result<()> {
        self.set_capacity(self.len)
    }

    /// The values as an arrow-rs buffer, at the same address. The capacity behind them stays allocated with
    /// it: call [`shrink_to_fit`](Self::shrink_to_fit) first where that matters.
    #[must_use]
    pub fn freeze(self) -> ScalarBuffer<T> {
        self.into_buffer().into()
    }

    /// The bytes of the values as an untyped arrow-rs buffer, at the same address.
    #[must_use]
    pub fn into_buffer(self) -> Buffer {
        match self.extent {
            None => Buffer::default(),
            // SAFETY: `len` values are within the extent and were written.
            Some(extent) => unsafe { extent.into_buffer(self.len * size_of::<T>()) },
        }
    }

    fn set_capacity(&mut self, capacity: usize) -> Result<()> {
        let bytes = capacity.checked_mul(size_of::<T>()).ok_or_else(too_long)?;
        match &mut self.extent {
            _ if bytes == 0 => self.extent = None,
            Some(extent) if extent.size_bytes() == bytes => {}
            Some(extent) => extent.resize(bytes)?,
            None => self.extent = Some(Extent::new(&self.region, bytes)?),
        }
        Ok(())
    }

    fn as_mut_ptr(&mut self) -> *mut T {
        self.extent.as_ref().map_or(NonNull::dangling(), |extent| extent.ptr().cast::<T>()).as_ptr()
    }
}

impl<T: ArrowNativeType> Deref for RegionVec<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        let start = self.extent.as_ref().map_or(NonNull::dangling(), |extent| extent.ptr().cast::<T>());
        // SAFETY: `len` values were written, and no other process writes what is not published.
        unsafe { slice::from_raw_parts(start.as_ptr(), self.len) }
    }
}

impl<T: ArrowNativeType> DerefMut for RegionVec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as for `deref`, and `&mut self` makes it the only way in.
        unsafe { slice::from_raw_parts_mut(self.as_mut_ptr(), self.len) }
    }
}

impl<T: ArrowNativeType> std::fmt::Debug for RegionVec<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

fn too_long() -> Error {
    Error::new(
        ErrorKind::BadSize,
        "the vector would have more bytes than 64 bits count; ask for fewer values",
    )
}
