//! The heap of a region: memory at the same address in every process.

use std::ffi::c_void;
use std::ptr::NonNull;

use csm::{Error, ErrorKind, Result};

use crate::region::csm_region_t;

/// For `csm_heap_free`: the size is not known.
pub const CSM_SIZE_UNKNOWN: u64 = u64::MAX;

/// What an allocation of no bytes is.
#[repr(align(128))]
struct Empty(#[expect(dead_code, reason = "its address is what counts")] u8);
static EMPTY: Empty = Empty(0);

fn empty() -> *mut c_void {
    (&raw const EMPTY).cast_mut().cast()
}

fn not_null(pointer: *mut c_void) -> Result<NonNull<u8>> {
    NonNull::new(pointer.cast()).ok_or_else(|| {
        let text =
            "the pointer is NULL, which is never the address of an allocation; pass what csm_heap_alloc gave";
        Error::new(ErrorKind::InvalidArgument, text)
    })
}

export! {
    /// Allocates `size` bytes at a multiple of `align`, a power of two; 0 stands for the usual 128, which is
    /// the least there is. The bytes are not initialized. No bytes at all are `csm_heap_empty()`.
    ///
    /// The memory is this process's until it is freed, published or the process ends. Thread-safe.
    /// Errors: `CSM_E_REGION_FULL`, `CSM_E_BAD_ALIGNMENT`, `CSM_E_READ_ONLY`, `CSM_E_NOT_OWNER`,
    /// `CSM_E_CLOSED`.
    pub fn csm_heap_alloc(region: *const csm_region_t, size: u64, align: u64, memory: *mut *mut c_void) -> Result {
        let place = memory.place()?;
        let memory = region.with(|region| allocate(region, size.value, align.value))?;
        place.set(memory);
        Ok(())
    }

    /// Makes an allocation of `old_size` bytes one of `new_size` bytes, with the same first bytes; in place
    /// where that is possible. What was published does not change: it is copied, and the old allocation given
    /// up. The new address is written to `memory`, which may be where `pointer` came from; when the call
    /// fails the allocation is what it was. From and to `csm_heap_empty()` works as expected.
    ///
    /// Thread-safe, but the allocation must not be used meanwhile.
    /// Errors: as `csm_heap_alloc` and `csm_heap_free`.
    pub fn csm_heap_realloc(
        region: *const csm_region_t,
        pointer: *mut c_void,
        old_size: u64,
        new_size: u64,
        align: u64,
        memory: *mut *mut c_void,
    ) -> Result {
        let place = memory.place()?;
        let old = not_null(pointer.value)?;
        let memory = region.with(|region| {
            if pointer.value == empty() {
                return allocate(region, new_size.value, align.value);
            }
            if new_size.value == 0 {
                // SAFETY: the caller gives the allocation up.
                unsafe { region.free(old, Some(old_size.value)) }?;
                return Ok(empty());
            }
            // SAFETY: the caller does not use the allocation meanwhile.
            let new = unsafe { region.realloc(old, old_size.value, new_size.value, usual(align.value)) }?;
            Ok(new.as_ptr().cast())
        })?;
        place.set(memory);
        Ok(())
    }

    /// Frees an allocation of `size` bytes, which may be `CSM_SIZE_UNKNOWN`. What was published stays as long
    /// as the table does. Freeing `csm_heap_empty()` does nothing.
    ///
    /// Thread-safe. Errors: `CSM_E_FOREIGN_POINTER`, `CSM_E_DOUBLE_FREE`, `CSM_E_INVALID_ARGUMENT` (NULL, or
    /// another size than was allocated), `CSM_E_CLOSED`.
    pub fn csm_heap_free(region: *const csm_region_t, pointer: *mut c_void, size: u64) -> Result {
        let old = not_null(pointer.value)?;
        region.with(|region| {
            if pointer.value == empty() {
                return Ok(());
            }
            let size = (size.value != CSM_SIZE_UNKNOWN).then_some(size.value);
            // SAFETY: the caller gives the allocation up.
            unsafe { region.free(old, size) }
        })
    }

    /// Whether an address lies in the region's data. False for a region that is not open.
    ///
    /// Thread-safe.
    pub fn csm_heap_contains(region: *const csm_region_t, pointer: *const c_void) -> bool {
        region.with(|region| Ok(region.contains(pointer.value.cast()))).unwrap_or(false)
    }

    /// The address of every allocation of no bytes, in all regions: not NULL, aligned to 128, not to be read
    /// or written. Another one in each process.
    ///
    /// Callable from any thread.
    pub fn csm_heap_empty() -> *mut c_void {
        empty()
    }
}

fn usual(align: u64) -> u64 {
    if align == 0 { 128 } else { align }
}

fn allocate(region: &csm::Region, size: u64, align: u64) -> Result<*mut c_void> {
    if size == 0 {
        return Ok(empty());
    }
    Ok(region.alloc(size, usual(align))?.as_ptr().cast())
}
