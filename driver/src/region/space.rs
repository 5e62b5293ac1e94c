//! The bytes of an open region, by offset.
//!
//! Metadata is seen as words and bytes that may change at any time (never as plain references to
//! plain integers): as `Word`s where this node writes, as `RemoteWord`s everywhere. Data is seen as addresses only.
//! Offsets are checked against the layout once, here. The mapping lives as long as this does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::layout::{CONTROL_OFF, LINE_BYTES, Layout, ZONE_BYTES};
use super::word::{Byte, RemoteWord, Word};
use crate::coherence::{Bytes, Coherence, Step};
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::map::Mapping;
use crate::units::index;

/// The owner node's control words, by their place in words. A line has one purpose.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(crate) enum Control {
    /// Bytes in use; grows by one store once the new part is backed.
    Size = 0,
    /// Lock of the catalog, the retired list and the published references.
    CatalogLock = 16,
    /// Lock of the chunk entries, the bitmap and the reference bytes.
    HeapLock = 32,
    /// Changes with every publish, replace and remove; what waiting for a name watches. The next three words
    /// share its line, the news: what other nodes want to know of the region at a glance.
    Changes = 48,
    /// Names published at the moment.
    Names = 49,
    /// Bytes of extents that are published and that no process holds.
    RegionOwned = 50,
    /// Generations on the retired list.
    RetiredCount = 51,
    /// Offset of the newest retired descriptor, or 0.
    Retired = 64,
    /// Where the chunk allocator looks first; a hint. The heap's notes follow it in its line.
    HeapHint = 80,
    /// Not 0 while the catalog may be half changed, because a holder of its lock died.
    CatalogRepair = 96,
}

/// What every node may know of a region at a glance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct News {
    /// Names published.
    pub(crate) names: u64,
    /// Generations that wait for their readers.
    pub(crate) retired: u64,
    /// Bytes of extents that are published and that no process holds.
    pub(crate) region_owned_bytes: u64,
}

/// An open region's bytes.
pub(crate) struct Space {
    mapping: Arc<Mapping>,
    layout: Layout,
    coherence: Coherence,
    device: Arc<dyn Device>,
    owner: u64,
    life: u64,
    /// The last size in use that was checked against the memory there is.
    checked_size: AtomicU64,
    /// Data bytes of a region of that size: asked for at every free.
    data_bytes: AtomicU64,
    lost: AtomicBool,
}

impl Space {
    /// The window `mapping`, laid out as `layout`, of a region that node `owner` owns. `life` as in [`Space::life`].
    pub(crate) fn new(
        mapping: Arc<Mapping>,
        layout: Layout,
        device: Arc<dyn Device>,
        coherence: Coherence,
        owner: u64,
        life: u64,
    ) -> Self {
        let size_bytes = layout.shape.size_bytes;
        let data_bytes = AtomicU64::new(layout.data_bytes(size_bytes));
        let checked_size = AtomicU64::new(size_bytes);
        let lost = AtomicBool::new(false);
        Self { mapping, layout, coherence, device, owner, life, checked_size, data_bytes, lost }
    }

    /// The node that owns the region.
    pub(crate) fn owner(&self) -> u64 {
        self.owner
    }

    /// What a node's zone says when it is of this region and not of one that the window held before: 0 where
    /// windows are made with their regions.
    pub(crate) fn life(&self) -> u64 {
        self.life
    }

