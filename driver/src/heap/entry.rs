//! A chunk's entry: one word that says whom the chunk belongs to. The truth of the heap.
//!
//! The first chunk of a run carries a head, the others how far back it is. A run commits by its head: a
//! chunk whose head is missing or does not reach it is free, whatever its entry says. Entries are input:
//! a word that no encoder makes does not decode.

use super::class::CLASSES;

/// Owner of a run that no process holds: published extents whose process let go of them or died.
pub(super) const REGION: u16 = u16::MAX;

/// What a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One extent.
    Large,
    /// Blocks of one size class.
    Span(u8),
}

/// The head of a run of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    /// Length of the run.
    pub(super) chunks: u32,
    /// Member slot of the process that holds it, or [`REGION`].
    pub(super) owner: u16,
    /// A span whose owner should look for blocks that lost their last reference.
    pub(super) dirty: bool,
}

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Free,
    /// Part of the run that begins this many chunks before.
    Rest(u32),
    Head(Head),
}

const REST: u64 = 1;
const LARGE: u64 = 2;
const SPAN: u64 = 3;
const DIRTY: u64 = 1 << 2;

impl Entry {
    /// `None` for a word that [`Entry::encode`] never makes.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "fields are cut out of the word")]
    pub(super) fn decode(word: u64) -> Option<Self> {
        let (class, owner, chunks) = ((word >> 8) as u8, (word >> 16) as u16, (word >> 32) as u32);
        let entry = match word & 3 {
            0 => Entry::Free,
            REST => Entry::Rest(chunks),
            kind => {
                let kind = if kind == LARGE { Kind::Large } else { Kind::Span(class) };
                Entry::Head(Head { kind, chunks, owner, dirty: word & DIRTY != 0 })
            }
        };
        let sound = entry.encode() == word
            && match entry {
                Entry::Free => true,
                Entry::Rest(back) => back > 0,
                Entry::Head(Head { kind, .. }) => {
                    chunks > 0 && !matches!(kind, Kind::Span(class) if usize::from(class) >= CLASSES)
                }
            };
        sound.then_some(entry)
    }

    #[inline]
    pub(super) fn encode(self) -> u64 {
        match self {
            Entry::Free => 0,
            Entry::Rest(back) => u64::from(back) << 32 | REST,
            Entry::Head(Head { kind, chunks, owner, dirty }) => {
                let kind = match kind {
                    Kind::Large => LARGE,
                    Kind::Span(class) => u64::from(class) << 8 | SPAN,
                };
                u64::from(chunks) << 32 | u64::from(owner) << 16 | kind | if dirty { DIRTY } else { 0 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_encoding_and_nothing_else_decodes() {
        let heads = [
            (Kind::Large, 1, 0, false),
            (Kind::Span(63), 9, REGION, true),
            (Kind::Span(0), u32::MAX, 7, false),
        ];
        let heads =
            heads.map(|(kind, chunks, owner, dirty)| Entry::Head(Head { kind, chunks, owner, dirty }));
        for entry in [Entry::Free, Entry::Rest(1), Entry::Rest(u32::MAX)].into_iter().chain(heads) {
            assert_eq!(Entry::decode(entry.encode()), Some(entry));
        }
        // No chunks, no distance, an unknown class, bits nobody sets.
        for word in
            [LARGE, SPAN, REST, 1 << 32 | 64 << 8 | SPAN, 1 << 32 | 1 << 8 | LARGE, 4, 1 << 40, u64::MAX]
        {
            assert_eq!(Entry::decode(word), None, "{word:#x}");
        }
    }
}
