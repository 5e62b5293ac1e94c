//! The heap: extents of a region, for the processes of its owner node.
//!
//! Small requests are blocks of 64 size classes, cut from spans of chunks; larger ones are runs of chunks.
//! Which runs there are is shared (`entry`, `chunks`, `view`); which blocks a process has allocated is not
//! (`bins`, `marks`, `cache`), so that the common call touches no shared line, and what a dead process had
//! not published is free without anybody's doing. A published extent has a reference byte (`refs`).
//! Everything is out of band: data lines hold data alone. This room knows no leases and no catalog.
//!
//! Measured on Arrow's own traces, which decided: an operation is rare and large there (half of the
//! allocations are above 16 KiB), so chunks are small, 16 KiB, runs begin above 128 KiB, and both ends of
//! `realloc`, growing and giving the tail back, work in place. The region in use at a trace's peak is 6 to 9 %
//! above what Arrow asked for, and an operation takes about as long as mimalloc's, so that freed runs need
//! no private cache. Kills at every store decided that counts may only be too high, and that the bitmap is
//! built anew from the entries rather than kept right.
#![allow(unsafe_code, reason = "reference bytes seen through a pointer, caches of threads, copies of data")]

mod bins;
mod cache;
mod chunks;
mod class;
mod count;
mod entry;
mod marks;
mod private;
mod refs;
mod report;
#[cfg(test)]
mod tests;
mod view;

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::member::Member;
use crate::region::layout::{CHUNK_BYTES, ZONE_BYTES};
use crate::region::lock::Holder;
use crate::region::space::Space;
use crate::region::word::Word;
use crate::units::index;
use chunks::{Note, noted};
use class::{block_bytes, class_for};
use marks::Mark;
use private::Private;

pub(crate) use report::stats;
pub(crate) use view::{COUNT, View};

/// How often one allocation asks for space to be reclaimed before it fails.
const RECLAIMS_MAX: u32 = 4;

/// One allocation: bytes of the region, by offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Extent {
    pub(crate) off: u64,
    pub(crate) len: u64,
}

/// The process that a heap is for.
pub(crate) trait Process: Holder + Send + Sync {
    /// One of its statistics lines.
    fn shard(&self, shard: u64) -> &[Word];
}

impl Process for Member {
    fn shard(&self, shard: u64) -> &[Word] {
        Member::shard(self, shard)
    }
}

/// A process's heap in a region. Any thread may call it.
pub(crate) struct Heap {
    private: Arc<Private>,
}

impl Heap {
    /// The heap of a process of the owner node.
    ///
    /// # Errors
    /// [`ErrorKind::NoMemory`] when the machine refuses the address space for the process's own notes.
    pub(crate) fn new(space: Arc<Space>, process: Arc<dyn Process>) -> Result<Self> {
        Private::new(space, process).map(|private| Self { private: Arc::new(private) })
    }

    /// Sets what is called when the region is full, before an allocation fails: it returns whether it
    /// may have freed anything. No lock of the heap is held meanwhile.
    pub(crate) fn set_reclaim(&self, reclaim: impl Fn() -> bool + Send + Sync + 'static) {
        self.private.set_reclaim(Arc::new(reclaim));
    }

    /// Allocates at least `size` bytes, aligned to 128 bytes or to `align`, whichever is more.
    ///
    /// # Errors
    /// [`ErrorKind::BadAlignment`] unless `align` is a power of two up to 2 MiB; [`ErrorKind::RegionFull`].
    #[inline]
    pub(crate) fn alloc(&self, size: u64, align: u64) -> Result<u64> {
        if let Some(class) = class_for(size.max(1), align, self.private.block_max_bytes)
            && align.is_power_of_two()
            && let Some(off) = self.private.pop(class)
        {
            return self.unsealed(off, size);
        }
        let off = self.alloc_slow(size.max(1), align)?;
        self.unsealed(off, size)
    }

    /// Memory handed out can be stored to, also if what it held before was sealed.
    #[inline]
    fn unsealed(&self, off: u64, size: u64) -> Result<u64> {
        self.private.space.mapping().unseal(off..off + size).map(|()| off)
    }

    #[cold]
    fn alloc_slow(&self, size: u64, align: u64) -> Result<u64> {
        if !align.is_power_of_two() || align > ZONE_BYTES {
            let text = format!(
                "an alignment of {align} bytes is not possible; use a power of two up to {ZONE_BYTES}"
            );
            return Err(Error::new(ErrorKind::BadAlignment, text));
        }
        let heap = &self.private;
        let attempt = || match class_for(size, align, heap.block_max_bytes) {
            Some(class) => heap.alloc_block(class),
            None => heap.alloc_run(size.div_ceil(CHUNK_BYTES), align.div_ceil(CHUNK_BYTES)),
        };
        if let Some(off) = attempt()? {
            return Ok(off);
        }
        heap.trim()?;
        let mut reclaims = 0;
        loop {
            if let Some(off) = attempt()? {
                return Ok(off);
            }
            if reclaims == RECLAIMS_MAX || !heap.reclaim() {
                return Err(heap.full(size));
            }
            reclaims += 1;
            heap.trim()?;
        }
    }

