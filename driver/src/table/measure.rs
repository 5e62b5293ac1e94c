//! From a producer's `ArrowArray` to the [`BatchShape`] that can be published.
//!
//! The C Data Interface does not say how long buffers are: lengths follow from
//! format, length and offset, and for offsets from the last one in memory.
//! Three things are made uniform on the way, because readers differ on them: a
//! batch's own offset moves into its columns (Arrow C++ refuses one), null
//! counts are counted, and a buffer of no bytes is never null.
#![allow(unsafe_code, reason = "reads a producer's structs and buffers")]

use std::ptr;

use super::bytes::index;
use super::cdata::ArrowArray;
use super::format::{BufferKind, Layout};
use super::schema::Schema;
use super::shape::{self, BatchShape, Node, RawBuffer, reach};
use crate::error::{ErrorKind, Result};

/// Measures one record batch of `schema`.
///
/// Buffers keep their addresses, and each is as long as the rows up to the last
/// one need, from its start.
///
/// # Errors
/// [`ErrorKind::BadArrow`], naming the column.
///
/// # Safety
/// `array` obeys the C Data Interface: its pointers are null or point to what
/// the interface says for `schema`, which nobody changes during the call.
pub unsafe fn measure(schema: &Schema, array: &ArrowArray) -> Result<BatchShape> {
    let n = schema.n_nodes();
    let mut walk = Walk {
        schema,
        shape: BatchShape { nodes: Vec::with_capacity(n), buffers: Vec::with_capacity(3 * n) },
    };
    // SAFETY: the caller's contract.
    unsafe { walk.array(0, array, None)? };
    shape::check(schema, &walk.shape, ErrorKind::BadArrow)?;
    Ok(walk.shape)
}

/// The rows of a column that a batch shows: what its own offset and length make of it.
#[derive(Clone, Copy)]
struct Window {
    offset: u64,
    length: u64,
}

struct Walk<'a> {
    schema: &'a Schema,
    shape: BatchShape,
}

