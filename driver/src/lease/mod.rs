//! Leases: one process's right to one published generation.
//!
//! A lease is one 8-byte word in the holder's own node zone that names a descriptor by its offset: while
//! it is home, nothing under that descriptor is reused, so the offset alone is unambiguous. Entries come in
//! blocks; a process takes a block for itself and writes its entries without asking anybody. The owner
//! reads all of them when it wants to reclaim. This room knows no heap.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::coherence::Step;
use crate::error::{Error, ErrorKind, Result};
use crate::member::Member;
use crate::member::node::{self, NodeWord};
use crate::region::layout::{LEASE_BLOCK_BYTES, LEASES_PER_BLOCK, LINE_BYTES};
use crate::region::space::Space;
use crate::region::word::Word;
use crate::sys::process;
use crate::units::index;

const HEADER_WORDS: u64 = LINE_BYTES / 8;

/// A lease as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaseInfo {
    /// Node of the holder.
    pub(crate) node: u64,
    /// Slot of the holder.
    pub(crate) slot: u16,
    /// Offset of the descriptor it names.
    pub(crate) descriptor_off: u64,
    /// Since when, in nanoseconds since the epoch.
    pub(crate) since_unix_ns: u64,
    /// Whether the holder lives.
    pub(crate) alive: bool,
    /// Whether the lease counts: not when the holder is proven dead, nor when its node was fenced.
    pub(crate) counts: bool,
}

/// This process's leases.
pub(crate) struct Leases {
    space: Arc<Space>,
    member: Arc<Member>,
    free: Mutex<Vec<Entry>>,
}

/// A place for a lease: its block and its number there.
#[derive(Clone, Copy, Debug)]
struct Entry {
    block: u64,
    index: u64,
}

/// A lease of this process. It ends by [`Leases::give_back`].
#[derive(Debug)]
pub(crate) struct Lease {
    entry: Entry,
    descriptor_off: u64,
}

/// A block of leases of this node.
fn block(space: &Space, block: u64) -> &[Word] {
    space.words(space.layout().lease_block_off(space.node(), block), LEASE_BLOCK_BYTES / 8)
}

fn bytes(words: &[Word]) -> (*const u8, u64) {
    (words.as_ptr().cast(), words.len() as u64 * 8)
}

/// How many of a node's lease blocks were ever used, as far as its line is new; the scan stops there.
fn blocks_used(space: &Space, node: u64) -> u64 {
    node::noted(space, node, NodeWord::BlocksUsed).min(space.layout().lease_blocks)
}

impl Leases {
    pub(crate) fn new(space: Arc<Space>, member: Arc<Member>) -> Self {
        Self { space, member, free: Mutex::default() }
    }

    /// Takes a lease on the descriptor at `descriptor_off`. It is home, and ordered before every later
    /// load, when this returns: the caller looks a second time now.
    ///
    /// # Errors
    /// [`ErrorKind::LeasesFull`].
    pub(crate) fn take(&self, descriptor_off: u64) -> Result<Lease> {
        let mut free = self.free();
        if free.is_empty() {
            let block = self.claim_block()?;
            free.extend((0..LEASES_PER_BLOCK).rev().map(|index| Entry { block, index }));
        }
        let Some(entry) = free.pop() else {
            return Err(Error::new(ErrorKind::Internal, "an empty lease block was claimed"));
        };
        drop(free);
        let words = self.words(entry);
        words[1].store(process::unix_ns());
        words[0].store(descriptor_off);
        self.space.coherence().release_before_loads(Step::LeaseHome, &[bytes(words)]);
        Ok(Lease { entry, descriptor_off })
    }

    /// Ends a lease.
    pub(crate) fn give_back(&self, lease: &Lease) {
        let words = self.words(lease.entry);
        words[0].store(0);
        self.space.coherence().release(Step::LeaseEndHome, &[bytes(words)]);
        self.free().push(lease.entry);
    }

    /// Whether a lease is still in its place: nobody took this process for dead.
    pub(crate) fn holds(&self, lease: &Lease) -> bool {
        self.words(lease.entry)[0].load() == lease.descriptor_off
    }

    /// Ends every lease of a dead member of this node, whose slot the caller has claimed.
    pub(crate) fn reap(&self, slot: u16) {
        self.clear_blocks(slot);
    }

    /// Ends every lease of this process, for good.
    pub(crate) fn leave(&self) {
        self.free().clear();
        self.clear_blocks(self.member.slot());
    }

