//! The region's chunks under the heap lock: runs are claimed, grown, cut and freed here and nowhere else.
//!
//! The entries are the truth and commit by their heads; the bitmap (a set bit is a free chunk) and the
//! counters only save a walk. Each store leaves the entries consistent, so whoever takes the lock over
//! from the dead, or finds that the region grew, builds the rest anew from them. First fit from the lowest
//! free chunk: memory that was touched is used again, and the large runs stay at the end.

use std::time::Duration;

use super::entry::{Entry, Head, Kind, REGION};
use super::view::{COUNT, HELD, View};
use super::{Extent, index};
use crate::error::Result;
use crate::region::layout::CONTROL_OFF;
use crate::region::lock::{self, Guard, Holder};
use crate::region::space::{Control, Space};
use crate::region::word::{RemoteWord, Word};

/// How long a live process may keep the heap lock before others give up. It is held for microseconds, so
/// this is for one that was stopped.
const PATIENCE: Duration = Duration::from_secs(30);

/// Words of the heap's control line.
#[derive(Clone, Copy)]
#[repr(usize)]
pub(super) enum Note {
    /// No chunk below this one is free.
    LowestFree = 0,
    /// Chunks that bitmap and counters describe; another number than the region has: build them anew.
    Described = 1,
    /// Chunks in runs.
    Used = 2,
    /// The most there ever were.
    PeakUsed = 3,
    /// Spans without a process.
    Orphans = 4,
    /// A count ran full: references of some extents are known only after a recount.
    Saturated = 5,
    /// How many references of counts that ran full may be dropped before one of them must be known again.
    Credit = 6,
}

fn note_off(which: Note) -> u64 {
    CONTROL_OFF + (Control::HeapHint as u64 + which as u64) * 8
}

/// The notes of a region's heap.
pub(super) fn noted(space: &Space, which: Note) -> u64 {
    space.remote(note_off(which), 1)[0].load()
}

/// The heap, locked.
pub(super) struct Chunks<'a> {
    pub(super) view: View<'a>,
    space: &'a Space,
    bitmap: &'a [Word],
    _guard: Guard<'a>,
}

impl<'a> Chunks<'a> {
    /// Takes the heap lock; what its last holder left half done is put right first.
    pub(super) fn lock(space: &'a Space, me: &dyn Holder) -> Result<Self> {
        let guard = lock::lock(space.control(Control::HeapLock), me, PATIENCE)?;
        let recovered = guard.recovered;
        let view = View::new(space);
        let bitmap = space.words(space.layout().bitmap_off, view.chunks().div_ceil(64));
        let chunks = Self { view, space, bitmap, _guard: guard };
        if recovered || chunks.note(Note::Described).load() != view.chunks() {
            chunks.rebuild()?;
        }
        Ok(chunks)
    }

