//! The allocators, as Arrow's memory pool sees one: sizes are not 0, alignment is 64.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::NonNull;
#[cfg(any(feature = "talc", feature = "offset-allocator"))]
use std::sync::{Mutex, MutexGuard, PoisonError};

use csm::Region;
use csm_bench::Scratch;

/// Bytes of everything that is of a fixed size.
pub(crate) const REGION_BYTES: usize = 1 << 30;
const ALIGN: usize = 64;

/// An allocation, and what its pool needs to find it again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) at: *mut u8,
    pub(crate) size: usize,
    token: u32,
}

impl Block {
    pub(crate) const NONE: Self = Self { at: std::ptr::null_mut(), size: 0, token: 0 };
}

/// An allocator.
pub(crate) trait Pool: Sync {
    /// None when there is no room.
    fn alloc(&self, size: usize) -> Option<Block>;
    /// None when there is no room; the block is then as it was.
    fn realloc(&self, block: Block, size: usize) -> Option<Block>;
    fn free(&self, block: Block);
    /// The memory of a fixed size that it allocates from, if it does.
    fn memory(&self) -> Option<Fixed> {
        None
    }
}

/// Memory of a fixed size.
pub(crate) struct Fixed {
    /// Where allocations can be.
    pub(crate) start: usize,
    pub(crate) bytes: usize,
    /// The same and the allocator's own books, as far as they lie there too.
    pub(crate) whole_bytes: usize,
}

/// All of them, and whether they could be built here.
pub(crate) const ALL: [(&str, bool); 6] = [
    ("libcsm", true),
    ("mimalloc 0.1.52", cfg!(feature = "mimalloc")),
    ("jemalloc 0.7", cfg!(feature = "jemalloc")),
    ("system", true),
    ("talc 5.1", cfg!(feature = "talc")),
    ("offset-allocator 0.2", cfg!(feature = "offset-allocator")),
];

/// Those that could be built here: all of them, or those that the command line names by their first word.
pub(crate) fn present() -> impl Iterator<Item = &'static str> {
    let named: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wanted = move |who: &str| named.is_empty() || named.iter().any(|name| who.starts_with(name.as_str()));
    ALL.into_iter().filter(|(_, present)| *present).map(|(who, _)| who).filter(move |who| wanted(who))
}

/// Whether the pool of that name allocates from memory of a fixed size.
pub(crate) fn of_fixed_size(who: &str) -> bool {
    ["libcsm", "talc", "offset-allocator"].iter().any(|name| who.starts_with(name))
}

/// Makes the pool of that name.
pub(crate) fn pool(who: &str) -> Box<dyn Pool> {
    match who {
        "libcsm" => Box::new(Csm(Scratch::new("alloc", "size=1034M&catalog=100"))),
        #[cfg(feature = "mimalloc")]
        "mimalloc 0.1.52" => Box::new(Native(mimalloc::MiMalloc)),
        #[cfg(feature = "jemalloc")]
        "jemalloc 0.7" => Box::new(Native(tikv_jemallocator::Jemalloc)),
        #[cfg(feature = "talc")]
        "talc 5.1" => Box::new(Talc::new()),
        #[cfg(feature = "offset-allocator")]
        "offset-allocator 0.2" => Box::new(Offsets::new()),
        _ => Box::new(Native(System)),
    }
}

struct Csm(Scratch);

impl Csm {
    fn region(&self) -> &Region {
        self.0.region()
    }
}

impl Pool for Csm {
    fn alloc(&self, size: usize) -> Option<Block> {
        let at = self.region().alloc(size as u64, ALIGN as u64).ok()?.as_ptr();
        Some(Block { at, size, token: 0 })
    }
    fn realloc(&self, block: Block, size: usize) -> Option<Block> {
        let at = NonNull::new(block.at).expect("allocated");
        // SAFETY: the benchmark is the only user of what it allocated.
        let at = unsafe { self.region().realloc(at, block.size as u64, size as u64, ALIGN as u64) }.ok()?;
        Some(Block { at: at.as_ptr(), size, token: 0 })
    }
    fn free(&self, block: Block) {
        let at = NonNull::new(block.at).expect("allocated");
        // SAFETY: as above.
        unsafe { self.region().free(at, Some(block.size as u64)) }.expect("allocated");
    }
    fn memory(&self) -> Option<Fixed> {
        let info = self.region().info().expect("info");
        let number = |number: u64| usize::try_from(number).expect("64-bit");
        let (bytes, whole_bytes) = (number(info.data_bytes), number(info.size_bytes));
        Some(Fixed { start: number(info.base) + whole_bytes - bytes, bytes, whole_bytes })
    }
}

struct Native<A>(A);

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, ALIGN).expect("layout")
}

impl<A: GlobalAlloc + Sync> Pool for Native<A> {
    fn alloc(&self, size: usize) -> Option<Block> {
        // SAFETY: the size is not 0.
        let at = unsafe { self.0.alloc(layout(size)) };
        (!at.is_null()).then_some(Block { at, size, token: 0 })
    }
    fn realloc(&self, block: Block, size: usize) -> Option<Block> {
        // SAFETY: allocated with this layout, and the new size is not 0.
        let at = unsafe { self.0.realloc(block.at, layout(block.size), size) };
        (!at.is_null()).then_some(Block { at, size, token: 0 })
    }
    fn free(&self, block: Block) {
        // SAFETY: allocated with this layout.
        unsafe { self.0.dealloc(block.at, layout(block.size)) }
    }
}

/// Private memory of a fixed size, for those who allocate from what they are given.
#[cfg(any(feature = "talc", feature = "offset-allocator"))]
struct Memory(*mut u8);

