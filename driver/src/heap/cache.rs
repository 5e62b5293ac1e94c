//! Thread caches: a thread's own free blocks, so that most calls touch no lock and no shared line.
//!
//! A cache belongs to one thread and one heap. It is emptied into the bins when the thread ends, and
//! forgotten when the heap closes: its blocks went back to the region with their spans. Stacks of offsets,
//! not lists through the blocks: data lines hold data alone. What a stack may hold follows from the
//! region's size, so that a small region is not eaten up by caches.

use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::class::{CLASSES, block_bytes};
use super::private::Private;
use crate::member::Stat;
use crate::region::layout::MEMBER_STAT_SHARDS;
use crate::region::word::Word;
use crate::sys::process;

/// Most bytes and blocks that a stack may hold.
const STACK_BYTES_MAX: u64 = 512 * 1024;
const STACK_BLOCKS_MAX: usize = 128;
/// Part of the region that a stack may hold.
const STACKS_PER_REGION: u64 = 1024;
/// The last line of a member's statistics is for threads that found no line of their own.
pub(super) const SHARED_SHARD: u64 = MEMBER_STAT_SHARDS - 1;

/// Blocks that go between a cache and a bin at once, at most: half a stack, and one.
pub(super) const BATCH: usize = STACK_BLOCKS_MAX / 2 + 1;

/// Free blocks of one class. Its memory is there from the start: it may be changed from inside `with`.
pub(super) struct Stack {
    blocks: Vec<u64>,
    most: usize,
}

impl Stack {
    fn new(most: usize) -> Self {
        Self { blocks: Vec::with_capacity(most), most }
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<u64> {
        self.blocks.pop()
    }

    /// Pushes unless the stack is full.
    #[inline]
    pub(super) fn push(&mut self, off: u64) -> bool {
        let fits = self.blocks.len() < self.most;
        if fits {
            self.blocks.push(off);
        }
        fits
    }

    /// How many blocks to take from the bin at once, the one asked for included.
    pub(super) fn batch(&self) -> usize {
        self.most / 2 + 1
    }

    /// Takes blocks in, so that the first is popped first.
    pub(super) fn refill(&mut self, blocks: &[u64]) {
        debug_assert!(self.blocks.len() + blocks.len() <= self.most);
        self.blocks.extend(blocks.iter().rev());
    }

    /// Moves the older half out, to go to the bin, and says how many.
    pub(super) fn spill(&mut self, out: &mut [u64]) -> usize {
        let count = self.blocks.len().div_ceil(2);
        out[..count].copy_from_slice(&self.blocks[..count]);
        self.blocks.drain(..count);
        count
    }
}

/// One thread's free blocks in one heap, and the line of statistics it counts in.
pub(super) struct Cache {
    id: u64,
    heap: Weak<Private>,
    shard: u64,
    stat: *const [Word],
    pub(super) stacks: [Stack; CLASSES],
}

impl Cache {
    fn new(heap: &Arc<Private>) -> Self {
        let data_bytes = heap.space.data_bytes();
        let bytes = STACK_BYTES_MAX.min(data_bytes / STACKS_PER_REGION);
        let stacks = std::array::from_fn(|class| {
            Stack::new(STACK_BLOCKS_MAX.min(super::index(bytes / block_bytes(class))))
        });
        let shard = heap.take_shard();
        Self {
            id: heap.id.load(Ordering::Relaxed),
            heap: Arc::downgrade(heap),
            shard,
            stat: heap.process.shard(shard),
            stacks,
        }
    }

    /// Counts a change of what the process holds.
    #[inline]
    pub(super) fn count(&self, stat: Stat, delta: u64) {
        // SAFETY: a line of the mapping; a cache is only used through its heap, which keeps the mapping.
        let word = &unsafe { &*self.stat }[stat as usize];
        if self.shard == SHARED_SHARD {
            word.add(delta);
        } else {
            word.count(delta);
        }
    }
}

/// The caches of a thread, one a heap.
#[expect(clippy::vec_box, reason = "LAST points to one of them while the vector grows")]
struct Caches(RefCell<Vec<Box<Cache>>>);

thread_local! {
    /// The cache used last: the heap's id, 0 for none, and where the cache is.
    static LAST: Cell<(u64, *mut Cache)> = const { Cell::new((0, std::ptr::null_mut())) };
    static CACHES: Caches = const { Caches(RefCell::new(Vec::new())) };
}

impl Drop for Caches {
    fn drop(&mut self) {
        LAST.set((0, std::ptr::null_mut()));
        for cache in self.0.get_mut().drain(..) {
            retire(*cache);
        }
    }
}

/// Gives a cache's blocks to the bins, unless its heap is closed or another process's.
fn retire(cache: Cache) {
    let Some(heap) = cache.heap.upgrade() else { return };
    if heap.forks != process::fork_count() || heap.id.load(Ordering::Relaxed) != cache.id {
        return;
    }
    for (class, stack) in cache.stacks.iter().enumerate() {
        if let Err(e) = heap.give(class, &stack.blocks) {
            log::warn!("a thread that ends could not return its cached blocks: {e}");
        }
    }
    heap.return_shard(cache.shard);
}

/// Calls `f` with this thread's cache of a heap; `None` when the thread is ending or the heap is closed.
/// `f` neither allocates nor comes back to the heap.
#[inline]
pub(super) fn with<T>(heap: &Arc<Private>, f: impl FnOnce(&mut Cache) -> T) -> Option<T> {
    let (id, cache) = LAST.get();
    if id == 0 || id != heap.id.load(Ordering::Relaxed) {
        return with_other(heap, f);
    }
    // SAFETY: set by `with_other` to a box in CACHES, which only this thread changes and which clears LAST
    // before it drops boxes; `f` is of this room and does not come back here.
    Some(f(unsafe { &mut *cache }))
}

#[cold]
fn with_other<T>(heap: &Arc<Private>, f: impl FnOnce(&mut Cache) -> T) -> Option<T> {
    let id = heap.id.load(Ordering::Relaxed);
    if id == 0 {
        return None;
    }
    let cache = CACHES.try_with(|caches| {
        let mut caches = caches.0.try_borrow_mut().ok()?;
        let known = caches.iter().position(|cache| cache.id == id);
        let i = known.unwrap_or_else(|| {
            caches.retain(|cache| cache.heap.strong_count() > 0);
            caches.push(Box::new(Cache::new(heap)));
            caches.len() - 1
        });
        Some(&raw mut *caches[i])
    });
    let cache = cache.ok().flatten()?;
    LAST.set((id, cache));
    // SAFETY: as in `with`.
    Some(f(unsafe { &mut *cache }))
}
