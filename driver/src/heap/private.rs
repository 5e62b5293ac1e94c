//! What one process has of the heap, shared by its threads: marks, bins, and the way to the shared half.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bins::Bin;
use super::chunks::Chunks;
use super::class::{BLOCK_MAX_BYTES, CLASSES, block_bytes, class_of};
use super::entry::{Head, Kind, REGION};
use super::marks::{Mark, Marks};
use super::report;
use super::view::{COUNT, View};
use super::{Process, cache};
use crate::error::{Error, ErrorKind, Result};
use crate::member::Stat;
use crate::region::layout::{CHUNK_BYTES, MEMBER_STAT_SHARDS};
use crate::region::space::Space;
use crate::region::word::Byte;
use crate::sys::process;
use crate::units::format_size;

type Reclaim = dyn Fn() -> bool + Send + Sync;

pub(super) struct Private {
    /// Names this heap among all of this process, ever; 0 once it is closed.
    pub(super) id: AtomicU64,
    pub(super) space: Arc<Space>,
    pub(super) process: Arc<dyn Process>,
    pub(super) slot: u16,
    /// Which process made it: a forked child must not touch the shared half.
    pub(super) forks: u32,
    pub(super) marks: Marks,
    /// Larger requests get a run of chunks: all do where every extent has pages of its own.
    pub(super) block_max_bytes: u64,
    /// The first reference byte.
    refs: *const Byte,
    bins: [Mutex<Bin>; CLASSES],
    /// Bits of the statistics lines that some thread counts in.
    pub(super) shards: AtomicU8,
    reclaim: Mutex<Option<Arc<Reclaim>>>,
}

// SAFETY: `refs` points to atomics in the mapping that `space` keeps; the rest is Send.
unsafe impl Send for Private {}
// SAFETY: as above.
unsafe impl Sync for Private {}

impl Private {
    pub(super) fn new(space: Arc<Space>, process: Arc<dyn Process>) -> Result<Self> {
        static HEAPS: AtomicU64 = AtomicU64::new(0);
        let layout = *space.layout();
        let marks = Marks::new(&layout)?;
        let refs = space.bytes(layout.refs_off, layout.max_chunks * super::view::GRANULES_PER_CHUNK).as_ptr();
        Ok(Self {
            id: AtomicU64::new(HEAPS.fetch_add(1, Ordering::Relaxed) + 1),
            slot: process.identity().0,
            space,
            process,
            forks: process::fork_count(),
            marks,
            block_max_bytes: if layout.shape.protect { 0 } else { BLOCK_MAX_BYTES },
            refs,
            bins: [const { Mutex::new(Bin::new()) }; CLASSES],
            shards: AtomicU8::new(0),
            reclaim: Mutex::new(None),
        })
    }

    pub(super) fn chunk_off(&self, chunk: u64) -> u64 {
        self.space.layout().data_off + chunk * CHUNK_BYTES
    }

    pub(super) fn chunk_at(&self, off: u64) -> u64 {
        (off - self.space.layout().data_off) / CHUNK_BYTES
    }

    /// The reference byte of an extent that this process has.
    #[inline]
    fn refs(&self, off: u64) -> &Byte {
        let granule = (off - self.space.layout().data_off) / crate::region::layout::GRANULE_BYTES;
        // SAFETY: `off` has a mark, so it is a granule of the data zone, each of which has its byte.
        unsafe { &*self.refs.add(super::index(granule)) }
    }

    /// Whether an extent that this process has is published, or was.
    #[inline]
    pub(super) fn is_published(&self, off: u64) -> bool {
        self.refs(off).load() != 0
    }

