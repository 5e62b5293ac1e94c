//! A node's life: its incarnation, in the first line of its zone, and the void mark that an operator may set.
//!
//! An incarnation is a counter that only grows, and a tag of the node's boot. It changes when the node has started anew,
//! and when the node was fenced: from then on its leases counted no more, so its processes must end before a new one
//! may begin, with empty leases. The order matters: leases are cleared home before the new incarnation is (law 5: a
//! new incarnation by itself ends nothing). A void mark is the lowest counter whose leases still count. It lies with
//! the owner, who alone writes it, and is never lowered, so that a node that comes back late, however often it was
//! fenced since, finds its own below it. Nothing but its own word at joining may be compared with the mark.

use std::time::{Duration, Instant};

use super::control::ControlFile;
use crate::coherence::{Bytes, Step, check};
use crate::error::{Error, ErrorKind, Result};
use crate::region::layout::{LEASE_BLOCK_BYTES, LINE_BYTES, VOID_OFF};
use crate::region::space::Space;

/// Words of a node's line.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(crate) enum NodeWord {
    /// Its incarnation; 0 before its first process.
    Incarnation = 0,
    /// How many of its lease blocks were ever used.
    BlocksUsed = 1,
    /// Whose zone this is: [`Space::life`]. Before the node's first process has said so, the zone holds what the
    /// window held before, in part perhaps, from a cache that wrote back late, and means nothing.
    Life = 2,
}

const TAG_BITS: u32 = 32;
const NAP: Duration = Duration::from_millis(1);

pub(super) fn line(space: &Space, node: u64) -> Bytes {
    space.range(space.layout().node_off(node), LINE_BYTES)
}

/// Makes what `node` says of itself new.
fn hear(space: &Space, node: u64) {
    space.coherence().acquire(Step::IncarnationIn, node, &[line(space, node)]);
}

/// Makes what every node says of itself new.
pub(crate) fn hear_all(space: &Space) {
    let lines = (0..space.layout().shape.nodes).map(|node| (node, line(space, node)));
    space.coherence().acquire_of_each(Step::IncarnationIn, lines);
}

/// What `node` says of itself, as far as this node knows; 0 before it has said anything in this region.
pub(crate) fn noted(space: &Space, node: u64, which: NodeWord) -> u64 {
    let line = space.remote(space.layout().node_off(node), 3);
    if line[NodeWord::Life as usize].load() == space.life() { line[which as usize].load() } else { 0 }
}

/// Whether the zone of `node` is of this region, as far as this node knows.
pub(super) fn is_of_this_region(space: &Space, node: u64) -> bool {
    noted(space, node, NodeWord::Life) == space.life()
}

/// The counter of an incarnation.
fn counter(incarnation: u64) -> u64 {
    incarnation >> TAG_BITS
}

/// Whether an operator declared this incarnation of `node` off, as far as the mark is new here.
pub(crate) fn is_void(space: &Space, node: u64, incarnation: u64) -> bool {
    counter(incarnation) < void_mark(space, node)
}

/// The lowest counter of an incarnation of `node` whose leases count, as far as this node knows.
fn void_mark(space: &Space, node: u64) -> u64 {
    space.remote(VOID_OFF + node * 8, 1)[0].load()
}

/// The line with the void mark of `node`.
pub(crate) fn void_line(space: &Space, node: u64) -> Bytes {
    space.range((VOID_OFF + node * 8) / LINE_BYTES * LINE_BYTES, LINE_BYTES)
}

/// The void marks of all nodes.
pub(crate) fn void_marks(space: &Space) -> Bytes {
    space.range(VOID_OFF, space.layout().shape.nodes * 8)
}

/// Whether the leases of `node` count. The caller made its line new behind the fence of the retirement.
pub(crate) fn counts(space: &Space, node: u64) -> bool {
    !is_void(space, node, noted(space, node, NodeWord::Incarnation))
}

