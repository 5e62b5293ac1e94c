//! From a checked descriptor to `ArrowArray`s over the regions, with no copy.
//!
//! Everything a consumer dereferences besides the data is made here, in one
//! block a batch: pointers, and the sizes of view buffers, which consumers take
//! as buffer lengths, so they come from the descriptor's private copy and not
//! from memory that a writer could still change.
#![allow(unsafe_code, reason = "builds C structs over mapped memory")]

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use super::arrive::Arrive;
use super::block::{self, Owner, Words};
use super::cdata::{ArrowArray, ArrowSchema};
use super::descriptor::{Batch, Descriptor};
use super::format::Layout;
use super::schema::Schema;
use super::shape::{BatchShape, BufferRef, Node, RawBuffer};
use crate::error::{Error, ErrorKind, Result};

/// What a buffer of no bytes points to: aligned for any type, and zero, so that
/// it can serve as the one offset that some readers expect of no rows.
#[repr(align(128))]
struct Nothing([u8; 128]);
static NOTHING: Nothing = Nothing([0; 128]);

/// An opened table: a descriptor, where its regions are, and what keeps them there.
pub struct Export {
    descriptor: Arc<Descriptor>,
    /// The columns shown, if not all: their schema, their numbers, and the descriptor's node for each of theirs.
    selection: Option<Selection>,
    bases: Box<[*const u8]>,
    arrive: Arc<dyn Arrive>,
    owner: Owner,
}

struct Selection {
    schema: Arc<Schema>,
    columns: Vec<usize>,
    nodes: Vec<usize>,
}

// SAFETY: the bases are plain addresses of memory that any thread may read while the owner lives.
unsafe impl Send for Export {}
// SAFETY: as above; nothing is changed after creation.
unsafe impl Sync for Export {}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Export").field("descriptor", &self.descriptor).field("bases", &self.bases).finish()
    }
}

impl Export {
    /// Joins a descriptor with its regions: `bases[r]` is the address of region number `r`.
    ///
    /// Every array that comes of it holds a clone of `owner`, which is dropped,
    /// on whatever thread, when the last of them is released; in a forked child
    /// it is leaked instead.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if the number of bases is not that of the regions.
    ///
    /// # Safety
    /// While `owner` lives, the bytes of every buffer of the descriptor are
    /// mapped for reading at its region's base plus its offset, and a base is
    /// aligned to 64 bytes at least.
    pub unsafe fn new(
        descriptor: Arc<Descriptor>,
        bases: impl Into<Box<[*const u8]>>,
        owner: Arc<impl Arrive>,
    ) -> Result<Self> {
        let bases = bases.into();
        if bases.len() != descriptor.n_regions() {
            return Err(Error::new(
                ErrorKind::Internal,
                format!("{} base addresses for {} regions", bases.len(), descriptor.n_regions()),
            ));
        }
        Ok(Self { descriptor, selection: None, bases, arrive: owner.clone(), owner: Owner::new(owner) })
    }

    /// The descriptor.
    #[must_use]
    pub fn descriptor(&self) -> &Arc<Descriptor> {
        &self.descriptor
    }

    /// The same table with these of its columns alone, in this order.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a column that is not there.
    pub fn select(&self, columns: &[usize]) -> Result<Self> {
        let shown = self.shown();
        let schema = Arc::new(shown.project(columns)?);
        let mut nodes = vec![0];
        let mut numbers = Vec::with_capacity(columns.len());
        for &column in columns {
            // Of the table, where this is a selection itself.
            nodes.extend(shown.column_nodes(column).unwrap_or(0..0).map(|node| self.node_number(node)));
            numbers.push(self.selection.as_ref().map_or(column, |selection| selection.columns[column]));
        }
        Ok(Self {
            descriptor: self.descriptor.clone(),
            selection: Some(Selection { schema, columns: numbers, nodes }),
            bases: self.bases.clone(),
            arrive: self.arrive.clone(),
            owner: self.owner.clone(),
        })
    }

    /// The schema of what is shown.
    #[must_use]
    pub fn shown(&self) -> &Arc<Schema> {
        self.selection.as_ref().map_or(self.descriptor.schema(), |selection| &selection.schema)
    }

    /// The descriptor's node for a node of what is shown.
    fn node_number(&self, node: usize) -> usize {
        self.selection.as_ref().map_or(node, |selection| selection.nodes[node])
    }

    fn arrived(&self, i: usize) -> Result<()> {
        self.arrive.arrive(&self.descriptor, i, self.selection.as_ref().map(|selection| &*selection.columns))
    }

