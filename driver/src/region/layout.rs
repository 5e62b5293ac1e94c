//! Where everything lies in a region.
//!
//! ```text
//! 0          superblock (immutable once the region exists)
//! 4 KiB      control lines of the owner node: locks, size, change counter, retired list
//! 32 KiB     void marks, a word a node: the incarnation that an operator declared off
//! 64 KiB     catalog, then the heap's chunk bitmap, chunk entries and reference bytes
//! nodes_off  one zone a node: members, their statistics, leases (written by that node alone)
//! data_off   extents
//! ```
//! The three zones begin at multiples of 2 MiB and a node's part of its zone at multiples of 64 KiB, so that a
//! process can map all read-only but what its node writes. Metadata is laid out for `max_bytes` and backed for the bytes in use: growing
//! moves nothing. Lines are 128 bytes whatever the machine's are: layout must not depend on the reader.

use std::ops::Range;

use crate::device::NODES_MAX;
use crate::error::{Error, ErrorKind, Result};
use crate::units::{KIB, MIB, TIB, format_size};

/// The unit of sharing between nodes, and the alignment of every extent, in bytes.
pub(crate) const LINE_BYTES: u64 = 128;
/// The smallest extent, in bytes.
pub(crate) const GRANULE_BYTES: u64 = LINE_BYTES;
/// The unit in which the region's memory is handed to processes, in bytes.
pub(crate) const CHUNK_BYTES: u64 = 16 * KIB;
/// Alignment of the zones, in bytes.
pub(crate) const ZONE_BYTES: u64 = 2 * MIB;
/// One slot of address space: the most a region can be, in bytes.
pub(crate) const SLOT_BYTES: u64 = TIB;

pub(crate) const CONTROL_OFF: u64 = 4 * KIB;
pub(crate) const VOID_OFF: u64 = 32 * KIB;
pub(crate) const CATALOG_OFF: u64 = 64 * KIB;
pub(crate) const CATALOG_ENTRY_BYTES: u64 = 64;
/// Bytes of a member: its identity line, a spare line and its statistics.
pub(crate) const MEMBER_BYTES: u64 = 2 * LINE_BYTES + MEMBER_STAT_SHARDS * LINE_BYTES;
/// Threads of a member count in lines of their own, as far as these go.
pub(crate) const MEMBER_STAT_SHARDS: u64 = 8;
/// Leases come in blocks of one header line and this many entries.
pub(crate) const LEASES_PER_BLOCK: u64 = 56;
/// Bytes of a lease block: one header line, then 16-byte entries.
pub(crate) const LEASE_BLOCK_BYTES: u64 = LINE_BYTES + LEASES_PER_BLOCK * 16;

const MEMBERS_PER_NODE_MAX: u64 = 4096;
const NAMES_MAX: u64 = 1 << 28;

/// What a region is created with; the rest of the layout follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Bytes in use at creation, metadata included.
    pub(crate) size_bytes: u64,
    /// Bytes the region may grow to.
    pub(crate) max_bytes: u64,
    /// Most nodes.
    pub(crate) nodes: u64,
    /// Most processes a node.
    pub(crate) members: u64,
    /// Most leases a node.
    pub(crate) leases: u64,
    /// Most names in the catalog.
    pub(crate) names: u64,
    /// Every extent has chunks of its own, so that readers can have its pages protected.
    pub(crate) protect: bool,
}

/// Offsets of the zones and tables, in bytes from the region's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) shape: Shape,
    pub(crate) catalog_slots: u64,
    pub(crate) bitmap_off: u64,
    pub(crate) entries_off: u64,
    pub(crate) refs_off: u64,
    pub(crate) nodes_off: u64,
    pub(crate) node_stride: u64,
    pub(crate) lease_blocks: u64,
    pub(crate) data_off: u64,
    /// Data chunks the metadata has room for.
    pub(crate) max_chunks: u64,
}

const fn align_up(value: u64, to: u64) -> u64 {
    value.div_ceil(to) * to
}

