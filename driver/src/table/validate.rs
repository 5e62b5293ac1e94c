//! Full validation: that the values in the buffers lead nowhere but into the table.
//!
//! Shapes are checked always; values are the writer's word, as in any Arrow
//! file, until somebody asks. Asked for are: offsets, sizes, views, indices,
//! type ids and run ends in bounds and in order, UTF-8, and null counts. The
//! memory may be another process's to write, so every value is loaded once, by
//! a volatile read, and no reference to it is made. What changes after the look
//! is not seen: a reader who trusts nobody copies first.
#![allow(unsafe_code, reason = "reads published buffers")]

use super::bytes::index;
use super::export::Export;
use super::format::Layout;
use super::measure::count_nulls;
use super::schema::{Schema, union_type_ids};
use super::shape::{BatchShape, Node, RawBuffer};
use crate::error::{ErrorKind, Result};

/// The bytes of text that are copied out and checked at once, unless one value is longer.
const TEXT_BYTES: u64 = 32 << 10;

impl Export {
    /// Validates the values of every batch.
    ///
    /// # Errors
    /// [`ErrorKind::BadArrow`], naming batch, column, row and value; those of [`Export::batch`].
    pub fn validate(&self) -> Result<()> {
        for i in 0..self.descriptor().n_batches() {
            let shape = self.shape(i)?;
            // SAFETY: the descriptor passed its check, and its buffers can be read while `self` lives.
            unsafe { validate(self.shown(), &shape, ErrorKind::BadArrow) }
                .map_err(|e| e.context(format!("table \"{}\", batch {i}", self.descriptor().name())))?;
        }
        Ok(())
    }
}

/// Validates the values of one batch; `kind` says whose fault it is if one is wrong.
///
/// # Errors
/// An error of `kind` that names column, row and value.
///
/// # Safety
/// `shape` was measured for `schema`, or comes from an export of it, and its
/// buffers can be read.
pub unsafe fn validate(schema: &Schema, shape: &BatchShape, kind: ErrorKind) -> Result<()> {
    for i in 0..schema.n_nodes() {
        // SAFETY: the caller's contract.
        let column = unsafe { Column::new(schema, shape, i) };
        column.and_then(|c| c.validate()).map_err(|what| schema.fault(kind, i, what))?;
    }
    Ok(())
}

/// What is wrong with a column.
type Verdict<T = ()> = std::result::Result<T, String>;

/// One array and its buffers, which its shape says can be read for every row.
struct Column<'a> {
    schema: &'a Schema,
    shape: &'a BatchShape,
    i: usize,
    node: Node,
    buffers: &'a [RawBuffer],
}

impl<'a> Column<'a> {
    /// # Safety
    /// As [`validate`].
    unsafe fn new(schema: &'a Schema, shape: &'a BatchShape, i: usize) -> Verdict<Self> {
        let node = shape.nodes[i];
        let buffers = &shape.buffers[node.buffers()];
        // Volatile reads want alignment. Descriptors are checked for it; a producer may differ.
        match buffers.iter().position(|b| b.len_bytes != 0 && !b.is_aligned()) {
            Some(k) => Err(format!(
                "buffer {k} at {:p} is not aligned to {} bytes",
                buffers[k].ptr, buffers[k].align_bytes
            )),
            None => Ok(Self { schema, shape, i, node, buffers }),
        }
    }

    fn validate(&self) -> Verdict {
        let layout = self.schema.nodes()[self.i].layout;
        if layout.has_validity() {
            self.null_count()?;
        }
        match layout {
            Layout::Binary { wide, utf8 } => {
                self.offsets(wide, self.buffers[2].len_bytes, "bytes of data")?;
                if utf8 { self.text(wide) } else { Ok(()) }
            }
            Layout::View { utf8 } => self.views(utf8),
            Layout::List { wide } => self.offsets(wide, self.child_len(0), "rows of the child"),
            Layout::Map => self.offsets(false, self.child_len(0), "rows of the child"),
            Layout::ListView { wide } => self.list_views(wide),
            Layout::Union { dense, .. } => self.union(dense),
            Layout::RunEnd => self.run_ends(),
            Layout::Int { width_bytes, signed } => match self.schema.dictionary(self.i) {
                Some(d) => self.indices(width_bytes, signed, self.shape.nodes[d].length),
                None => Ok(()),
            },
            Layout::Null
            | Layout::Bits
            | Layout::Fixed { .. }
            | Layout::FixedList { .. }
            | Layout::Struct => Ok(()),
        }
    }

    fn null_count(&self) -> Verdict {
        // SAFETY: a bitmap that is there has a bit for each row.
        let counted = unsafe { count_nulls(self.buffers[0].ptr, &self.node) };
        if counted == self.node.null_count {
            return Ok(());
        }
        Err(format!("its null count is {}, its bitmap has {counted}", self.node.null_count))
    }