/// Declares the incarnation that `node` has now off: from here on its leases count no more. The caller is of the
/// owner's node and has the catalog's lock.
pub(crate) fn set_void_mark(space: &Space, node: u64) -> Result<()> {
    let nodes = space.layout().shape.nodes;
    if node >= nodes || node == space.owner() {
        let text = format!(
            "node {node} cannot be fenced; use one of the borrowers: a number from 0 to {} that is not the owner's, {}",
            nodes - 1,
            space.owner()
        );
        return Err(Error::new(ErrorKind::InvalidArgument, text));
    }
    hear(space, node);
    let incarnation = noted(space, node, NodeWord::Incarnation);
    if incarnation == 0 {
        let text = format!("node {node} has never had the region open: there is nothing to fence");
        return Err(Error::new(ErrorKind::InvalidArgument, text));
    }
    let mark = void_mark(space, node).max(counter(incarnation) + 1);
    space.word(VOID_OFF + node * 8).store(mark);
    space.coherence().release_before_loads(Step::VoidHome, &[void_line(space, node)]);
    Ok(())
}

/// Holds the door of a node: one process at a time joins.
pub(super) struct Door<'a> {
    control: &'a ControlFile,
    node: u64,
}

impl<'a> Door<'a> {
    pub(super) fn enter(control: &'a ControlFile, node: u64, patience: Duration) -> Result<Self> {
        let deadline = Instant::now() + patience;
        while !control.claim_door(node)? {
            if Instant::now() >= deadline {
                let text = format!(
                    "another process of node {node} has been opening this region for {patience:?}; wait for it, or end it"
                );
                return Err(Error::new(ErrorKind::TimedOut, text));
            }
            std::thread::sleep(NAP);
        }
        Ok(Self { control, node })
    }
}

impl Drop for Door<'_> {
    fn drop(&mut self) {
        if let Err(e) = self.control.release_door(self.node) {
            log::warn!("giving the door of node {} back: {e}", self.node);
        }
    }
}

/// Clears the zone of this node, which holds what the window held before, and then says that it is of this region.
fn take_zone(space: &Space, node: u64) {
    let (start, bytes) = (space.layout().node_off(node), space.layout().node_stride);
    space.words(start, bytes / 8).iter().for_each(|word| word.store(0));
    space.coherence().release(Step::RejoinHome, &[space.range(start, bytes)]);
    space.word(start + NodeWord::Life as u64 * 8).store(space.life());
}

/// Makes sure that this node has an incarnation under which leases count, and returns it. The caller holds the door,
/// and completes what this starts to bring home, before it takes a lease.
pub(super) fn begin(space: &Space, control: &ControlFile, boot: u64) -> Result<u64> {
    let node = space.node();
    if !is_of_this_region(space, node) {
        take_zone(space, node);
    }
    let incarnation = noted(space, node, NodeWord::Incarnation);
    let tag = boot & ((1 << TAG_BITS) - 1);
    let same_boot = incarnation != 0 && incarnation & ((1 << TAG_BITS) - 1) == tag;
    space.coherence().acquire(Step::VoidIn, space.owner(), &[void_line(space, node)]);
    let fenced = incarnation != 0 && is_void(space, node, incarnation);
    if same_boot && !fenced {
        space.coherence().start_release(Step::IncarnationHome, &[line(space, node)]);
        return Ok(incarnation);
    }
    if incarnation != 0 && node == space.owner() {
        let text = "its owner, this node, has started anew since (a simulated one: boot= says so): what its caches held of the \
             region is lost; destroy the region and create it anew";
        return Err(Error::new(ErrorKind::RegionLost, text));
    }
    let members = space.layout().shape.members;
    if !check(Step::NobodyLives, !control.any_alive(node * members..(node + 1) * members)) {
        let text = format!(
            "node {node} was fenced by an operator, and processes of it still have the region open: what they read may be gone; \
             close the region in all of them (csm stat shows who they are), then open it anew"
        );
        return Err(Error::new(ErrorKind::Fenced, text));
    }
    let blocks = noted(space, node, NodeWord::BlocksUsed).min(space.layout().lease_blocks);
    let (start, bytes) = (space.layout().lease_block_off(node, 0), blocks * LEASE_BLOCK_BYTES);
    space.words(start, bytes / 8).iter().for_each(|word| word.store(0));
    space.coherence().release(Step::RejoinHome, &[space.range(start, bytes)]);
    let next = (counter(incarnation) + 1) << TAG_BITS | tag;
    space.word(space.layout().node_off(node) + NodeWord::Incarnation as u64 * 8).store(next);
    space.coherence().start_release(Step::IncarnationHome, &[line(space, node)]);
    Ok(next)
}
