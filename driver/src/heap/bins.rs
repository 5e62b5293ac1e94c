//! Spans of blocks, the private half of the heap: one bin a size class, shared by a process's threads.
//!
//! A bin knows its spans and which of their blocks are free. None of that is in shared memory: what a
//! process had not published is free the moment it dies, because nothing says otherwise. Spans are taken
//! from the region small and grow with use, and an empty one goes back, all but one.
//! A published block that its process freed waits in limbo: whoever drops its last reference marks the
//! span dirty, and the bin looks through dirty spans before it takes another. Lock order: bin, then heap.

use std::sync::atomic::Ordering;

use super::chunks::Chunks;
use super::class::{block_bytes, span_chunks};
use super::entry::{Head, Kind};
use super::index;
use super::marks::Mark;
use super::private::Private;
use crate::error::Result;
use crate::region::layout::CHUNK_BYTES;

/// Spans of a busy class grow to this many chunks (1 MiB), and to a part of the region.
const SPAN_CHUNKS_MAX: u64 = 64;
const SPANS_PER_REGION: u64 = 256;
/// Entries looked at for an abandoned span before a fresh one is claimed.
const ADOPTION_WINDOW: u64 = 512;

struct Span {
    chunk: u64,
    chunks: u32,
    blocks: u32,
    free: u32,
    limbo: u32,
    /// One bit a block: it is free.
    map: Box<[u64]>,
    /// Whether it is among the bin's `usable`.
    listed: bool,
}

/// The spans of one class.
pub(super) struct Bin {
    spans: Vec<Option<Span>>,
    vacant: Vec<u32>,
    /// Spans with free blocks; the last is taken from.
    usable: Vec<u32>,
    /// Chunks of all spans.
    chunks: u64,
    limbo: u64,
    /// Where to look for the next abandoned span.
    cursor: u64,
}

impl Bin {
    pub(super) const fn new() -> Self {
        Self { spans: Vec::new(), vacant: Vec::new(), usable: Vec::new(), chunks: 0, limbo: 0, cursor: 0 }
    }

    /// Takes up to `out.len()` free blocks and says how many: none when the region has no room for
    /// another span.
    pub(super) fn take(&mut self, heap: &Private, class: usize, out: &mut [u64]) -> Result<usize> {
        if self.usable.is_empty() {
            self.sweep(heap, class)?;
        }
        if self.usable.is_empty() {
            self.claim(heap, class)?;
        }
        let mut taken = 0;
        while taken < out.len()
            && let Some(&number) = self.usable.last()
            && let Some(span) = self.spans[number as usize].as_mut()
        {
            taken += span.take(heap, class, &mut out[taken..]);
            if span.free == 0 {
                span.listed = false;
                self.usable.pop();
            }
        }
        Ok(taken)
    }

    /// Takes blocks back.
    pub(super) fn give(&mut self, heap: &Private, class: usize, blocks: &[u64]) -> Result<()> {
        let block = block_bytes(class);
        for &off in blocks {
            let number = heap.marks.span_of(heap.chunk_at(off)).load(Ordering::Relaxed);
            let Some(span) = self.spans.get_mut(number as usize).and_then(Option::as_mut) else { continue };
            let i = index((off - heap.chunk_off(span.chunk)) / block);
            span.map[i / 64] |= 1 << (i % 64);
            span.free += 1;
            if !span.listed {
                span.listed = true;
                self.usable.push(number);
            }
            if span.free == span.blocks && self.usable.len() > 1 {
                self.drop_span(heap, number)?;
            }
        }
        Ok(())
    }

    /// Frees a published block that its process lets go of: it waits until its last reference drops.
    /// The caller holds the heap lock and has set the block's mark.
    pub(super) fn let_go(&mut self, heap: &Private, chunks: &Chunks<'_>, off: u64) {
        let number = heap.marks.span_of(heap.chunk_at(off)).load(Ordering::Relaxed);
        let Some(span) = self.spans.get_mut(number as usize).and_then(Option::as_mut) else { return };
        span.limbo += 1;
        self.limbo += 1;
        if span.limbo == span.blocks {
            // Nothing here can serve this process before others let go: let the region have it, which can
            // then free it without this process.
            self.disown(heap, chunks, number);
        }
    }

    /// Finds blocks that lost their last reference; says how many.
    pub(super) fn sweep(&mut self, heap: &Private, class: usize) -> Result<u32> {
        if self.limbo == 0 {
            return Ok(0);
        }
        let mut found = 0;
        let chunks = heap.lock()?;
        for (number, slot) in self.spans.iter_mut().enumerate() {
            let Some(span) = slot.as_mut().filter(|span| span.limbo > 0) else { continue };
            let Some(head) = chunks.view.head(span.chunk)?.filter(|head| head.dirty) else { continue };
            chunks.set_head(span.chunk, Head { dirty: false, ..head });
            for (i, extent) in chunks.view.extents(span.chunk, head).enumerate() {
                let unreferenced = chunks.view.refs(extent.off).load() == 0;
                if unreferenced && heap.marks.replace(extent.off, Mark::limbo(class), Mark::NONE) {
                    span.map[i / 64] |= 1 << (i % 64);
                    span.free += 1;
                    span.limbo -= 1;
                    self.limbo -= 1;
                    found += 1;
                }
            }
            if span.free > 0 && !span.listed {
                span.listed = true;
                #[expect(clippy::cast_possible_truncation, reason = "spans are numbered in 32 bits")]
                self.usable.push(number as u32);
            }
        }
        Ok(found)
    }

