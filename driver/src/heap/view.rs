//! The heap as anybody sees it: from shared entries alone, without a lock, in any process on any node.
//!
//! Nothing here stores. What is read was written by others and is checked; a borrower acquires the
//! metadata first.

use super::class::block_bytes;
use super::entry::{Entry, Head, Kind};
use super::{Extent, index};
use crate::error::{Error, ErrorKind, Result};
use crate::region::layout::{CHUNK_BYTES, GRANULE_BYTES};
use crate::region::space::Space;
use crate::region::word::{Byte, RemoteWord};

pub(super) const GRANULES_PER_CHUNK: u64 = CHUNK_BYTES / GRANULE_BYTES;

/// A reference byte: a process holds the extent.
pub(super) const HELD: u8 = 1 << 7;
/// A reference byte: committed descriptors that list the extent. At the most, nobody knows how many.
pub(crate) const COUNT: u8 = HELD - 1;

/// The chunk entries and reference bytes of a region, as large as it is now.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    space: &'a Space,
    entries: &'a [RemoteWord],
    refs: &'a [Byte],
}

/// An extent, and the run of chunks it lies in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) extent: Extent,
    pub(super) chunk: u64,
    pub(super) head: Head,
}

impl<'a> View<'a> {
    pub(crate) fn new(space: &'a Space) -> Self {
        let chunks = space.data_bytes() / CHUNK_BYTES;
        let layout = space.layout();
        Self {
            space,
            entries: space.remote(layout.entries_off, chunks),
            refs: space.bytes(layout.refs_off, chunks * GRANULES_PER_CHUNK),
        }
    }

    /// Chunks of the data zone.
    pub(super) fn chunks(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(super) fn entry(&self, chunk: u64) -> Result<Entry> {
        let word = self.entries[index(chunk)].load();
        Entry::decode(word).ok_or_else(|| self.corrupt(chunk, &format!("entry {word:#x} means nothing")))
    }

    /// The head at `chunk`, if one is there, with a run that ends inside the data zone.
    pub(super) fn head(&self, chunk: u64) -> Result<Option<Head>> {
        let Entry::Head(head) = self.entry(chunk)? else { return Ok(None) };
        if chunk + u64::from(head.chunks) > self.chunks() {
            return Err(self.corrupt(chunk, &format!("a run of {} chunks passes the end", head.chunks)));
        }
        if let Kind::Span(class) = head.kind
            && block_bytes(class.into()) > u64::from(head.chunks) * CHUNK_BYTES
        {
            return Err(self.corrupt(chunk, "a span is shorter than its block"));
        }
        Ok(Some(head))
    }

    /// The run that `chunk` belongs to.
    pub(super) fn run_of(&self, chunk: u64) -> Result<Option<(u64, Head)>> {
        match self.entry(chunk)? {
            Entry::Free => Ok(None),
            Entry::Head(_) => Ok(self.head(chunk)?.map(|head| (chunk, head))),
            Entry::Rest(back) => {
                let first = chunk
                    .checked_sub(back.into())
                    .ok_or_else(|| self.corrupt(chunk, "its run begins before the data zone"))?;
                Ok(self.head(first)?.filter(|head| head.chunks > back).map(|head| (first, head)))
            }
        }
    }

    /// The runs in address order.
    pub(super) fn runs(self) -> impl Iterator<Item = Result<(u64, Head)>> + 'a {
        let mut next = 0;
        std::iter::from_fn(move || {
            while next < self.chunks() {
                let chunk = next;
                match self.head(chunk) {
                    Ok(None) => next += 1,
                    Ok(Some(head)) => {
                        next += u64::from(head.chunks);
                        return Some(Ok((chunk, head)));
                    }
                    Err(e) => {
                        next += 1;
                        return Some(Err(e));
                    }
                }
            }
            None
        })
    }

    /// The extents of a run, allocated or not.
    pub(super) fn extents(&self, chunk: u64, head: Head) -> impl Iterator<Item = Extent> + use<> {
        let start = self.chunk_off(chunk);
        let bytes = u64::from(head.chunks) * CHUNK_BYTES;
        let len = match head.kind {
            Kind::Large => bytes,
            Kind::Span(class) => block_bytes(class.into()),
        };
        (0..bytes / len).map(move |i| Extent { off: start + i * len, len })
    }

    /// The extent around `off`, any byte of it.
    pub(super) fn find(&self, off: u64) -> Result<Found> {
        let data_off = self.space.layout().data_off;
        let chunk =
            off.checked_sub(data_off).map(|into| into / CHUNK_BYTES).filter(|&chunk| chunk < self.chunks());
        let Some(chunk) = chunk else {
            let text = format!("{:#x} is not in the region's data", self.address(off));
            return Err(Error::new(ErrorKind::ForeignPointer, text));
        };
        let unallocated = || {
            let text = format!("nothing is allocated at {:#x} of the region", self.address(off));
            Error::new(ErrorKind::ForeignPointer, text)
        };
        let (chunk, head) = self.run_of(chunk)?.ok_or_else(unallocated)?;
        let (start, bytes) = (self.chunk_off(chunk), u64::from(head.chunks) * CHUNK_BYTES);
        let extent = match head.kind {
            Kind::Large => Extent { off: start, len: bytes },
            Kind::Span(class) => {
                let len = block_bytes(class.into());
                Extent { off: off - (off - start) % len, len }
            }
        };
        if extent.off + extent.len > start + bytes {
            return Err(unallocated());
        }
        Ok(Found { extent, chunk, head })
    }

    /// The extent that begins at `off`.
    pub(super) fn find_start(&self, off: u64) -> Result<Found> {
        let found = self.find(off)?;
        if found.extent.off != off {
            let text = format!(
                "{:#x} lies inside an extent that begins at {:#x}; pass its start",
                self.address(off),
                self.address(found.extent.off)
            );
            return Err(Error::new(ErrorKind::ForeignPointer, text));
        }
        Ok(found)
    }

    /// The extent around `off`, any byte of it. That it is allocated follows only if it is published.
    pub(crate) fn extent_of(&self, off: u64) -> Result<Extent> {
        self.find(off).map(|found| found.extent)
    }

    /// The reference byte of the extent that begins at `off`, which lies in the data zone.
    pub(super) fn refs(&self, off: u64) -> &'a Byte {
        &self.refs[index((off - self.space.layout().data_off) / GRANULE_BYTES)]
    }

    /// The reference bytes of a run.
    pub(super) fn refs_of_run(&self, chunk: u64, chunks: u64) -> &'a [Byte] {
        &self.refs[index(chunk * GRANULES_PER_CHUNK)..index((chunk + chunks) * GRANULES_PER_CHUNK)]
    }

    pub(super) fn chunk_off(&self, chunk: u64) -> u64 {
        self.space.layout().data_off + chunk * CHUNK_BYTES
    }

    pub(super) fn address(&self, off: u64) -> u64 {
        self.space.base().wrapping_add(off)
    }

    pub(super) fn corrupt(&self, chunk: u64, what: &str) -> Error {
        let text = format!(
            "the heap's metadata is damaged at chunk {chunk} (offset {:#x}): {what}; copy out what can be read and create the region anew",
            self.chunk_off(chunk)
        );
        Error::new(ErrorKind::Corrupt, text)
    }
}