    /// Row by row, offsets from 0 to `end` that never fall.
    fn offsets(&self, wide: bool, end: u64, of_what: &str) -> Verdict {
        if self.node.length == 0 {
            return Ok(());
        }
        let mut before = 0;
        for row in 0..=self.node.length {
            let offset = self.word(1, wide, row);
            match u64::try_from(offset) {
                Ok(offset) if (before..=end).contains(&offset) => before = offset,
                _ => return Err(format!("row {row}: offset {offset} after {before}, of {end} {of_what}")),
            }
        }
        Ok(())
    }

    /// That the rows of checked offsets are UTF-8: many at once, and one by one where that fails.
    fn text(&self, wide: bool) -> Verdict {
        let (mut row, mut scratch) = (0, Vec::new());
        let offset = |row| self.unsigned_word(1, wide, row);
        while row < self.node.length {
            let start = offset(row)?;
            let mut end_row = row + 1;
            while end_row < self.node.length && offset(end_row + 1)?.saturating_sub(start) <= TEXT_BYTES {
                end_row += 1;
            }
            let text = self.copy(2, start, offset(end_row)?.saturating_sub(start), &mut scratch)?;
            let is_cut = |text: &str, row| {
                Ok::<_, String>(text.is_char_boundary(index(offset(row)?.saturating_sub(start))))
            };
            let mut sound = std::str::from_utf8(text).is_ok();
            if let Ok(text) = std::str::from_utf8(text) {
                for row in row + 1..end_row {
                    sound &= is_cut(text, row)?;
                }
            }
            for row in if sound { 0..0 } else { row..end_row } {
                let start = offset(row)?;
                let text = self.copy(2, start, offset(row + 1)?.saturating_sub(start), &mut scratch)?;
                self.utf8(row, text)?;
            }
            row = end_row;
        }
        Ok(())
    }

    fn views(&self, utf8: bool) -> Verdict {
        let mut scratch = Vec::new();
        for row in (0..self.node.length).filter(|&row| self.is_valid(row)) {
            let words = [0, 1].map(|half| self.load::<u64>(1, 2 * (self.node.offset + row) + half));
            let view: [u8; 16] = std::array::from_fn(|k| words[k / 8].to_le_bytes()[k % 8]);
            let field = |at| super::bytes::u32_at(&view, at);
            let [len, buffer, start] = [0, 8, 12].map(field);
            if len <= 12 {
                let (text, rest) = view[4..].split_at(len as usize);
                if rest.iter().any(|&b| b != 0) {
                    return Err(format!("row {row}: view {view:02x?} is not filled up with zeros"));
                }
                if utf8 {
                    self.utf8(row, text)?;
                }
                continue;
            }
            let size = self.buffers[2..].get(buffer as usize).map(|b| b.len_bytes);
            let end = u64::from(start) + u64::from(len);
            if i32::try_from(start).is_err()
                || i32::try_from(len).is_err()
                || size.is_none_or(|size| end > size)
            {
                let size = size.map_or_else(|| "there is none".into(), |n| format!("it has {n}"));
                return Err(format!(
                    "row {row}: view of {len} bytes at {start} of data buffer {buffer}: {size}"
                ));
            }
            let wanted = if utf8 { len } else { 4 };
            let text = self.copy(2 + buffer as usize, u64::from(start), u64::from(wanted), &mut scratch)?;
            if text[..4] != view[4..8] {
                return Err(format!("row {row}: view {view:02x?} has another prefix than its data"));
            }
            if utf8 {
                self.utf8(row, text)?;
            }
        }
        Ok(())
    }

    fn list_views(&self, wide: bool) -> Verdict {
        let n = self.child_len(0);
        for row in 0..self.node.length {
            let [offset, size] = [1, 2].map(|buffer| self.word(buffer, wide, row));
            let end =
                u64::try_from(offset).ok().zip(u64::try_from(size).ok()).and_then(|(o, s)| o.checked_add(s));
            if end.is_none_or(|end| end > n) {
                return Err(format!("row {row}: {size} rows from {offset} of a child with {n}"));
            }
        }
        Ok(())
    }

    fn indices(&self, width_bytes: u8, signed: bool, n: u64) -> Verdict {
        for row in (0..self.node.length).filter(|&row| self.is_valid(row)) {
            let index = self.integer(1, width_bytes, signed, row);
            if index < 0 || index >= i128::from(n) {
                return Err(format!("row {row}: index {index} of a dictionary with {n} values"));
            }
        }
        Ok(())
    }