#[cfg(any(feature = "talc", feature = "offset-allocator"))]
// SAFETY: an address; what is behind it is handed out once.
unsafe impl Send for Memory {}
#[cfg(any(feature = "talc", feature = "offset-allocator"))]
// SAFETY: as above.
unsafe impl Sync for Memory {}

#[cfg(any(feature = "talc", feature = "offset-allocator"))]
impl Memory {
    fn new() -> Self {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping wherever the kernel likes.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), REGION_BYTES, access, flags, -1, 0) };
        assert!(at != libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
        Self(at.cast())
    }

    fn fixed(&self) -> Fixed {
        Fixed { start: self.0.addr(), bytes: REGION_BYTES, whole_bytes: REGION_BYTES }
    }
}

#[cfg(any(feature = "talc", feature = "offset-allocator"))]
impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping made above, which nobody uses any more.
        unsafe { libc::munmap(self.0.cast(), REGION_BYTES) };
    }
}

#[cfg(any(feature = "talc", feature = "offset-allocator"))]
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(feature = "talc")]
type TalcHeap = talc::base::Talc<talc::source::Manual, talc::DefaultBinning>;

/// Talc behind a mutex; it keeps its lists in the memory itself.
#[cfg(feature = "talc")]
struct Talc {
    heap: Mutex<TalcHeap>,
    memory: Memory,
}

#[cfg(feature = "talc")]
impl Talc {
    fn new() -> Self {
        let (memory, mut heap) = (Memory::new(), TalcHeap::new(talc::source::Manual));
        // SAFETY: the memory is this heap's alone, and lives longer.
        unsafe { heap.claim(memory.0, REGION_BYTES) }.expect("room for its lists");
        Self { heap: Mutex::new(heap), memory }
    }
}

#[cfg(feature = "talc")]
impl Pool for Talc {
    fn alloc(&self, size: usize) -> Option<Block> {
        // SAFETY: the size is not 0.
        let at = unsafe { lock(&self.heap).allocate(layout(size)) }?;
        Some(Block { at: at.as_ptr(), size, token: 0 })
    }
    fn realloc(&self, block: Block, size: usize) -> Option<Block> {
        // SAFETY: allocated with this layout, and the new size is not 0.
        if unsafe { lock(&self.heap).try_realloc_in_place(block.at, layout(block.size), size) } {
            return Some(Block { size, ..block });
        }
        moved(self, block, size)
    }
    fn free(&self, block: Block) {
        // SAFETY: allocated with this layout.
        unsafe { lock(&self.heap).deallocate(block.at, layout(block.size)) }
    }
    fn memory(&self) -> Option<Fixed> {
        Some(self.memory.fixed())
    }
}

/// Allocates anew, copies and frees.
#[cfg(any(feature = "talc", feature = "offset-allocator"))]
fn moved(pool: &dyn Pool, block: Block, size: usize) -> Option<Block> {
    let new = pool.alloc(size)?;
    // SAFETY: two allocations, each at least that large.
    unsafe { new.at.copy_from_nonoverlapping(block.at, block.size.min(size)) };
    pool.free(block);
    Some(new)
}

/// offset-allocator behind a mutex, in units of 64 bytes; its lists are elsewhere. It does not resize: a block stays where
/// it is if the new size fits it and is more than half of it, as with libcsm, and moves otherwise.
#[cfg(feature = "offset-allocator")]
struct Offsets {
    heap: Mutex<(offset_allocator::Allocator, Allocations)>,
    memory: Memory,
}

/// What it gave, by token.
#[cfg(feature = "offset-allocator")]
#[derive(Default)]
struct Allocations {
    given: Vec<Option<offset_allocator::Allocation>>,
    free: Vec<u32>,
}

#[cfg(feature = "offset-allocator")]
impl Offsets {
    fn new() -> Self {
        let units = u32::try_from(REGION_BYTES / ALIGN).expect("32-bit");
        let heap = offset_allocator::Allocator::with_max_allocs(units, 1 << 20);
        Self { heap: Mutex::new((heap, Allocations::default())), memory: Memory::new() }
    }
}

#[cfg(feature = "offset-allocator")]
impl Pool for Offsets {
    fn alloc(&self, size: usize) -> Option<Block> {
        let mut heap = lock(&self.heap);
        let (heap, allocations) = &mut *heap;
        let allocation = heap.allocate(u32::try_from(size.div_ceil(ALIGN)).ok()?)?;
        let token = allocations.free.pop().unwrap_or_else(|| {
            allocations.given.push(None);
            u32::try_from(allocations.given.len() - 1).expect("few")
        });
        allocations.given[token as usize] = Some(allocation);
        Some(Block { at: self.memory.0.wrapping_add(allocation.offset as usize * ALIGN), size, token })
    }
    fn realloc(&self, block: Block, size: usize) -> Option<Block> {
        let room = {
            let heap = lock(&self.heap);
            let allocation = heap.1.given[block.token as usize].expect("allocated");
            heap.0.allocation_size(allocation) as usize * ALIGN
        };
        if size <= room && size > room / 2 {
            return Some(Block { size, ..block });
        }
        moved(self, block, size)
    }
    fn free(&self, block: Block) {
        let mut heap = lock(&self.heap);
        let (heap, allocations) = &mut *heap;
        heap.free(allocations.given[block.token as usize].take().expect("allocated"));
        allocations.free.push(block.token);
    }
    fn memory(&self) -> Option<Fixed> {
        Some(self.memory.fixed())
    }
}