impl Layout {
    /// Lays out a region of `shape`.
    ///
    /// # Errors
    /// [`ErrorKind::BadSize`] when a size is not a multiple of 2 MiB, does not hold the metadata, or
    /// exceeds a slot; [`ErrorKind::InvalidArgument`] for a count out of range.
    pub(crate) fn new(shape: Shape) -> Result<Self> {
        let Shape { size_bytes, max_bytes, nodes, members, leases, names, protect: _ } = shape;
        for (what, value, most) in [
            ("nodes", nodes, NODES_MAX),
            ("members", members, MEMBERS_PER_NODE_MAX),
            ("leases", leases, 1 << 24),
            ("catalog", names, NAMES_MAX),
        ] {
            if value == 0 || value > most {
                let text = format!("{what}={value} is out of range; use 1 to {most}");
                return Err(Error::new(ErrorKind::InvalidArgument, text));
            }
        }
        for (what, bytes) in [("size", size_bytes), ("max", max_bytes)] {
            if bytes == 0 || !bytes.is_multiple_of(ZONE_BYTES) || bytes > SLOT_BYTES {
                let text = format!(
                    "{what}={bytes} is not a multiple of 2 MiB between 2 MiB and {}; round it, as in {what}={}M",
                    format_size(SLOT_BYTES),
                    (align_up(bytes.clamp(1, SLOT_BYTES), ZONE_BYTES)) / MIB
                );
                return Err(Error::new(ErrorKind::BadSize, text));
            }
        }
        if max_bytes < size_bytes {
            let text =
                format!("max={max_bytes} is below size={size_bytes}; leave max out, or make it larger");
            return Err(Error::new(ErrorKind::BadSize, text));
        }
        let own = Self::place(shape, size_bytes);
        if own.data_off + ZONE_BYTES > size_bytes {
            let text = format!(
                "size={size_bytes} is too small: this region's metadata takes {} and its data at least 2 MiB; use size={}M or more",
                format_size(own.data_off),
                (own.data_off + ZONE_BYTES) / MIB
            );
            return Err(Error::new(ErrorKind::BadSize, text));
        }
        let layout = Self::place(shape, max_bytes);
        if layout.window_bytes(max_bytes) > SLOT_BYTES {
            let text = format!(
                "max={max_bytes} does not fit a slot of {} with its metadata",
                format_size(SLOT_BYTES)
            );
            return Err(Error::new(ErrorKind::BadSize, text));
        }
        Ok(layout)
    }

    fn place(shape: Shape, bytes: u64) -> Self {
        let max_chunks = bytes / CHUNK_BYTES;
        // At most 4 of 5 catalog slots are used, so that a probe ends soon.
        let catalog_slots = shape.names + shape.names / 4 + 8;
        let bitmap_off = align_up(CATALOG_OFF + catalog_slots * CATALOG_ENTRY_BYTES, 64 * KIB);
        let entries_off = align_up(bitmap_off + max_chunks.div_ceil(64) * 8, 64 * KIB);
        let refs_off = align_up(entries_off + max_chunks * 8, 64 * KIB);
        let nodes_off = align_up(refs_off + max_chunks * (CHUNK_BYTES / GRANULE_BYTES), ZONE_BYTES);
        let lease_blocks = shape.leases.div_ceil(LEASES_PER_BLOCK);
        // A node's zone: its own line pair, members, lease blocks; page-aligned for any page size in use.
        let node_stride = align_up(
            2 * LINE_BYTES + shape.members * MEMBER_BYTES + lease_blocks * LEASE_BLOCK_BYTES,
            64 * KIB,
        );
        let data_off = align_up(nodes_off + shape.nodes * node_stride, ZONE_BYTES);
        Self {
            shape,
            catalog_slots,
            bitmap_off,
            entries_off,
            refs_off,
            nodes_off,
            node_stride,
            lease_blocks,
            data_off,
            max_chunks,
        }
    }

    /// Data bytes of a region of `size_bytes`: what is left beside the metadata that size needs.
    pub(crate) fn data_bytes(&self, size_bytes: u64) -> u64 {
        size_bytes.saturating_sub(Self::place(self.shape, size_bytes).data_off)
    }

