//! A table of one column of 64-bit integers, by the Arrow C Data Interface: the bring-up does without arrow-rs.
#![allow(unsafe_code, reason = "the structs of the C Data Interface, and their release callbacks")]

use std::ffi::{c_char, c_void};
use std::ptr::{self, NonNull};

use csm::table::cdata::{ArrowArray, ArrowSchema};
use csm::{PublishOptions, Region, Result, Table};

/// `struct ArrowSchema`.
#[repr(C)]
struct Schema {
    format: *const c_char,
    name: *const c_char,
    metadata: *const c_char,
    flags: i64,
    n_children: i64,
    children: *mut *mut Schema,
    dictionary: *mut Schema,
    release: Option<unsafe extern "C" fn(*mut Schema)>,
    private_data: *mut c_void,
}

/// `struct ArrowArray`.
#[repr(C)]
struct Array {
    length: i64,
    null_count: i64,
    offset: i64,
    n_buffers: i64,
    n_children: i64,
    buffers: *mut *const c_void,
    children: *mut *mut Array,
    dictionary: *mut Array,
    release: Option<unsafe extern "C" fn(*mut Array)>,
    private_data: *mut c_void,
}

/// Marks a struct as released: what it points to is kept by whoever made it.
unsafe extern "C" fn release_schema(schema: *mut Schema) {
    // SAFETY: consumers call this with a live struct.
    unsafe { (*schema).release = None };
}

unsafe extern "C" fn release_array(array: *mut Array) {
    // SAFETY: as above.
    unsafe { (*array).release = None };
}

fn schema(format: &'static [u8], children: &mut [*mut Schema]) -> Schema {
    Schema {
        format: format.as_ptr().cast(),
        name: c"n".as_ptr(),
        metadata: ptr::null(),
        flags: 0,
        n_children: i64::from(!children.is_empty()),
        children: children.as_mut_ptr(),
        dictionary: ptr::null_mut(),
        release: Some(release_schema),
        private_data: ptr::null_mut(),
    }
}

fn array(length: i64, buffers: &mut [*const c_void], children: &mut [*mut Array]) -> Array {
    Array {
        length,
        null_count: 0,
        offset: 0,
        n_buffers: if buffers.len() == 2 { 2 } else { 1 },
        n_children: i64::from(!children.is_empty()),
        buffers: buffers.as_mut_ptr(),
        children: children.as_mut_ptr(),
        dictionary: ptr::null_mut(),
        release: Some(release_array),
        private_data: ptr::null_mut(),
    }
}

/// Publishes a column under `name`, built in the region.
pub(super) fn publish(region: &Region, name: &str, values: impl ExactSizeIterator<Item = u64>) -> Result<()> {
    let rows = values.len();
    let bytes = (rows as u64 * 8).max(8);
    let extent = region.alloc(bytes, 64)?;
    for (row, value) in values.enumerate() {
        // SAFETY: inside the extent, which is aligned and this process's alone.
        unsafe { extent.cast::<u64>().as_ptr().add(row).write(value) };
    }
    let published = publish_extent(region, name, extent, rows);
    // SAFETY: nobody uses this reference to the extent any more; a published table has its own.
    let freed = unsafe { region.free(extent, None) };
    published.and(freed)
}

fn publish_extent(region: &Region, name: &str, extent: NonNull<u8>, rows: usize) -> Result<()> {
    let rows = i64::try_from(rows).unwrap_or(i64::MAX);
    let mut column_schema = schema(b"l\0", &mut []);
    let mut children = [&raw mut column_schema];
    let mut table_schema = schema(b"+s\0", &mut children);
    let mut buffers = [ptr::null(), extent.as_ptr().cast_const().cast()];
    let mut column = array(rows, &mut buffers, &mut []);
    let mut columns = [&raw mut column];
    let mut no_validity = [ptr::null()];
    let mut batch = array(rows, &mut no_validity, &mut columns);
    // SAFETY: whole structs of the interface's layout, moved; what they point to outlives the call below, and the
    // region's extent is not stored to from here on.
    unsafe {
        let schema = ArrowSchema::from_raw((&raw mut table_schema).cast());
        let batch = ArrowArray::from_raw((&raw mut batch).cast());
        region.publish_batches(name, &schema, std::slice::from_ref(&batch), &PublishOptions::default())?;
    }
    Ok(())
}

/// The values of a table that [`publish`] made, where they are; None for another table.
pub(super) fn values(table: &Table) -> Result<Option<(*const u64, Vec<u64>)>> {
    if table.columns() != 1 || table.batches() != 1 {
        return Ok(None);
    }
    let batch = table.batch(0)?;
    // SAFETY: a live struct of the interface's layout, with one child, which this file's publish gave two buffers; the
    // library has checked their lengths, and `batch` keeps them.
    unsafe {
        let batch = &*(&raw const batch).cast::<Array>();
        let column = &**batch.children;
        let rows = usize::try_from(column.length).unwrap_or(0);
        let values = (*column.buffers.add(1)).cast::<u64>();
        Ok(Some((values, (0..rows).map(|row| values.add(row).read_volatile()).collect())))
    }
}
