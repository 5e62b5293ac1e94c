//! The shape of a batch: the numbers of its arrays and the extents of its buffers.
//!
//! `check` is the only place that says whether lengths, counts and buffers go
//! together. A producer's arrays pass it on the way in and a descriptor on the
//! way out, so that an export cannot lead a reader outside of a buffer by
//! anything but the values in the buffers.

use std::ops::Range;

use super::format::{BufferKind, Layout};
use super::schema::Schema;
use crate::error::{Error, ErrorKind, Result};

/// The numbers of one array. They are all at most `i64::MAX`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Rows.
    pub length: u64,
    /// Rows that are null; always counted.
    pub null_count: u64,
    /// Rows that the buffers hold before the first one.
    pub offset: u64,
    /// The batch's buffer that is this array's first.
    pub first_buffer: u32,
    /// Number of this array's buffers. Views have as many as they have data buffers, and two.
    pub n_buffers: u32,
}

impl Node {
    /// Which of the batch's buffers are this array's.
    #[must_use]
    pub fn buffers(&self) -> Range<usize> {
        let first = self.first_buffer as usize;
        first..first + self.n_buffers as usize
    }
}

/// A buffer of a producer.
#[derive(Clone, Copy, Debug)]
pub struct RawBuffer {
    /// The first byte; null only for a validity bitmap that is not there.
    pub ptr: *const u8,
    /// The bytes that the array can reach. A buffer of none has no address that matters.
    pub len_bytes: u64,
    /// The alignment that readers of this type may rely on.
    pub align_bytes: u32,
}

impl RawBuffer {
    /// Whether there is no buffer, which for a validity bitmap means: no nulls.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.ptr.is_null()
    }

    /// Whether the buffer is there and has no bytes: nothing needs to be published of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.is_absent() && self.len_bytes == 0
    }

    /// Whether the buffer lies as readers of its type expect.
    #[must_use]
    pub fn is_aligned(&self) -> bool {
        (self.ptr as usize).is_multiple_of(self.align_bytes as usize)
    }
}

/// The arrays and buffers of one batch of a producer, in preorder, a dictionary after the children.
#[derive(Clone, Debug)]
pub struct BatchShape {
    /// One node an array; the first is the batch itself.
    pub nodes: Vec<Node>,
    /// The buffers of all nodes.
    pub buffers: Vec<RawBuffer>,
}

// SAFETY: a shape is numbers; its pointers are used by unsafe code alone.
#[allow(unsafe_code, reason = "pointers are plain values here")]
unsafe impl Send for BatchShape {}

/// Where a buffer is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferRef {
    /// There is no buffer.
    Absent,
    /// There is a buffer of no bytes.
    Empty,
    /// The buffer's bytes.
    At {
        /// Index into the descriptor's regions; 0 is the home region.
        region: u32,
        /// First byte, from the region's start.
        offset: u64,
        /// Bytes, not 0.
        len_bytes: u64,
    },
}

/// A batch whose buffers have their places in regions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedBatch {
    /// One node an array; the first is the batch itself.
    pub nodes: Vec<Node>,
    /// The buffers of all nodes.
    pub buffers: Vec<BufferRef>,
}

impl BatchShape {
    /// Rows of the batch.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.nodes.first().map_or(0, |n| n.length)
    }

    /// Gives every buffer that has bytes its place: `place` returns region index and offset.
    ///
    /// # Errors
    /// The first error of `place`.
    pub fn place(self, mut place: impl FnMut(&RawBuffer) -> Result<(u32, u64)>) -> Result<PlacedBatch> {
        let place = |b: &RawBuffer| {
            Ok(if b.is_absent() {
                BufferRef::Absent
            } else if b.is_empty() {
                BufferRef::Empty
            } else {
                let (region, offset) = place(b)?;
                BufferRef::At { region, offset, len_bytes: b.len_bytes }
            })
        };
        let buffers = self.buffers.iter().map(place).collect::<Result<_>>()?;
        Ok(PlacedBatch { nodes: self.nodes, buffers })
    }
}

/// A batch as [`check`] sees it.
pub(crate) trait Shape {
    fn n_nodes(&self) -> usize;
    fn n_buffers(&self) -> usize;
    fn node(&self, i: usize) -> Node;
    /// Bytes of buffer `k`; `None` where there is no buffer.
    fn buffer_len(&self, k: usize) -> Option<u64>;
}

impl Shape for BatchShape {
    fn n_nodes(&self) -> usize {
        self.nodes.len()
    }
    fn n_buffers(&self) -> usize {
        self.buffers.len()
    }
    fn node(&self, i: usize) -> Node {
        self.nodes[i]
    }
    fn buffer_len(&self, k: usize) -> Option<u64> {
        let buffer = &self.buffers[k];
        (!buffer.is_absent()).then_some(buffer.len_bytes)
    }
}

impl Shape for PlacedBatch {
    fn n_nodes(&self) -> usize {
        self.nodes.len()
    }
    fn n_buffers(&self) -> usize {
        self.buffers.len()
    }
    fn node(&self, i: usize) -> Node {
        self.nodes[i]
    }
    fn buffer_len(&self, k: usize) -> Option<u64> {
        match self.buffers[k] {
            BufferRef::Absent => None,
            BufferRef::Empty => Some(0),
            BufferRef::At { len_bytes, .. } => Some(len_bytes),
        }
    }
}