    /// Length of the window that a region of `size_bytes` occupies, holes in the metadata included.
    pub(crate) fn window_bytes(&self, size_bytes: u64) -> u64 {
        self.data_off + self.data_bytes(size_bytes)
    }

    /// The parts of the window that need memory behind them when the region has `size_bytes`.
    pub(crate) fn backed(&self, size_bytes: u64) -> Vec<Range<u64>> {
        let chunks = self.data_bytes(size_bytes) / CHUNK_BYTES;
        vec![
            0..self.bitmap_off + chunks.div_ceil(64) * 8,
            self.entries_off..self.entries_off + chunks * 8,
            self.refs_off..self.refs_off + chunks * (CHUNK_BYTES / GRANULE_BYTES),
            self.nodes_off..self.nodes_off + self.shape.nodes * self.node_stride,
            self.data_off..self.window_bytes(size_bytes),
        ]
    }

    pub(crate) fn node_off(&self, node: u64) -> u64 {
        self.nodes_off + node * self.node_stride
    }

    /// The node that writes the line at `off`.
    #[inline]
    pub(crate) fn writer(&self, off: u64, owner: u64) -> u64 {
        if off < self.nodes_off || off >= self.data_off {
            return owner;
        }
        (off - self.nodes_off) / self.node_stride
    }

    /// Which node writes which part of the window: the whole of it, in order.
    pub(crate) fn writers(&self, owner: u64) -> Vec<(Range<u64>, u64)> {
        let nodes = (0..self.shape.nodes).map(|node| (self.node_off(node)..self.node_off(node + 1), node));
        let rest = self.node_off(self.shape.nodes)..self.window_bytes(self.shape.max_bytes);
        std::iter::once((0..self.nodes_off, owner)).chain(nodes).chain([(rest, owner)]).collect()
    }

    pub(crate) fn member_off(&self, node: u64, member: u64) -> u64 {
        self.node_off(node) + 2 * LINE_BYTES + member * MEMBER_BYTES
    }

    pub(crate) fn lease_block_off(&self, node: u64, block: u64) -> u64 {
        self.member_off(node, self.shape.members) + block * LEASE_BLOCK_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::GIB;

    fn shape(size_bytes: u64, max_bytes: u64) -> Shape {
        Shape { size_bytes, max_bytes, nodes: 4, members: 64, leases: 1024, names: 1024, protect: false }
    }

    #[test]
    fn zones_do_not_overlap_and_are_aligned() {
        for (size, max) in [(8 * MIB, 8 * MIB), (GIB, GIB), (GIB, 64 * GIB), (8 * MIB, TIB - 16 * GIB)] {
            let l = Layout::new(shape(size, max)).expect("layout");
            let backed = l.backed(size);
            assert!(backed.windows(2).all(|w| w[0].end <= w[1].start), "{backed:?}");
            assert!(l.nodes_off.is_multiple_of(ZONE_BYTES) && l.data_off.is_multiple_of(ZONE_BYTES));
            assert!(l.data_bytes(size).is_multiple_of(CHUNK_BYTES) && l.data_bytes(size) >= ZONE_BYTES);
            assert!(l.lease_block_off(3, l.lease_blocks) <= l.data_off);
            assert!(backed.iter().map(|r| r.end - r.start).sum::<u64>() <= size);
        }
    }

    #[test]
    fn metadata_is_below_one_percent_of_a_large_region() {
        let l = Layout::new(shape(16 * GIB, 16 * GIB)).expect("layout");
        assert!(l.data_off < 16 * GIB / 100, "{}", l.data_off);
    }

    #[test]
    fn bad_sizes_are_named() {
        for (size, max) in [
            (0, 0),
            (MIB, MIB),
            (2 * MIB, 2 * MIB),
            (8 * MIB + 1, 16 * MIB),
            (16 * MIB, 8 * MIB),
            (2 * TIB, 2 * TIB),
        ] {
            let e = Layout::new(shape(size, max)).expect_err("must fail");
            assert_eq!(e.kind(), ErrorKind::BadSize, "{size} {max}");
        }
    }
}