    /// The lengths of the buffers shown, of all batches; each as often as it is used.
    pub fn buffer_lens(&self) -> impl Iterator<Item = u64> + '_ {
        let batches = (0..self.descriptor.n_batches()).filter_map(|i| self.descriptor.batch(i));
        batches.flat_map(move |batch| {
            let nodes = (0..self.shown().n_nodes()).map(move |i| batch.node(self.node_number(i)));
            nodes.flat_map(move |node| batch.located(node.buffers()).map(|(_, _, len_bytes)| len_bytes))
        })
    }

    /// The schema of what is shown as a C struct, which keeps the descriptor but not the owner.
    #[must_use]
    pub fn schema(&self) -> ArrowSchema {
        self.shown().to_c()
    }

    /// Batch `i` as a C struct, its bytes arrived.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] past the last one; when the bytes cannot arrive, see [`Arrive`].
    pub fn batch(&self, i: usize) -> Result<ArrowArray> {
        let batch = self.descriptor.batch(i).ok_or_else(|| self.no_batch(i))?;
        self.arrived(i)?;
        let schema = self.shown();
        // Besides the buffers, a view array has a buffer of sizes and, in it, a word for each data buffer.
        let is_view = |i: &usize| matches!(schema.nodes()[*i].layout, Layout::View { .. });
        let extra: usize = (0..schema.n_nodes())
            .filter(is_view)
            .map(|i| self.node_number(i))
            .map(|i| 1 + (batch.node(i).n_buffers - Layout::View { utf8: false }.n_buffers()) as usize)
            .sum();
        let n_words = batch.n_buffers() + extra;
        Ok(block::build(schema, n_words, self.owner.clone(), |i, words| {
            self.array(&batch, &batch.node(self.node_number(i)), schema.nodes()[i].layout, words)
        }))
    }

    fn no_batch(&self, i: usize) -> Error {
        let (name, batches) = (self.descriptor.name().escape_debug(), self.descriptor.n_batches());
        let text = format!("table \"{name}\" has {batches} batches, and no number {i}");
        Error::new(ErrorKind::InvalidArgument, text)
    }

    /// The addresses and lengths of batch `i`, as measured from a producer, its bytes arrived.
    ///
    /// # Errors
    /// As [`Export::batch`].
    pub fn shape(&self, i: usize) -> Result<BatchShape> {
        let batch = self.descriptor.batch(i).ok_or_else(|| self.no_batch(i))?;
        self.arrived(i)?;
        let mut nodes: Vec<Node> =
            (0..self.shown().n_nodes()).map(|i| batch.node(self.node_number(i))).collect();
        let mut buffers = Vec::with_capacity(batch.n_buffers());
        for (node, info) in nodes.iter_mut().zip(self.shown().nodes()) {
            let first = buffers.len();
            for k in 0..node.n_buffers {
                let (ptr, len_bytes) = self.resolve(batch.buffer((node.first_buffer + k) as usize));
                buffers.push(RawBuffer { ptr, len_bytes, align_bytes: info.layout.buffer(k).align_bytes() });
            }
            node.first_buffer = u32::try_from(first).unwrap_or(u32::MAX);
        }
        Ok(BatchShape { nodes, buffers })
    }

    /// Address and length of a buffer.
    fn resolve(&self, buffer: BufferRef) -> (*const u8, u64) {
        match buffer {
            BufferRef::Absent => (ptr::null(), 0),
            BufferRef::Empty => (NOTHING.0.as_ptr(), 0),
            BufferRef::At { region, offset, len_bytes } => {
                let base = self.bases[region as usize];
                (base.wrapping_add(super::bytes::index(offset)), len_bytes)
            }
        }
    }

    /// One array without its links.
    fn array(&self, batch: &Batch<'_>, node: &Node, layout: Layout, words: &mut Words) -> ArrowArray {
        let n = node.n_buffers as usize;
        let n_data = match layout {
            Layout::View { .. } => Some(n - layout.n_buffers() as usize),
            _ => None,
        };
        let n_pointers = n + usize::from(n_data.is_some());
        let pointers = words.take(n_pointers).cast::<*const c_void>();
        let sizes = words.take(n_data.unwrap_or(0));
        for k in 0..n {
            let (ptr, len_bytes) = self.resolve(batch.buffer(node.first_buffer as usize + k));
            // SAFETY: `n_pointers` words were taken, and one for each data buffer, which are the last of the `n`.
            unsafe {
                pointers.add(k).write(ptr.cast());
                if let Some(at) = n_data.and_then(|n_data| (k + n_data).checked_sub(n)) {
                    sizes.add(at).write(len_bytes);
                }
            }
        }
        if n_data.is_some() {
            let sizes = if sizes.is_null() { NOTHING.0.as_ptr().cast() } else { sizes.cast_const().cast() };
            // SAFETY: a view array has `n + 1` pointers.
            unsafe { pointers.add(n).write(sizes) };
        }
        // Numbers of a checked descriptor are at most i64::MAX.
        let [length, null_count, offset] =
            [node.length, node.null_count, node.offset].map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        ArrowArray {
            length,
            null_count,
            offset,
            n_buffers: i64::try_from(n_pointers).unwrap_or(i64::MAX),
            buffers: pointers,
            ..ArrowArray::empty()
        }
    }
}
