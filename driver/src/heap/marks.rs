//! What this process alone knows of the heap: ordinary memory, gone with the process.
//!
//! A byte a granule says what this process has at an extent's start, so that `free` needs neither the
//! chunk's entry nor a lock, and a second `free` is seen; a number a chunk names the span it belongs to.
//! Both are address space for the region at its largest, and memory only where it was used.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use super::class::CLASSES;
use crate::error::{Error, Result};
use crate::region::layout::{CHUNK_BYTES, GRANULE_BYTES, Layout};

/// What a process has at an extent's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Mark(u8);

impl Mark {
    /// Nothing: never allocated by this process, or freed.
    pub(super) const NONE: Self = Self(0);
    /// A run of its own.
    pub(super) const LARGE: Self = Self(1 << 6 | 1);
    /// Freed by this process, and still published: a block that waits for its last reference.
    const LIMBO: u8 = 1 << 7;

    /// A block of `class`.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "there are 64 classes")]
    pub(super) fn block(class: usize) -> Self {
        Self(class as u8 + 1)
    }

    pub(super) fn limbo(class: usize) -> Self {
        Self(Self::block(class).0 | Self::LIMBO)
    }

    /// The class of an allocated block.
    #[inline]
    pub(super) fn class(self) -> Option<usize> {
        let class = usize::from(self.0.wrapping_sub(1));
        (class < CLASSES).then_some(class)
    }

    pub(super) fn is_limbo(self) -> bool {
        self.0 & Self::LIMBO != 0
    }
}

/// The marks of one process in one region.
pub(super) struct Marks {
    marks: MmapRaw,
    spans: MmapRaw,
    data_off: u64,
}

impl Marks {
    pub(super) fn new(layout: &Layout) -> Result<Self> {
        let granules = layout.max_chunks * (CHUNK_BYTES / GRANULE_BYTES);
        Ok(Self {
            marks: lazy_zeroes(granules)?,
            spans: lazy_zeroes(layout.max_chunks * 4)?,
            data_off: layout.data_off,
        })
    }

    /// The mark at `off`, if an extent can begin there, and its index.
    #[inline]
    pub(super) fn at(&self, off: u64) -> Option<(&AtomicU8, usize)> {
        let into = off.wrapping_sub(self.data_off);
        let granule = super::index(into / GRANULE_BYTES);
        if !into.is_multiple_of(GRANULE_BYTES) || granule >= self.marks.len() {
            return None;
        }
        // SAFETY: inside the mapping, which is zeroed, lives as long as `self` and is only seen as atomics.
        Some((unsafe { &*self.marks.as_mut_ptr().add(granule).cast::<AtomicU8>() }, granule))
    }

    /// What the process has at `off`.
    pub(super) fn get(&self, off: u64) -> Mark {
        self.at(off).map_or(Mark::NONE, |(mark, _)| Mark(mark.load(Ordering::Relaxed)))
    }

    #[inline]
    pub(super) fn set(&self, off: u64, mark: Mark) {
        if let Some((cell, _)) = self.at(off) {
            cell.store(mark.0, Ordering::Relaxed);
        }
    }

    /// Sets a mark unless another thread was faster: says whether it was `old`.
    pub(super) fn replace(&self, off: u64, old: Mark, new: Mark) -> bool {
        self.at(off).is_some_and(|(cell, _)| {
            cell.compare_exchange(old.0, new.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        })
    }

    /// Which span of its bin a chunk belongs to; meaningful only to who holds that bin.
    pub(super) fn span_of(&self, chunk: u64) -> &AtomicU32 {
        let chunk = super::index(chunk);
        assert!(chunk < self.spans.len() / 4, "chunk {chunk} is outside the region");
        #[expect(clippy::cast_ptr_alignment, reason = "a mapping begins at a page")]
        // SAFETY: inside the mapping and a multiple of 4 from its start; else as in `at`.
        unsafe {
            &*self.spans.as_mut_ptr().cast::<AtomicU32>().add(chunk)
        }
    }
}

/// Zeroes that cost nothing until they are written.
fn lazy_zeroes(bytes: u64) -> Result<MmapRaw> {
    let map = MmapOptions::new().len(super::index(bytes)).no_reserve_swap().map_anon();
    map.map(MmapRaw::from).map_err(|e| {
        Error::system(
            format_args!("mmap({bytes} bytes for the heap's marks)"),
            e.raw_os_error().unwrap_or(libc::ENOMEM),
        )
    })
}