    /// This process's node.
    pub(crate) fn node(&self) -> u64 {
        self.coherence.node()
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn coherence(&self) -> &Coherence {
        &self.coherence
    }

    pub(crate) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Address of the region's first byte: the same on every node.
    pub(crate) fn base(&self) -> u64 {
        self.mapping.base() as u64
    }

    /// The address of the byte at `off`, which must lie in the window.
    #[inline]
    pub(crate) fn ptr(&self, off: u64) -> *mut u8 {
        debug_assert!(off <= self.mapping.len_bytes());
        self.mapping.base().wrapping_add(index(off))
    }

    /// The offset of an address, if it lies in the region's data zone as it is now.
    #[inline]
    pub(crate) fn data_off_of(&self, address: u64) -> Option<u64> {
        let off = address.checked_sub(self.base())?;
        (off >= self.layout.data_off && off < self.layout.data_off + self.data_bytes()).then_some(off)
    }

    /// Bytes in use, as the owner last said, as far as there is memory behind them.
    #[inline]
    pub(crate) fn size_bytes(&self) -> u64 {
        let (said, checked) = (self.noted(Control::Size), self.checked_size.load(Ordering::Relaxed));
        if said == checked { checked } else { self.check_size(said, checked) }
    }

    /// The size changed: it counts when the region may have it and the memory reaches that far.
    #[cold]
    fn check_size(&self, said: u64, checked: u64) -> u64 {
        let possible =
            said > checked && said <= self.layout.shape.max_bytes && said.is_multiple_of(ZONE_BYTES);
        if possible && self.device.len_bytes().is_ok_and(|len| len >= self.layout.window_bytes(said)) {
            // A thread that sees the new size may see the old data bytes for a moment: less than there is.
            self.data_bytes.store(self.layout.data_bytes(said), Ordering::Relaxed);
            self.checked_size.store(said, Ordering::Relaxed);
            return said;
        }
        checked
    }

    /// Data bytes in use.
    #[inline]
    pub(crate) fn data_bytes(&self) -> u64 {
        self.size_bytes();
        self.data_bytes.load(Ordering::Relaxed)
    }

    /// Whether what the owner keeps for itself, and never brings home, can be read here.
    pub(crate) fn sees_owner(&self) -> bool {
        self.node() == self.owner || !self.coherence.must_invalidate()
    }

    /// A control word, for the owner.
    pub(crate) fn control(&self, which: Control) -> &Word {
        self.word(CONTROL_OFF + which as u64 * 8)
    }

    /// A control word, for everybody.
    #[inline]
    pub(crate) fn control_word(&self, which: Control) -> &RemoteWord {
        &self.remote(CONTROL_OFF + which as u64 * 8, 1)[0]
    }

    /// What a control word says, as far as this node knows.
    #[inline]
    pub(crate) fn noted(&self, which: Control) -> u64 {
        self.control_word(which).load()
    }

    /// The line that has a control word.
    pub(crate) fn control_line(&self, which: Control) -> Bytes {
        let off = (CONTROL_OFF + which as u64 * 8) / LINE_BYTES * LINE_BYTES;
        (self.ptr(off).cast_const(), LINE_BYTES)
    }

    /// The news of the region.
    pub(crate) fn news(&self) -> News {
        self.coherence.acquire(Step::NewsIn, self.owner, &[self.control_line(Control::Changes)]);
        News {
            names: self.noted(Control::Names),
            retired: self.noted(Control::RetiredCount),
            region_owned_bytes: self.noted(Control::RegionOwned),
        }
    }

    /// Makes the size of the region new.
    pub(crate) fn hear_size(&self) {
        self.coherence.acquire(Step::SizeIn, self.owner, &[self.control_line(Control::Size)]);
    }

    /// The metadata word at `off`, which this node writes.
    #[inline]
    pub(crate) fn word(&self, off: u64) -> &Word {
        &self.words(off, 1)[0]
    }

    /// `count` metadata words from `off` on, which this node writes.
    ///
    /// # Panics
    /// When another node writes them, or they do not lie in the window or are not aligned: offsets come from the
    /// layout or were checked.
    #[inline]
    pub(crate) fn words(&self, off: u64, count: u64) -> &[Word] {
        let (writer, node) = (self.layout.writer(off, self.owner), self.node());
        assert!(writer == node, "metadata offset {off:#x} is node {writer}'s to write, not node {node}'s");
        let words: *const [RemoteWord] = self.remote(off, count);
        // SAFETY: the same words; both types are one atomic.
        unsafe { &*(words as *const [Word]) }
    }

    /// `count` metadata words from `off` on, to look at.
    ///
    /// # Panics
    /// When they do not lie in the window or are not aligned.
    #[inline]
    pub(crate) fn remote(&self, off: u64, count: u64) -> &[RemoteWord] {
        assert!(
            off.is_multiple_of(8) && off + count * 8 <= self.mapping.len_bytes(),
            "metadata offset {off:#x}"
        );
        #[expect(
            clippy::cast_ptr_alignment,
            reason = "asserted: the base is aligned to 1 TiB, the offset to 8"
        )]
        // SAFETY: inside the mapping, which `self` keeps alive; aligned; the words are atomics, so that
        // others changing them at any time is what their type says.
        unsafe {
            std::slice::from_raw_parts(self.ptr(off).cast_const().cast::<RemoteWord>(), index(count))
        }
    }

    /// The bytes of the window from `off` on, as ranges go to the coherence room.
    pub(crate) fn range(&self, off: u64, len: u64) -> Bytes {
        (self.ptr(off).cast_const(), len)
    }

    /// `count` metadata bytes from `off` on; see [`Space::words`].
    #[inline]
    pub(crate) fn bytes(&self, off: u64, count: u64) -> &[Byte] {
        assert!(off + count <= self.mapping.len_bytes(), "metadata offset {off:#x}");
        // SAFETY: as in `words`.
        unsafe { std::slice::from_raw_parts(self.ptr(off).cast_const().cast::<Byte>(), index(count)) }
    }

    /// Fails once the memory behind the region is known to be gone.
    pub(crate) fn check_alive(&self) -> Result<()> {
        if self.lost.load(Ordering::Relaxed) || self.mapping.is_lost() || self.coherence.is_lost() {
            self.lost.store(true, Ordering::Relaxed);
            return Err(Error::new(
                ErrorKind::RegionLost,
                "the memory behind the region went away while it was mapped (its file was truncated, its device \
                 detached, or the link to it failed, as loss= asks a simulated one to); close the region and open it again, \
                 and if that fails create it anew",
            ));
        }
        Ok(())
    }
}

impl Space {
    /// Writes the superblock of a region that nobody else can find yet, home.
    pub(crate) fn write_superblock(&self, bytes: &[u8]) {
        for (word, value) in self.words(0, bytes.len() as u64 / 8).iter().zip(bytes.chunks_exact(8)) {
            let mut field = [0; 8];
            field.copy_from_slice(value);
            word.store(u64::from_le_bytes(field));
        }
        self.coherence.release(Step::SuperblockHome, &[self.range(0, bytes.len() as u64)]);
    }
}