    fn clear_blocks(&self, slot: u16) {
        for number in 0..blocks_used(&self.space, self.space.node()) {
            let words = block(&self.space, number);
            if words[0].load() != u64::from(slot) + 1 {
                continue;
            }
            for word in &words[index(HEADER_WORDS)..] {
                word.store(0);
            }
            // Also what reads 0 already: who cleared it may have died before it was home. The block is somebody's
            // until then, so that it is done again.
            self.space.coherence().release(Step::ReapHome, &[bytes(words)]);
            words[0].store(0);
            self.space.coherence().release(Step::ReapHome, &[bytes(&words[..1])]);
        }
    }

    fn claim_block(&self) -> Result<u64> {
        let (space, node) = (&self.space, self.space.node());
        let mine = u64::from(self.member.slot()) + 1;
        let line = space.words(space.layout().node_off(node), HEADER_WORDS);
        let used = &line[index(NodeWord::BlocksUsed as u64)];
        for number in 0..space.layout().lease_blocks {
            let words = block(space, number);
            if words[0].load() != 0 || !words[0].replace(0, mine) {
                continue;
            }
            // The scan must reach this block before any lease in it counts.
            loop {
                let seen = used.load();
                if seen > number || used.replace(seen, number + 1) {
                    break;
                }
            }
            // The whole block: what its last holder left of it may not be home.
            space.coherence().start_release(Step::BlockHome, &[bytes(words), bytes(line)]);
            return Ok(number);
        }
        let text = format!(
            "all {} leases of node {node} are in use; close tables that are no longer read, or create the region with leases= more",
            space.layout().shape.leases
        );
        Err(Error::new(ErrorKind::LeasesFull, text))
    }

    fn words(&self, entry: Entry) -> &[Word] {
        let words = block(&self.space, entry.block);
        let at = index(HEADER_WORDS + entry.index * 2);
        &words[at..at + 2]
    }

    fn free(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every lease of every node, as it is home now.
pub(crate) fn list(space: &Space, member: &Member) -> Vec<LeaseInfo> {
    let mut leases = Vec::new();
    for_each_block(space, |node, slot, taken| {
        let mut taken = taken.peekable();
        if taken.peek().is_none() {
            return;
        }
        let alive = member.is_alive_on(node, slot);
        let counts = alive && node::counts(space, node);
        leases.extend(taken.map(|(descriptor_off, since_unix_ns)| LeaseInfo {
            node,
            slot: u16::try_from(slot).unwrap_or(u16::MAX),
            descriptor_off,
            since_unix_ns,
            alive,
            counts,
        }));
    });
    leases
}

/// Which of these descriptors living processes have leases on, in ascending order. The caller has stored the
/// retirement and fenced; the holder of a lease that is not here will see the retirement when it looks again.
///
/// Whether a process lives is asked of the kernel, and only for those that hold one of `retired`.
pub(crate) fn scan(space: &Space, member: &Member, retired: &[u64]) -> Vec<u64> {
    let mut retired = retired.to_vec();
    retired.sort_unstable();
    let mut kept = vec![false; retired.len()];
    for_each_block(space, |node, slot, taken| {
        let mut found = taken.filter_map(|(off, _)| retired.binary_search(&off).ok()).peekable();
        if found.peek().is_some() && member.is_alive_on(node, slot) && node::counts(space, node) {
            found.for_each(|i| kept[i] = true);
        }
    });
    retired.into_iter().zip(kept).filter_map(|(off, kept)| kept.then_some(off)).collect()
}

/// Visits the lease blocks of every node as they are home now: node, slot, and each lease's descriptor and time.
fn for_each_block(space: &Space, mut visit: impl FnMut(u64, u64, &mut dyn Iterator<Item = (u64, u64)>)) {
    // In two steps for all of them, not for one after the other: a fence costs as much as many lines.
    node::hear_all(space);
    // Each count is looked at once: blocks that come later are not among those made new.
    let nodes: Vec<_> = (0..space.layout().shape.nodes)
        .map(|node| (node, space.layout().lease_block_off(node, 0), blocks_used(space, node)))
        .filter(|(.., blocks)| *blocks > 0)
        .collect();
    let used =
        nodes.iter().map(|&(node, start, blocks)| (node, space.range(start, blocks * LEASE_BLOCK_BYTES)));
    space.coherence().acquire_of_each(Step::LeasesIn, used);
    for (node, start, blocks) in nodes {
        for number in 0..blocks {
            let words = space.remote(start + number * LEASE_BLOCK_BYTES, LEASE_BLOCK_BYTES / 8);
            let slot = words[0].load().wrapping_sub(1);
            if slot >= space.layout().shape.members {
                // Nobody's, or overwritten.
                continue;
            }
            let entries = words[index(HEADER_WORDS)..].chunks_exact(2);
            let mut taken = entries
                .filter_map(|entry| Some((entry[0].load(), entry[1].load())).filter(|(word, _)| *word != 0));
            visit(node, slot, &mut taken);
        }
    }
}