    /// Returns every empty span, and abandons those in which this process has nothing allocated.
    pub(super) fn trim(&mut self, heap: &Private, class: usize) -> Result<bool> {
        self.sweep(heap, class)?;
        let mut trimmed = false;
        for number in 0..self.spans.len() {
            let Some(span) = &self.spans[number] else { continue };
            if span.free + span.limbo < span.blocks {
                continue;
            }
            #[expect(clippy::cast_possible_truncation, reason = "spans are numbered in 32 bits")]
            let number = number as u32;
            if span.limbo == 0 {
                self.drop_span(heap, number)?;
            } else {
                self.disown(heap, &heap.lock()?, number);
            }
            trimmed = true;
        }
        Ok(trimmed)
    }

    /// Takes an abandoned span or a fresh run of chunks.
    fn claim(&mut self, heap: &Private, class: usize) -> Result<()> {
        let kind = Kind::Span(u8::try_from(class).unwrap_or(u8::MAX));
        let chunks = heap.lock()?;
        if let Some((chunk, head)) = chunks.adopt(kind, heap.slot, &mut self.cursor, ADOPTION_WINDOW)? {
            return self.add(heap, &chunks, class, chunk, head);
        }
        // As much again as the class has: few locks for a busy class, little waste for an idle one.
        let unit = span_chunks(class);
        let most = SPAN_CHUNKS_MAX.min(chunks.view.chunks() / SPANS_PER_REGION);
        let mut units = (self.chunks.min(most) / unit).max(1);
        loop {
            if let Some((chunk, head)) = chunks.claim(units * unit, 1, kind, heap.slot)? {
                return self.add(heap, &chunks, class, chunk, head);
            }
            if units == 1 {
                break;
            }
            units /= 2;
        }
        // The last resort: blocks of an abandoned span anywhere, then a span of the shortest possible kind.
        if let Some((chunk, head)) = chunks.adopt(kind, heap.slot, &mut self.cursor, u64::MAX)? {
            return self.add(heap, &chunks, class, chunk, head);
        }
        match chunks.claim(block_bytes(class).div_ceil(CHUNK_BYTES), 1, kind, heap.slot)? {
            Some((chunk, head)) => self.add(heap, &chunks, class, chunk, head),
            None => Ok(()),
        }
    }

    /// Enters a span that now belongs to this process. Blocks that are published are not its own.
    fn add(
        &mut self,
        heap: &Private,
        chunks: &Chunks<'_>,
        class: usize,
        chunk: u64,
        head: Head,
    ) -> Result<()> {
        let bytes = u64::from(head.chunks) * CHUNK_BYTES;
        let blocks = u32::try_from(bytes / block_bytes(class)).unwrap_or(u32::MAX);
        let mut map = vec![0u64; index(u64::from(blocks).div_ceil(64))].into_boxed_slice();
        let mut limbo = 0;
        for (i, extent) in chunks.view.extents(chunk, head).enumerate() {
            if chunks.view.refs(extent.off).load() == 0 {
                map[i / 64] |= 1 << (i % 64);
            } else {
                heap.marks.set(extent.off, Mark::limbo(class));
                limbo += 1;
            }
        }
        let span = Span {
            chunk,
            chunks: head.chunks,
            blocks,
            free: blocks - limbo,
            limbo,
            map,
            listed: limbo < blocks,
        };
        self.chunks += u64::from(head.chunks);
        self.limbo += u64::from(limbo);
        let listed = span.listed;
        let number = match self.vacant.pop() {
            Some(number) => {
                self.spans[number as usize] = Some(span);
                number
            }
            None => {
                self.spans.push(Some(span));
                u32::try_from(self.spans.len() - 1).unwrap_or(u32::MAX)
            }
        };
        (chunk..chunk + u64::from(head.chunks))
            .for_each(|at| heap.marks.span_of(at).store(number, Ordering::Relaxed));
        if listed {
            self.usable.push(number);
        }
        Ok(())
    }

    fn disown(&mut self, heap: &Private, chunks: &Chunks<'_>, number: u32) {
        let Some(span) = self.remove(number) else { return };
        let Ok(Some(head)) = chunks.view.head(span.chunk) else { return };
        for extent in chunks.view.extents(span.chunk, head) {
            heap.marks.set(extent.off, Mark::NONE);
        }
        chunks.orphan(span.chunk, head);
        // The last reference may have dropped since.
        chunks.free_orphan_if_empty(span.chunk, head);
    }

    fn drop_span(&mut self, heap: &Private, number: u32) -> Result<()> {
        let chunks = heap.lock()?;
        let Some(span) = self.remove(number) else { return Ok(()) };
        if let Some(head) = chunks.view.head(span.chunk)? {
            chunks.free(span.chunk, head);
        }
        Ok(())
    }

    fn remove(&mut self, number: u32) -> Option<Span> {
        let span = self.spans[number as usize].take()?;
        if span.listed {
            self.usable.retain(|&other| other != number);
        }
        self.vacant.push(number);
        self.chunks -= u64::from(span.chunks);
        self.limbo -= u64::from(span.limbo);
        Some(span)
    }
}

impl Span {
    /// Takes free blocks from the lowest address on.
    fn take(&mut self, heap: &Private, class: usize, out: &mut [u64]) -> usize {
        let (start, block) = (heap.chunk_off(self.chunk), block_bytes(class));
        let mut taken = 0;
        for (i, word) in self.map.iter_mut().enumerate() {
            while *word != 0 && taken < out.len() {
                let bit = u64::from(word.trailing_zeros());
                *word &= *word - 1;
                out[taken] = start + (i as u64 * 64 + bit) * block;
                taken += 1;
            }
        }
        self.free -= u32::try_from(taken).unwrap_or(0);
        taken
    }
}