/// Checks that a batch is one of `schema`; `kind` says whose fault it is if it is not.
pub(crate) fn check(schema: &Schema, batch: &impl Shape, kind: ErrorKind) -> Result<()> {
    if batch.n_nodes() != schema.n_nodes() {
        return Err(Error::new(
            kind,
            format!("the batch has {} arrays, its schema {}", batch.n_nodes(), schema.n_nodes()),
        ));
    }
    let mut next_buffer = 0;
    for i in 0..schema.n_nodes() {
        check_node(schema, batch, i, next_buffer).map_err(|what| schema.fault(kind, i, what))?;
        next_buffer += batch.node(i).n_buffers as usize;
    }
    if next_buffer != batch.n_buffers() {
        return Err(Error::new(
            kind,
            format!("the batch has {} buffers, its arrays {next_buffer}", batch.n_buffers()),
        ));
    }
    Ok(())
}

/// Checks node `i`, whose buffers begin at `first_buffer`.
fn check_node(schema: &Schema, batch: &impl Shape, i: usize, first_buffer: usize) -> Result<(), String> {
    let node = batch.node(i);
    let layout = schema.nodes()[i].layout;
    let rows = reach(&node).ok_or_else(|| format!("length {} at offset {}", node.length, node.offset))?;
    if node.null_count > node.length {
        return Err(format!("{} nulls in {} rows", node.null_count, node.length));
    }
    let n_buffers = layout.n_buffers();
    let is_view = matches!(layout, Layout::View { .. });
    if node.n_buffers < n_buffers || (node.n_buffers > n_buffers && !is_view) {
        return Err(format!("{} buffers instead of {n_buffers}", node.n_buffers));
    }
    if node.first_buffer as usize != first_buffer
        || first_buffer + node.n_buffers as usize > batch.n_buffers()
    {
        return Err(format!("its buffers begin at {} instead of {first_buffer}", node.first_buffer));
    }
    for k in 0..node.n_buffers {
        let kind = layout.buffer(k);
        let needed = kind.needed_bytes(rows).ok_or_else(|| format!("{rows} rows are too many"))?;
        match batch.buffer_len(first_buffer + k as usize) {
            None if kind == BufferKind::Validity && node.null_count == 0 => {}
            None => return Err(format!("buffer {k} is not there and holds {} nulls", node.null_count)),
            Some(len) if len < needed => {
                return Err(format!("buffer {k} has {len} bytes, {rows} rows need {needed}"));
            }
            Some(len) if len > i64::MAX as u64 => return Err(format!("buffer {k} has {len} bytes")),
            Some(_) => {}
        }
    }
    match layout {
        Layout::Null if node.null_count != node.length => {
            return Err(format!("{} nulls in {} rows of type null", node.null_count, node.length));
        }
        Layout::Union { .. } | Layout::RunEnd if node.null_count != 0 => {
            return Err(format!("{} nulls in a type that has none of its own", node.null_count));
        }
        _ => {}
    }
    if i == 0 {
        return check_root(schema, batch, &node);
    }
    check_children(schema, batch, i, &node, rows)
}

/// The record batch itself: no offset and no nulls, which readers would not take, and columns of its length.
fn check_root(schema: &Schema, batch: &impl Shape, node: &Node) -> Result<(), String> {
    if node.offset != 0 || node.null_count != 0 {
        return Err(format!("a record batch with offset {} and {} nulls", node.offset, node.null_count));
    }
    match schema.children(0).find(|&c| batch.node(c).length != node.length) {
        None => Ok(()),
        Some(c) => Err(format!("{} rows, but {} in {}", node.length, batch.node(c).length, schema.path(c))),
    }
}

/// That children are as long as their parent needs them.
fn check_children(
    schema: &Schema,
    batch: &impl Shape,
    i: usize,
    node: &Node,
    rows: u64,
) -> Result<(), String> {
    let at_least = match schema.nodes()[i].layout {
        Layout::Struct | Layout::Union { dense: false, .. } => rows,
        Layout::FixedList { size } => {
            rows.checked_mul(u64::from(size)).ok_or_else(|| format!("{rows} lists of {size} rows"))?
        }
        Layout::RunEnd => {
            let [ends, values] = [i + 1, schema.nodes()[i + 1].end as usize].map(|c| batch.node(c));
            return if ends.length > values.length
                || ends.null_count != 0
                || (ends.length == 0 && node.length != 0)
            {
                Err(format!(
                    "{} run ends ({} of them null) for {} values and {} rows",
                    ends.length, ends.null_count, values.length, node.length
                ))
            } else {
                Ok(())
            };
        }
        _ => return Ok(()),
    };
    match schema.children(i).find(|&c| batch.node(c).length < at_least) {
        None => Ok(()),
        Some(c) => Err(format!("{} rows in {}, {at_least} are needed", batch.node(c).length, schema.path(c))),
    }
}

/// Offset plus length: the rows that the buffers hold.
pub(crate) fn reach(node: &Node) -> Option<u64> {
    node.offset.checked_add(node.length).filter(|&rows| rows < i64::MAX as u64)
}
