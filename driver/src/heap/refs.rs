//! Published references: how often committed descriptors list an extent, and what follows when it is
//! freed by its process, by the last of them, or by its process's death.
//!
//! One byte an extent. Counts only ever err on the high side: a kill leaves too many, never too few, and a
//! recount from the catalog puts them right. The same byte tells `free` without a lock that an extent was
//! never published.

use std::collections::HashMap;

use super::Extent;
use super::chunks::{Chunks, Note};
use super::entry::{Head, Kind, REGION};
use super::marks::Mark;
use super::private::Private;
use super::view::{COUNT, Found, HELD};
use crate::error::{Error, ErrorKind, Result};
use crate::region::layout::CHUNK_BYTES;

impl Chunks<'_> {
    /// Counts one more descriptor for each of the extents, or for none of them.
    pub(super) fn retain(&self, heap: &Private, extents: &[u64]) -> Result<()> {
        for &off in extents {
            let found = self.view.find_start(off)?;
            let held = found.head.owner == heap.slot && heap.has(off);
            if self.view.refs(off).load() == 0 && !held {
                let text = format!(
                    "{:#x} is not allocated by this process and not published; publish it from the process that allocated it",
                    self.view.address(off)
                );
                return Err(Error::new(ErrorKind::ForeignPointer, text));
            }
        }
        for &off in extents {
            let refs = self.view.refs(off);
            let old = refs.load();
            // The first descriptor: who has an unpublished extent is the process that allocated it.
            let held = if old == 0 { HELD } else { old & HELD };
            let count = (old & COUNT).saturating_add(1).min(COUNT);
            if count == COUNT && old & COUNT < COUNT {
                // It just ran full: one reference less, and it must be counted again.
                self.note(Note::Credit).store(0);
            }
            refs.store(held | count);
        }
        Ok(())
    }

    /// Counts one descriptor less for each of the extents and frees what nobody has any more. Returns the
    /// classes of this process's own blocks that became free.
    pub(super) fn release(&self, slot: u16, extents: &[u64]) -> Result<u64> {
        let mut swept = 0;
        for &off in extents {
            let found = self.view.find_start(off)?;
            let refs = self.view.refs(off);
            let old = refs.load();
            match old & COUNT {
                0 => return Err(self.view.corrupt(found.chunk, "a reference is dropped that nobody had")),
                COUNT => match self.note(Note::Credit).load() {
                    0 => self.note(Note::Saturated).store(1),
                    credit => self.note(Note::Credit).store(credit - 1),
                },
                count => {
                    refs.store(old - 1);
                    if count == 1 && old & HELD == 0 {
                        swept |= self.unreferenced(slot, found);
                    }
                }
            }
        }
        Ok(swept)
    }

    /// Frees an extent that lost its last reference and that no process holds.
    fn unreferenced(&self, slot: u16, found: Found) -> u64 {
        let Found { extent, chunk, head } = found;
        self.note_owned(extent.len.wrapping_neg());
        match head.kind {
            Kind::Large => self.free(chunk, head),
            Kind::Span(_) if head.owner == REGION => self.free_orphan_if_empty(chunk, head),
            Kind::Span(class) => {
                self.set_head(chunk, Head { dirty: true, ..head });
                if head.owner == slot {
                    return 1 << class;
                }
            }
        }
        0
    }

    /// Sets every count to how often `listed` names the extent, and frees what nobody has. No count is
    /// ever below the truth on the way.
    pub(super) fn recount(&self, slot: u16, listed: impl Iterator<Item = u64>) -> Result<u64> {
        let mut counts: HashMap<u64, u64> = HashMap::new();
        for off in listed {
            self.view.find_start(off)?;
            *counts.entry(off).or_default() += 1;
        }
        let (mut owned, mut swept) = (0, 0);
        let full = counts.values().filter_map(|count| count.checked_sub(u64::from(COUNT)));
        self.note(Note::Credit).store(full.min().unwrap_or(0));
        for run in self.view.runs() {
            let (chunk, head) = run?;
            for extent in self.view.extents(chunk, head) {
                let (refs, count) =
                    (self.view.refs(extent.off), counts.get(&extent.off).copied().unwrap_or(0));
                let old = refs.load();
                let count = u8::try_from(count).unwrap_or(COUNT).min(COUNT);
                let new = old & HELD | count;
                if new != old {
                    refs.store(new);
                }
                if count > 0 && new & HELD == 0 {
                    owned += extent.len;
                }
                if new == 0 && old != 0 {
                    // What this takes from the bytes owned is put right below.
                    swept |= self.unreferenced(slot, Found { extent, chunk, head });
                }
            }
        }
        self.set_owned(owned);
        self.note(Note::Saturated).store(0);
        Ok(swept)
    }

    /// Returns everything that the process in `slot` holds and had not published; what it had published is
    /// the region's from now on. Returns the bytes of whole runs that became free.
    pub(super) fn reap(&self, slot: u16) -> Result<u64> {
        let mut returned = 0;
        for run in self.view.runs() {
            let (chunk, head) = run?;
            if head.owner != slot {
                continue;
            }
            let mut published = false;
            for Extent { off, len } in self.view.extents(chunk, head) {
                let refs = self.view.refs(off);
                let old = refs.load();
                if old & HELD != 0 {
                    refs.store(old & COUNT);
                    if old & COUNT != 0 {
                        self.note_owned(len);
                    }
                }
                published |= old & COUNT != 0;
            }
            if !published {
                self.free(chunk, head);
                returned += u64::from(head.chunks) * CHUNK_BYTES;
            } else if head.kind == Kind::Large {
                self.set_head(chunk, Head { owner: REGION, ..head });
            } else {
                self.orphan(chunk, head);
            }
        }
        Ok(returned)
    }
}

impl Private {
    /// Whether this process has the extent at `off` allocated, or did when it was published.
    fn has(&self, off: u64) -> bool {
        let mark = self.marks.get(off);
        mark == Mark::LARGE || mark.class().is_some()
    }
}