    /// Changes the size of an extent, in place where that is possible, and returns where it is now. Its
    /// first `min(old_size, new_size)` bytes stay. A published extent is left as it is and copied.
    ///
    /// # Errors
    /// Those of [`Heap::alloc`] and [`Heap::free`]; the extent is then unchanged.
    pub(crate) fn realloc(&self, off: u64, old_size: u64, new_size: u64, align: u64) -> Result<u64> {
        let heap = &self.private;
        let new_size = new_size.max(1);
        let len = heap.held_len(off)?;
        if old_size > len {
            return Err(heap.wrong_size(off, old_size, len));
        }
        let stays = off.is_multiple_of(align.max(1)) && !heap.is_published(off);
        if stays && heap.resize_in_place(off, len, new_size)? {
            return self.unsealed(off, new_size);
        }
        let new_off = match self.alloc(new_size, align) {
            Ok(new_off) => new_off,
            // Too large, but there.
            Err(e) if e.kind() == ErrorKind::RegionFull && stays && new_size <= len => return Ok(off),
            Err(e) => return Err(e),
        };
        let space = &heap.space;
        // SAFETY: both extents are allocated, hold that many bytes and do not overlap; what is in them is
        // the caller's, who does not use the old one meanwhile.
        unsafe { space.ptr(off).copy_to_nonoverlapping(space.ptr(new_off), index(old_size.min(new_size))) };
        self.free(off, None)?;
        Ok(new_off)
    }

    /// Frees an extent of this process. If it is published, its bytes stay until the last descriptor that
    /// lists it is gone. `size` is checked when given.
    ///
    /// # Errors
    /// [`ErrorKind::DoubleFree`], [`ErrorKind::ForeignPointer`], [`ErrorKind::InvalidArgument`] for a size
    /// that does not fit the extent. Nothing was freed then.
    #[inline]
    pub(crate) fn free(&self, off: u64, size: Option<u64>) -> Result<()> {
        let heap = &self.private;
        let mark = heap.marks.get(off);
        if let Some(class) = mark.class()
            && size.unwrap_or(0) <= block_bytes(class)
            && !heap.is_published(off)
            && heap.marks.replace(off, mark, Mark::NONE)
        {
            return heap.push(class, off);
        }
        heap.free_slow(off, size)
    }

    /// The extent around `off`, any byte of it; see [`View::extent_of`].
    pub(crate) fn extent_of(&self, off: u64) -> Result<Extent> {
        View::new(&self.private.space).extent_of(off)
    }

    /// Counts one more committed descriptor for each of the extents, given by their starts, or for none.
    /// The caller holds the catalog lock and commits afterwards.
    ///
    /// # Errors
    /// [`ErrorKind::ForeignPointer`] for what is neither published nor allocated by this process.
    pub(crate) fn retain(&self, extents: &[u64]) -> Result<()> {
        self.private.lock()?.retain(&self.private, extents)
    }

    /// Counts one descriptor less for each of the extents, and frees what nobody has any more. The caller
    /// holds the catalog lock and has committed that the descriptor is gone.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`]; what was not done is found by a recount.
    pub(crate) fn release(&self, extents: &[u64]) -> Result<()> {
        let swept = self.private.lock()?.release(self.private.slot, extents)?;
        self.private.sweep(swept)
    }

    /// Sets all counts to what the committed descriptors list: every extent, as often as one lists it.
    /// The caller holds the catalog lock.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] or [`ErrorKind::ForeignPointer`] when a descriptor lists what is no extent.
    pub(crate) fn recount(&self, listed: impl Iterator<Item = u64>) -> Result<()> {
        let swept = self.private.lock()?.recount(self.private.slot, listed)?;
        self.private.sweep(swept)
    }

    /// Whether some count ran full, so that only a recount can free what it counts.
    pub(crate) fn wants_recount(&self) -> bool {
        noted(&self.private.space, Note::Saturated) != 0
    }

    /// Returns what the dead member in `slot` had not published, and leaves to the region what it had.
    /// The caller proved the death and holds the slot. Returns the bytes of whole runs that became free.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`], [`ErrorKind::TimedOut`]; it may be repeated.
    pub(crate) fn reap(&self, slot: u16) -> Result<u64> {
        self.private.lock()?.reap(slot)
    }

    /// Ends this process's use of the heap: everything it had not published is free, whatever it still
    /// points to. Later calls fail.
    ///
    /// # Errors
    /// As for [`Heap::reap`].
    pub(crate) fn leave(&self) -> Result<()> {
        self.private.leave()
    }

    /// Makes chunks usable by which the region grew. It is a matter of time otherwise: whoever takes the
    /// heap lock next does so.
    pub(crate) fn extend(&self) -> Result<()> {
        self.private.lock().map(drop)
    }

    /// Checks every structure and reports what is wrong; see [`report::verify`].
    pub(crate) fn verify(
        &self,
        is_member: &dyn Fn(u16) -> bool,
        report: &mut dyn FnMut(String),
    ) -> Result<()> {
        let _locked = self.private.lock()?;
        report::verify(&self.private.space, is_member, report);
        Ok(())
    }
}