    pub(super) fn note(&self, which: Note) -> &'a Word {
        self.space.word(note_off(which))
    }

    fn entry_word(&self, chunk: u64) -> &'a Word {
        self.space.word(self.space.layout().entries_off + chunk * 8)
    }

    /// Claims a run of `count` chunks that begins at a multiple of `align` chunks.
    pub(super) fn claim(
        &self,
        count: u64,
        align: u64,
        kind: Kind,
        owner: u16,
    ) -> Result<Option<(u64, Head)>> {
        let Ok(length) = u32::try_from(count) else { return Ok(None) };
        let Some(chunk) = self.find(count, align) else { return Ok(None) };
        let head = Head { kind, chunks: length, owner, dirty: false };
        self.check_free(chunk)?;
        self.write_rest(chunk, 1, count)?;
        self.set_head(chunk, head);
        self.mark(chunk, count, false);
        self.note_used(self.note(Note::Used).load().wrapping_add(count));
        Ok(Some((chunk, head)))
    }

    /// Lengthens a run in place, if the chunks behind it are free.
    pub(super) fn grow(&self, chunk: u64, head: Head, count: u64) -> Result<Option<Head>> {
        let Ok(length) = u32::try_from(count) else { return Ok(None) };
        let (old, end) = (u64::from(head.chunks), chunk + count);
        if end > self.view.chunks() || !(chunk + old..end).all(|chunk| self.is_marked(chunk)) {
            return Ok(None);
        }
        self.write_rest(chunk, old, count)?;
        let head = Head { chunks: length, ..head };
        self.set_head(chunk, head);
        self.mark(chunk + old, count - old, false);
        self.note_used(self.note(Note::Used).load().wrapping_add(count - old));
        Ok(Some(head))
    }

    /// Shortens a run in place.
    pub(super) fn cut(&self, chunk: u64, head: Head, length: u32) -> Head {
        let (old, new) = (u64::from(head.chunks), u64::from(length));
        let head = Head { chunks: length, ..head };
        self.set_head(chunk, head);
        self.give_back(chunk + new, old - new);
        head
    }

    /// Frees a run, none of whose extents is published.
    pub(super) fn free(&self, chunk: u64, head: Head) {
        self.entry_word(chunk).store(Entry::Free.encode());
        self.give_back(chunk, head.chunks.into());
    }

    /// Stores a head; its length must not have changed unless the caller saw to the rest.
    pub(super) fn set_head(&self, chunk: u64, head: Head) {
        self.entry_word(chunk).store(Entry::Head(head).encode());
    }

    /// Takes over a span of this kind that has no process and a free block, if one is among the next
    /// `window` entries from `cursor` on.
    pub(super) fn adopt(
        &self,
        kind: Kind,
        owner: u16,
        cursor: &mut u64,
        window: u64,
    ) -> Result<Option<(u64, Head)>> {
        let (orphans, chunks) = (self.note(Note::Orphans).load(), self.view.chunks());
        if orphans == 0 {
            return Ok(None);
        }
        for _ in 0..window.min(chunks) {
            *cursor = if *cursor + 1 < chunks { *cursor + 1 } else { 0 };
            let Some(head) = self.view.head(*cursor)? else { continue };
            let is_free = |extent: Extent| self.view.refs(extent.off).load() == 0;
            if head.owner == REGION && head.kind == kind && self.view.extents(*cursor, head).any(is_free) {
                let head = Head { owner, dirty: false, ..head };
                self.set_head(*cursor, head);
                self.note(Note::Orphans).store(orphans - 1);
                return Ok(Some((*cursor, head)));
            }
        }
        Ok(None)
    }

    /// Gives a span to the region: no process allocates from it until one adopts it.
    pub(super) fn orphan(&self, chunk: u64, head: Head) {
        self.set_head(chunk, Head { owner: REGION, dirty: false, ..head });
        let orphans = self.note(Note::Orphans);
        orphans.store(orphans.load().wrapping_add(1));
    }

    /// Frees an abandoned span once nothing in it is published.
    pub(super) fn free_orphan_if_empty(&self, chunk: u64, head: Head) {
        if self.view.refs_of_run(chunk, head.chunks.into()).iter().all(|refs| refs.load() == 0) {
            self.free(chunk, head);
            let orphans = self.note(Note::Orphans);
            orphans.store(orphans.load().saturating_sub(1));
        }
    }

    /// Adds to the bytes that are published and held by no process.
    pub(super) fn note_owned(&self, delta: u64) {
        self.set_owned(self.space.control(Control::RegionOwned).load().wrapping_add(delta));
    }

    /// Says how many bytes are published and held by no process.
    pub(super) fn set_owned(&self, bytes: u64) {
        self.space.control(Control::RegionOwned).store(bytes);
    }

    fn note_used(&self, used: u64) {
        self.note(Note::Used).store(used);
        if used > self.note(Note::PeakUsed).load() {
            self.note(Note::PeakUsed).store(used);
        }
    }

    fn give_back(&self, chunk: u64, count: u64) {
        self.mark(chunk, count, true);
        let lowest = self.note(Note::LowestFree);
        if chunk < lowest.load() {
            lowest.store(chunk);
        }
        self.note(Note::Used).store(self.note(Note::Used).load().wrapping_sub(count));
    }

    /// Writes the entries of the chunks `from .. to` behind the head at `chunk`. Refuses to overwrite what the
    /// entries say is in use, whatever the bitmap says.
    fn write_rest(&self, chunk: u64, from: u64, to: u64) -> Result<()> {
        // The run that left its entries here: if it did not reach the chunk before, it does not reach this one.
        let mut left_by = None;
        for back in from..to {
            let at = chunk + back;
            let word = self.entry_word(at);
            #[expect(clippy::cast_possible_truncation, reason = "a run's length fits 32 bits")]
            let entry = Entry::Rest(back as u32).encode();
            let old = word.load();
            // Often a run of the same start was there before.
            if old == entry {
                continue;
            }
            if old != Entry::Free.encode() {
                let first = match Entry::decode(old) {
                    Some(Entry::Rest(back)) => at.checked_sub(back.into()),
                    _ => None,
                };
                if first.is_none() || first != left_by {
                    self.check_free(at)?;
                    left_by = first;
                }
            }
            word.store(entry);
        }
        Ok(())
    }

    fn check_free(&self, chunk: u64) -> Result<()> {
        match self.view.run_of(chunk)? {
            None => Ok(()),
            Some(_) => Err(self.view.corrupt(chunk, "it is in use, and the bitmap calls it free")),
        }
    }

    fn is_marked(&self, chunk: u64) -> bool {
        self.bitmap[index(chunk / 64)].load() >> (chunk % 64) & 1 != 0
    }

    fn mark(&self, chunk: u64, count: u64, free: bool) {
        let (mut at, end) = (chunk, chunk + count);
        while at < end {
            let bits = (end - at).min(64 - at % 64);
            let mask = u64::MAX >> (64 - bits) << (at % 64);
            let word = &self.bitmap[index(at / 64)];
            word.store(if free { word.load() | mask } else { word.load() & !mask });
            at += bits;
        }
    }

    /// The first run of `count` free chunks whose start is a multiple of `align` chunks.
    fn find(&self, count: u64, align: u64) -> Option<u64> {
        let lowest = self.note(Note::LowestFree).load();
        let mut first_free = None;
        let found = free_runs(
            self.space.remote(self.space.layout().bitmap_off, self.bitmap.len() as u64),
            lowest / 64,
            count.saturating_add(align),
        )
        .find_map(|(start, length)| {
            first_free.get_or_insert(start);
            let at = start.next_multiple_of(align);
            (at + count <= start + length).then_some(at)
        });
        // Everything below the first free chunk is taken, and so is what is found now if it is first.
        let first_free = first_free.unwrap_or(self.view.chunks());
        if first_free > lowest {
            self.note(Note::LowestFree).store(first_free);
        }
        found.filter(|at| at + count <= self.view.chunks())
    }

    /// Builds bitmap and counters anew from the entries, and frees what nobody has.
    fn rebuild(&self) -> Result<()> {
        let chunks = self.view.chunks();
        self.note(Note::Described).store(0);
        let mut bitmap = vec![u64::MAX; self.bitmap.len()];
        if let Some(last) = bitmap.last_mut().filter(|_| !chunks.is_multiple_of(64)) {
            *last = u64::MAX >> (64 - chunks % 64);
        }
        let (mut used, mut owned, mut orphans) = (0, 0, 0);
        for run in self.view.runs() {
            let (chunk, head) = run?;
            let mut published = false;
            for extent in self.view.extents(chunk, head) {
                let refs = self.view.refs(extent.off);
                if head.owner == REGION && refs.load() & HELD != 0 {
                    refs.store(refs.load() & COUNT);
                }
                published |= refs.load() != 0;
                owned += if refs.load() != 0 && refs.load() & HELD == 0 { extent.len } else { 0 };
            }
            if head.owner == REGION && !published {
                self.entry_word(chunk).store(Entry::Free.encode());
                continue;
            }
            used += u64::from(head.chunks);
            orphans += u64::from(head.owner == REGION && head.kind != Kind::Large);
            (chunk..chunk + u64::from(head.chunks))
                .for_each(|at| bitmap[index(at / 64)] &= !(1 << (at % 64)));
        }
        for (word, bits) in self.bitmap.iter().zip(bitmap) {
            if word.load() != bits {
                word.store(bits);
            }
        }
        self.note(Note::LowestFree).store(0);
        self.note_used(used);
        self.note(Note::Orphans).store(orphans);
        self.set_owned(owned);
        self.note(Note::Described).store(chunks);
        Ok(())
    }
}

/// Runs of free chunks in address order, from a word of the bitmap on: `(first chunk, length)`. Nobody looks
/// further than `enough` chunks into a run, so that a long one comes in pieces.
pub(super) fn free_runs(
    bitmap: &[RemoteWord],
    from_word: u64,
    enough: u64,
) -> impl Iterator<Item = (u64, u64)> {
    let end = bitmap.len() as u64 * 64;
    let mut next = from_word.saturating_mul(64);
    // The first chunk of `at .. to` whose bit, seen through `flip`, is set.
    let scan = move |mut at: u64, to: u64, flip: u64| {
        while at < to {
            let rest = (bitmap[index(at / 64)].load() ^ flip) >> (at % 64);
            if rest != 0 {
                return to.min(at + u64::from(rest.trailing_zeros()));
            }
            at = (at / 64 + 1) * 64;
        }
        to
    };
    std::iter::from_fn(move || {
        let start = scan(next, end, 0);
        if start >= end {
            return None;
        }
        next = scan(start, end.min(start.saturating_add(enough)), u64::MAX);
        Some((start, next - start))
    })
}
