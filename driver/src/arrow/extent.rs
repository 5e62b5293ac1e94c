//! An extent of a region as arrow-rs wants memory: something that frees it when dropped.

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::sync::Arc;

use arrow_buffer::Buffer;

use crate::{Region, Result};

/// Arrow's alignment, of every extent made here.
const ALIGN: u64 = 64;

/// One allocation of this process in a region, with this process's reference to it.
pub(super) struct Extent {
    region: Region,
    ptr: NonNull<u8>,
    size_bytes: usize,
}

// SAFETY: the extent is memory owned by this value, at the same address for every thread.
unsafe impl Send for Extent {}
// SAFETY: nothing is written through a shared reference.
unsafe impl Sync for Extent {}
impl RefUnwindSafe for Extent {}
impl UnwindSafe for Extent {}

impl Extent {
    /// Allocates `size_bytes`, which is not 0.
    pub(super) fn new(region: &Region, size_bytes: usize) -> Result<Self> {
        let ptr = region.alloc(size_bytes as u64, ALIGN)?;
        Ok(Self { region: region.clone(), ptr, size_bytes })
    }

    pub(super) fn ptr(&self) -> NonNull<u8> {
        self.ptr
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Changes the size, which is not 0 before or after. The bytes may move.
    pub(super) fn resize(&mut self, size_bytes: usize) -> Result<()> {
        // SAFETY: ptr and size_bytes are what alloc or realloc gave, and &mut says nobody else uses them.
        self.ptr =
            unsafe { self.region.realloc(self.ptr, self.size_bytes as u64, size_bytes as u64, ALIGN) }?;
        self.size_bytes = size_bytes;
        Ok(())
    }

    /// The first `len` bytes as an immutable buffer that frees the extent when its last clone is gone.
    ///
    /// # Safety
    /// `len` bytes are within the extent and initialized.
    pub(super) unsafe fn into_buffer(self, len: usize) -> Buffer {
        // SAFETY: the caller's contract; the extent lives as long as its owner, which the buffer keeps.
        unsafe { Buffer::from_custom_allocation(self.ptr, len, Arc::new(self)) }
    }
}

impl Drop for Extent {
    fn drop(&mut self) {
        // A failure is harmless, and a drop has nobody to tell: after fork the memory is the parent's, and
        // what a closed region still holds for this process comes back when the process leaves.
        // SAFETY: the value owns the reference and nothing uses the memory any more.
        let _ = unsafe { self.region.free(self.ptr, Some(self.size_bytes as u64)) };
    }
}