impl Walk<'_> {
    /// Measures `array`, which is node `i`, and all below it.
    ///
    /// # Safety
    /// As [`measure`].
    unsafe fn array(&mut self, i: usize, array: &ArrowArray, window: Option<Window>) -> Result<()> {
        let schema = self.schema;
        let bad = |what: String| schema.fault(ErrorKind::BadArrow, i, what);
        if array.is_released() {
            return Err(bad("its ArrowArray was released or moved away; pass a live one".into()));
        }
        let (mut node, counted) = numbers(array, window).map_err(bad)?;
        debug_assert_eq!(self.shape.nodes.len(), i);
        node.first_buffer = super::bytes::narrow(self.shape.buffers.len(), "buffers of a batch")?;
        // SAFETY: the caller's contract.
        unsafe { self.buffers(i, array, &mut node, counted)? };
        let below = (i == 0).then_some(Window { offset: node.offset, length: node.length });
        if i == 0 {
            node.offset = 0;
        }
        self.shape.nodes.push(node);

        let info = &schema.nodes()[i];
        if array.n_children != i64::from(info.n_children) {
            return Err(bad(format!("{} children instead of {}", array.n_children, info.n_children)));
        }
        if info.n_children != 0 && array.children.is_null() {
            return Err(bad("its children are NULL".into()));
        }
        for (k, child) in schema.children(i).enumerate() {
            // SAFETY: the list has as many entries, each null or an array.
            let c_array = unsafe { (*array.children.add(k)).as_ref() };
            let c_array = c_array.ok_or_else(|| bad(format!("child {k} is NULL")))?;
            // SAFETY: the caller's contract covers what is below.
            unsafe { self.array(child, c_array, below)? };
        }
        // SAFETY: null or an array.
        match (schema.dictionary(i), unsafe { array.dictionary.as_ref() }) {
            (None, None) => Ok(()),
            // SAFETY: the caller's contract covers what is below.
            (Some(d), Some(dictionary)) => unsafe { self.array(d, dictionary, None) },
            (None, Some(_)) => Err(bad("it has a dictionary, its schema has none".into())),
            (Some(_), None) => Err(bad("its dictionary is NULL".into())),
        }?;
        // SAFETY: the buffers were measured; the caller's contract.
        unsafe { self.check_list(i) }
    }

    /// Measures the buffers of `array` and completes `node`.
    ///
    /// # Safety
    /// As [`measure`].
    unsafe fn buffers(&mut self, i: usize, array: &ArrowArray, node: &mut Node, counted: bool) -> Result<()> {
        let schema = self.schema;
        let bad = |what: String| schema.fault(ErrorKind::BadArrow, i, what);
        let layout = schema.nodes()[i].layout;
        // SAFETY: the caller's contract.
        let pointers = unsafe { pointers(layout, array) }.map_err(bad)?;
        let rows = reach(node).ok_or_else(|| bad("length and offset overflow".into()))?;

        let n_fixed = layout.n_buffers() as usize;
        let (fixed, data) = pointers.split_at(n_fixed.min(pointers.len()));
        for (k, &ptr) in (0..).zip(fixed) {
            let kind = layout.buffer(k);
            let len_bytes = match kind {
                BufferKind::Data if rows == 0 => 0,
                // SAFETY: buffer 1 is the offsets, which were measured just before.
                BufferKind::Data => unsafe { last_offset(layout, fixed[1], rows).map_err(bad)? },
                _ => kind.needed_bytes(rows).ok_or_else(|| bad(format!("{rows} rows are too many")))?,
            };
            self.push(i, k, ptr, len_bytes, kind)?;
        }
        // SAFETY: a view array's last buffer holds the sizes of its data buffers.
        for (k, (&ptr, size)) in (2..).zip(data.iter().zip(unsafe { view_sizes(layout, array) })) {
            let len = u64::try_from(size)
                .map_err(|_| bad(format!("view data buffer {} has {size} bytes", k - 2)))?;
            self.push(i, k, ptr, len, BufferKind::Data)?;
        }
        node.n_buffers = super::bytes::narrow(pointers.len(), "buffers of an array")?;

        if !layout.has_validity() {
            node.null_count = if layout == Layout::Null { node.length } else { 0 };
        } else if !counted {
            // SAFETY: a bitmap that is there holds `rows` bits.
            node.null_count = unsafe { count_nulls(fixed[0], node) };
        }
        if i == 0 && node.null_count == 0 {
            // Without nulls a batch's own bitmap says nothing.
            self.shape.buffers[0].ptr = ptr::null();
            self.shape.buffers[0].len_bytes = 0;
        }
        Ok(())
    }

    fn push(&mut self, i: usize, k: u32, ptr: *const u8, len_bytes: u64, kind: BufferKind) -> Result<()> {
        let ptr = match (ptr.is_null(), kind) {
            (true, BufferKind::Validity) | (false, _) => ptr,
            (true, _) if len_bytes == 0 => ptr::dangling(),
            (true, _) => {
                let what = format!("buffer {k} is NULL where {len_bytes} bytes are needed");
                return Err(self.schema.fault(ErrorKind::BadArrow, i, what));
            }
        };
        let len_bytes = if ptr.is_null() { 0 } else { len_bytes };
        self.shape.buffers.push(RawBuffer { ptr, len_bytes, align_bytes: kind.align_bytes() });
        Ok(())
    }

    /// That the last list of node `i` ends inside its child: one look that catches most mistakes.
    ///
    /// # Safety
    /// As [`measure`]; node `i` and its child were measured.
    unsafe fn check_list(&self, i: usize) -> Result<()> {
        let layout = self.schema.nodes()[i].layout;
        let (Layout::List { .. } | Layout::Map, node) = (layout, self.shape.nodes[i]) else { return Ok(()) };
        let Some(rows) = reach(&node).filter(|&rows| rows != 0) else { return Ok(()) };
        let offsets = self.shape.buffers[node.first_buffer as usize + 1].ptr;
        // SAFETY: the offsets buffer holds `rows + 1` offsets.
        let last = unsafe { last_offset(layout, offsets, rows) };
        let bad = |what: String| self.schema.fault(ErrorKind::BadArrow, i, what);
        let (last, n) = (last.map_err(bad)?, self.shape.nodes[i + 1].length);
        if last > n { Err(bad(format!("its last offset is {last}, its child has {n} rows"))) } else { Ok(()) }
    }
}

/// Length, offset and null count; whether the count is known.
fn numbers(array: &ArrowArray, window: Option<Window>) -> Result<(Node, bool), String> {
    let number = |n: i64, what| u64::try_from(n).map_err(|_| format!("its {what} is {n}"));
    let mut length = number(array.length, "length")?;
    let mut offset = number(array.offset, "offset")?;
    let mut counted = array.null_count >= 0;
    if array.null_count < -1 || array.null_count > array.length {
        return Err(format!("its null_count is {} of {length} rows", array.null_count));
    }
    if let Some(window) = window {
        if window.offset.checked_add(window.length).is_none_or(|end| end > length) {
            return Err(format!("{length} rows, the batch shows {} from {}", window.length, window.offset));
        }
        counted &= window.length == length || array.null_count == 0;
        length = window.length;
        offset = offset.checked_add(window.offset).ok_or("its offset overflows")?;
    }
    let null_count = if counted { u64::try_from(array.null_count).unwrap_or(0) } else { 0 };
    Ok((Node { length, null_count, offset, ..Node::default() }, counted))
}