    fn union(&self, dense: bool) -> Verdict {
        let mut child_len = [None; 128];
        for (id, child) in union_type_ids(self.schema, self.i).zip(self.schema.children(self.i)) {
            child_len[id.unsigned_abs() as usize & 127] = Some(self.shape.nodes[child].length);
        }
        for row in 0..self.node.length {
            let id = self.load::<i8>(0, self.node.offset + row);
            let Some(n) = usize::try_from(id).ok().and_then(|id| child_len[id]) else {
                return Err(format!("row {row}: type id {id} is not one of its type"));
            };
            let at = if dense { self.word(1, false, row) } else { 0 };
            if dense && u64::try_from(at).map_or(true, |at| at >= n) {
                return Err(format!("row {row}: row {at} of child {id}, which has {n}"));
            }
        }
        Ok(())
    }

    /// That the run ends rise and reach the last row.
    fn run_ends(&self) -> Verdict {
        let rows = i128::from(self.node.offset) + i128::from(self.node.length);
        let child = self.i + 1;
        let Layout::Int { width_bytes, signed } = self.schema.nodes()[child].layout else { return Ok(()) };
        // SAFETY: the shape of the child was checked as this one's.
        let ends = unsafe { Column::new(self.schema, self.shape, child) }?;
        let mut before = 0;
        for run in 0..ends.node.length {
            let end = ends.integer(1, width_bytes, signed, run);
            if end <= before {
                return Err(format!("run {run}: end {end} after {before}"));
            }
            before = end;
        }
        if self.node.length != 0 && before < rows {
            return Err(format!("its last run ends at {before}, its last row is {}", rows - 1));
        }
        Ok(())
    }

    fn utf8(&self, row: u64, text: &[u8]) -> Verdict {
        match std::str::from_utf8(text) {
            Err(e) if self.is_valid(row) => {
                let from = e.valid_up_to();
                let some = text[from..text.len().min(from + 8)].escape_ascii();
                Err(format!("row {row}: not UTF-8 from byte {from} on: \"{some}\""))
            }
            _ => Ok(()),
        }
    }

    fn child_len(&self, k: usize) -> u64 {
        self.schema.children(self.i).nth(k).map_or(0, |child| self.shape.nodes[child].length)
    }

    fn is_valid(&self, row: u64) -> bool {
        let at = self.node.offset + row;
        self.buffers[0].is_absent() || self.load::<u8>(0, at / 8) >> (at % 8) & 1 == 1
    }

    /// Row `row` of buffer `k`, of 32 or 64 bits.
    fn word(&self, k: usize, wide: bool, row: u64) -> i64 {
        let at = self.node.offset + row;
        if wide { self.load::<i64>(k, at) } else { i64::from(self.load::<i32>(k, at)) }
    }

    /// The same where it was found not to be negative before.
    fn unsigned_word(&self, k: usize, wide: bool, row: u64) -> Verdict<u64> {
        let word = self.word(k, wide, row);
        u64::try_from(word).map_err(|_| format!("row {row}: {word} now; it changed during the look"))
    }

    /// Row `row` of buffer `k`, an integer of any type.
    fn integer(&self, k: usize, width_bytes: u8, signed: bool, row: u64) -> i128 {
        let at = self.node.offset + row;
        match (width_bytes, signed) {
            (1, true) => self.load::<i8>(k, at).into(),
            (1, false) => self.load::<u8>(k, at).into(),
            (2, true) => self.load::<i16>(k, at).into(),
            (2, false) => self.load::<u16>(k, at).into(),
            (4, true) => self.load::<i32>(k, at).into(),
            (4, false) => self.load::<u32>(k, at).into(),
            (_, true) => self.load::<i64>(k, at).into(),
            (_, false) => self.load::<u64>(k, at).into(),
        }
    }

    /// Item `at` of buffer `k`, loaded once.
    fn load<T: Copy>(&self, k: usize, at: u64) -> T {
        let buffer = &self.buffers[k];
        assert!((at + 1) * size_of::<T>() as u64 <= buffer.len_bytes, "a checked shape is long enough");
        // SAFETY: inside the buffer, which can be read and is aligned (`new`).
        unsafe { buffer.ptr.cast::<T>().add(index(at)).read_volatile() }
    }

    /// Copies `len` bytes of buffer `k`, so that they hold still.
    fn copy<'s>(&self, k: usize, start: u64, len: u64, scratch: &'s mut Vec<u8>) -> Verdict<&'s [u8]> {
        let buffer = &self.buffers[k];
        if start.checked_add(len).is_none_or(|end| end > buffer.len_bytes) {
            return Err(format!(
                "{len} bytes at {start} of {}; it changed during the look",
                buffer.len_bytes
            ));
        }
        scratch.clear();
        scratch.reserve(index(len));
        // SAFETY: inside the buffer; the scratch has room for as much.
        unsafe {
            buffer.ptr.add(index(start)).copy_to_nonoverlapping(scratch.as_mut_ptr(), index(len));
            scratch.set_len(index(len));
        }
        Ok(scratch)
    }
}