    /// Takes the heap lock.
    pub(super) fn lock(&self) -> Result<Chunks<'_>> {
        self.check_open()?;
        Chunks::lock(&self.space, &*self.process)
    }

    fn check_open(&self) -> Result<()> {
        if self.id.load(Ordering::Relaxed) == 0 {
            return Err(Error::new(
                ErrorKind::Closed,
                "the region was closed in this process; open it again",
            ));
        }
        Ok(())
    }

    fn bin(&self, class: usize) -> MutexGuard<'_, Bin> {
        held(&self.bins[class])
    }

    /// Allocates a block that this thread has in its cache.
    #[inline]
    pub(super) fn pop(self: &Arc<Self>, class: usize) -> Option<u64> {
        let off = cache::with(self, |cache| {
            let off = cache.stacks[class].pop()?;
            cache.count(Stat::LiveBytes, block_bytes(class));
            cache.count(Stat::Allocations, 1);
            Some(off)
        })??;
        self.marks.set(off, Mark::block(class));
        Some(off)
    }

    /// Frees a block: into this thread's cache, or what is too much into the bin.
    #[inline]
    pub(super) fn push(self: &Arc<Self>, class: usize, off: u64) -> Result<()> {
        let pushed = cache::with(self, |cache| {
            cache.count(Stat::LiveBytes, block_bytes(class).wrapping_neg());
            cache.count(Stat::Frees, 1);
            cache.stacks[class].push(off)
        });
        if pushed == Some(true) { Ok(()) } else { self.push_slow(class, off, pushed.is_some()) }
    }

    #[cold]
    fn push_slow(self: &Arc<Self>, class: usize, off: u64, counted: bool) -> Result<()> {
        if !counted {
            self.check_open()?;
            self.count(block_bytes(class).wrapping_neg(), Stat::Frees);
        }
        let mut batch = [0; cache::BATCH];
        let spilled = cache::with(self, |cache| cache.stacks[class].spill(&mut batch[1..])).unwrap_or(0);
        batch[0] = off;
        self.give(class, &batch[..=spilled])
    }

    /// Gives free blocks to their bin.
    pub(super) fn give(&self, class: usize, blocks: &[u64]) -> Result<()> {
        if blocks.is_empty() { Ok(()) } else { self.bin(class).give(self, class, blocks) }
    }

    /// Allocates a block from the bin, and some more for this thread's cache. `None`: the region is full.
    pub(super) fn alloc_block(self: &Arc<Self>, class: usize) -> Result<Option<u64>> {
        let mut batch = [0; cache::BATCH];
        let wanted = cache::with(self, |cache| cache.stacks[class].batch()).unwrap_or(1);
        let taken = self.bin(class).take(self, class, &mut batch[..wanted])?;
        if taken == 0 {
            return Ok(None);
        }
        cache::with(self, |cache| cache.stacks[class].refill(&batch[1..taken]));
        self.marks.set(batch[0], Mark::block(class));
        self.count(block_bytes(class), Stat::Allocations);
        self.note_peak();
        Ok(Some(batch[0]))
    }

    /// Allocates a run of chunks. `None`: the region is full.
    pub(super) fn alloc_run(self: &Arc<Self>, count: u64, align: u64) -> Result<Option<u64>> {
        let claimed = self.lock()?.claim(count, align, Kind::Large, self.slot)?;
        Ok(claimed.map(|(chunk, _)| {
            let off = self.chunk_off(chunk);
            self.marks.set(off, Mark::LARGE);
            self.count(count * CHUNK_BYTES, Stat::Allocations);
            self.note_peak();
            off
        }))
    }

    /// Frees what is published, large, or not this process's to free.
    #[cold]
    pub(super) fn free_slow(self: &Arc<Self>, off: u64, size: Option<u64>) -> Result<()> {
        let len = self.held_len(off)?;
        if let Some(size) = size.filter(|&size| size > len) {
            return Err(self.wrong_size(off, size, len));
        }
        match self.marks.get(off).class() {
            Some(class) => self.free_published_block(class, off),
            None => self.free_run(off),
        }
    }

    fn free_published_block(self: &Arc<Self>, class: usize, off: u64) -> Result<()> {
        let mut bin = self.bin(class);
        let chunks = self.lock()?;
        let count = self.refs(off).load() & COUNT;
        let mark = if count == 0 { Mark::NONE } else { Mark::limbo(class) };
        if !self.marks.replace(off, Mark::block(class), mark) {
            return Err(self.freed_before(off));
        }
        self.refs(off).store(count);
        if count == 0 {
            drop((chunks, bin));
            return self.push(class, off);
        }
        chunks.note_owned(block_bytes(class));
        bin.let_go(self, &chunks, off);
        drop((chunks, bin));
        self.count(block_bytes(class).wrapping_neg(), Stat::Frees);
        Ok(())
    }

    fn free_run(self: &Arc<Self>, off: u64) -> Result<()> {
        let chunks = self.lock()?;
        let (chunk, head) = self.own_run(&chunks.view, off)?;
        if !self.marks.replace(off, Mark::LARGE, Mark::NONE) {
            return Err(self.freed_before(off));
        }
        let len = u64::from(head.chunks) * CHUNK_BYTES;
        let refs = self.refs(off);
        let count = refs.load() & COUNT;
        if refs.load() != count {
            refs.store(count);
        }
        if count == 0 {
            chunks.free(chunk, head);
        } else {
            chunks.note_owned(len);
            chunks.set_head(chunk, Head { owner: REGION, ..head });
        }
        drop(chunks);
        self.count(len.wrapping_neg(), Stat::Frees);
        Ok(())
    }

    /// Makes an unpublished extent of `len` bytes hold `size`, where it is. Says whether it does.
    pub(super) fn resize_in_place(self: &Arc<Self>, off: u64, len: u64, size: u64) -> Result<bool> {
        if self.marks.get(off) != Mark::LARGE {
            // A smaller block is worth a copy when it saves half.
            return Ok(size <= len && size > len / 2);
        }
        let new_len = size.div_ceil(CHUNK_BYTES).saturating_mul(CHUNK_BYTES);
        if new_len == len {
            return Ok(true);
        }
        if size <= self.block_max_bytes && new_len > block_bytes(class_of(size)) / 4 * 5 {
            return Ok(false);
        }
        let chunks = self.lock()?;
        let (chunk, head) = self.own_run(&chunks.view, off)?;
        if new_len < len {
            chunks.cut(chunk, head, u32::try_from(new_len / CHUNK_BYTES).unwrap_or(head.chunks));
        } else if chunks.grow(chunk, head, new_len / CHUNK_BYTES)?.is_none() {
            return Ok(false);
        }
        drop(chunks);
        self.add_live(new_len.wrapping_sub(len));
        self.note_peak();
        Ok(true)
    }

    /// The run that begins at `off` and must be this process's.
    fn own_run(&self, view: &View<'_>, off: u64) -> Result<(u64, Head)> {
        let chunk = self.chunk_at(off);
        match view.head(chunk)? {
            Some(head) if head.kind == Kind::Large && head.owner == self.slot => Ok((chunk, head)),
            _ => Err(view.corrupt(chunk, "a run of this process is not entered as its own")),
        }
    }

    /// Bytes of the extent that begins at `off`, which this process must have allocated.
    pub(super) fn held_len(&self, off: u64) -> Result<u64> {
        let mark = self.marks.get(off);
        if let Some(class) = mark.class() {
            return Ok(block_bytes(class));
        }
        let view = View::new(&self.space);
        if mark == Mark::LARGE {
            return self.own_run(&view, off).map(|(_, head)| u64::from(head.chunks) * CHUNK_BYTES);
        }
        if mark.is_limbo() {
            return Err(self.freed_before(off));
        }
        let data_off = self.space.layout().data_off;
        let in_data = off >= data_off && off < data_off + view.chunks() * CHUNK_BYTES;
        match view.find_start(off) {
            Ok(found) if found.head.owner == self.slot || found.head.owner == REGION => {
                Err(self.freed_before(off))
            }
            Ok(found) => {
                let whose = self.process.describe(found.head.owner);
                let text = format!("{:#x} belongs to {whose}; free it there", view.address(off));
                Err(Error::new(ErrorKind::ForeignPointer, text))
            }
            Err(e)
                if in_data
                    && e.kind() == ErrorKind::ForeignPointer
                    && view.run_of(self.chunk_at(off))?.is_none() =>
            {
                Err(self.freed_before(off))
            }
            Err(e) => Err(e),
        }
    }

    fn freed_before(&self, off: u64) -> Error {
        let text = format!(
            "{:#x} is not allocated in this process: it was freed before, or never allocated; look for a second free of it",
            self.space.base().wrapping_add(off)
        );
        Error::new(ErrorKind::DoubleFree, text)
    }

    pub(super) fn wrong_size(&self, off: u64, size: u64, len: u64) -> Error {
        let text = format!(
            "{:#x} has {len} bytes, not {size}; pass the size it was allocated with",
            self.space.base().wrapping_add(off)
        );
        Error::new(ErrorKind::InvalidArgument, text)
    }

    /// The error of a region without room.
    pub(super) fn full(&self, size: u64) -> Error {
        let stats = report::stats(&self.space, 0, 0);
        let text = format!(
            "the region has no room for {}: its longest free run is {}, and {} of {} are in use by processes or tables; \
             remove tables, free memory, or grow the region",
            format_size(size),
            format_size(stats.largest_free_bytes),
            format_size(stats.used_bytes),
            format_size(stats.data_bytes),
        );
        Error::new(ErrorKind::RegionFull, text)
    }

    /// Empties this thread's cache into the bins, and returns empty spans to the region.
    pub(super) fn trim(self: &Arc<Self>) -> Result<()> {
        let mut batch = [0; cache::BATCH];
        for class in 0..CLASSES {
            while let Some(count @ 1..) = cache::with(self, |cache| cache.stacks[class].spill(&mut batch)) {
                self.give(class, &batch[..count])?;
            }
            self.bin(class).trim(self, class)?;
        }
        Ok(())
    }

    /// Looks for blocks that lost their last reference in the classes of a bit set.
    pub(super) fn sweep(&self, classes: u64) -> Result<()> {
        for class in (0..CLASSES).filter(|class| classes >> class & 1 != 0) {
            self.bin(class).sweep(self, class)?;
        }
        Ok(())
    }

    pub(super) fn set_reclaim(&self, reclaim: Arc<Reclaim>) {
        *held(&self.reclaim) = Some(reclaim);
    }

    /// Asks for space to be reclaimed.
    pub(super) fn reclaim(&self) -> bool {
        let reclaim = held(&self.reclaim).clone();
        reclaim.is_some_and(|reclaim| reclaim())
    }

    /// See [`super::Heap::leave`].
    pub(super) fn leave(&self) -> Result<()> {
        // A forked child has only a copy of the notes: what they speak of is its parent's.
        if self.id.swap(0, Ordering::Relaxed) == 0 || self.forks != process::fork_count() {
            return Ok(());
        }
        for bin in &self.bins {
            *held(bin) = Bin::new();
        }
        Chunks::lock(&self.space, &*self.process)?.reap(self.slot)?;
        (0..MEMBER_STAT_SHARDS)
            .for_each(|shard| self.process.shard(shard)[Stat::LiveBytes as usize].store(0));
        Ok(())
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