/// The array's buffers as the layout knows them.
///
/// # Safety
/// As [`measure`].
unsafe fn pointers(layout: Layout, array: &ArrowArray) -> Result<&[*const u8], String> {
    let count = |n: i64| Err(format!("{n} buffers instead of {}", layout.n_buffers()));
    let n = array.n_buffers;
    let Ok(len) = usize::try_from(n) else { return count(n) };
    if len != 0 && array.buffers.is_null() {
        return Err(format!("its {n} buffers are NULL"));
    }
    let pointers: &[*const u8] = match len {
        0 => &[],
        // SAFETY: the list has `n_buffers` entries.
        _ => unsafe { std::slice::from_raw_parts(array.buffers.cast_const().cast(), len) },
    };
    let expected = layout.n_buffers() as usize;
    match layout {
        // The last buffer holds the sizes of those before it.
        Layout::View { .. } if len > expected => Ok(&pointers[..len - 1]),
        // Before Arrow 1.0 these types had a validity bitmap.
        Layout::Null | Layout::Union { .. } if len == expected + 1 => match pointers[0].is_null() {
            true => Ok(&pointers[1..]),
            false => Err("it has a validity bitmap, which this type lost in Arrow 1.0".into()),
        },
        Layout::View { .. } => count(n),
        _ if len == expected => Ok(pointers),
        _ => count(n),
    }
}

/// The sizes of a view array's data buffers; none for other layouts.
///
/// # Safety
/// As [`measure`], after [`pointers`] succeeded.
unsafe fn view_sizes(layout: Layout, array: &ArrowArray) -> impl Iterator<Item = i64> {
    let n = match layout {
        Layout::View { .. } => usize::try_from(array.n_buffers).map_or(0, |n| n.saturating_sub(3)),
        _ => 0,
    };
    // SAFETY: there are `n + 3` buffers, the last of `n` words; null is looked at by the next line.
    let sizes = if n == 0 { ptr::null() } else { unsafe { *array.buffers.add(n + 2) }.cast::<i64>() };
    // A missing buffer of sizes reads as -1, which is refused.
    // SAFETY: `k < n`.
    (0..n).map(move |k| if sizes.is_null() { -1 } else { unsafe { sizes.add(k).read_unaligned() } })
}

/// The offset after the last of `rows` rows, which ends the data.
///
/// # Safety
/// `offsets` holds `rows + 1` offsets of the layout's width.
unsafe fn last_offset(layout: Layout, offsets: *const u8, rows: u64) -> Result<u64, String> {
    // SAFETY: the caller's contract.
    let last = unsafe {
        match layout.buffer(1) {
            BufferKind::Offsets { wide: true } => {
                i64::from_ne_bytes(*offsets.cast::<[u8; 8]>().add(index(rows)))
            }
            _ => i64::from(i32::from_ne_bytes(*offsets.cast::<[u8; 4]>().add(index(rows)))),
        }
    };
    u64::try_from(last).map_err(|_| format!("its last offset is {last}"))
}

/// The rows of `node` whose bit is not set.
///
/// # Safety
/// `bitmap` is null or holds a bit for each row up to the node's last.
pub(super) unsafe fn count_nulls(bitmap: *const u8, node: &Node) -> u64 {
    if bitmap.is_null() || node.length == 0 {
        return 0;
    }
    let (first, last) = (node.offset, node.offset + node.length - 1);
    let (first_byte, last_byte) = (index(first / 8), index(last / 8));
    // SAFETY: the caller's contract.
    let bytes = unsafe { std::slice::from_raw_parts(bitmap.add(first_byte), last_byte - first_byte + 1) };
    let (words, rest) = bytes.as_chunks::<8>();
    let ones = words.iter().map(|w| u64::from(u64::from_ne_bytes(*w).count_ones())).sum::<u64>()
        + rest.iter().map(|b| u64::from(b.count_ones())).sum::<u64>();
    // Bits of other rows in the first and the last byte.
    let before = bytes[0] & !(0xFF << (first % 8));
    let after = bytes[bytes.len() - 1] & !(0xFF >> (7 - last % 8));
    node.length - (ones - u64::from(before.count_ones()) - u64::from(after.count_ones()))
}
