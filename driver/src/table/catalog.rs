//! The catalog: the names under which the owner has published tables.
//!
//! An open-addressing table of 64-byte entries in the owner's zone. An entry commits by its first word:
//! state and generation. It has two places for a descriptor and the generation's lowest bit says which one
//! counts, so that a replacement is prepared beside the table that readers are opening. The generation
//! of an entry never goes back, also through removal and reuse for another name. Names stand in the
//! descriptors; the entry has a hash. A removed entry stays a step of the probe until nothing follows it.

use crate::coherence::{Bytes, Step};
use crate::error::{Error, ErrorKind, Result};
use crate::region::layout::{CATALOG_ENTRY_BYTES, CATALOG_OFF};
use crate::region::space::Space;
use crate::region::word::{RemoteWord, Word};

const WORDS: u64 = CATALOG_ENTRY_BYTES / 8;
const HASH: usize = 1;
const HALVES: [usize; 2] = [2, 4];

const STATE_BITS: u64 = 0b11;
const COUNTER_STEP: u64 = STATE_BITS + 1;

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum State {
    /// Nothing here, nothing behind.
    Empty = 0,
    /// A table is published.
    Live = 1,
    /// Nothing here any more; the probe goes on.
    Removed = 2,
}

/// An entry's commit word: incarnation and counter of the generation, and the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Commit(pub(super) u64);

impl Commit {
    pub(super) fn state(self) -> Result<State> {
        match self.0 & STATE_BITS {
            0 => Ok(State::Empty),
            1 => Ok(State::Live),
            2 => Ok(State::Removed),
            _ => Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "a catalog entry has the commit word {:#x}, which means nothing; run csm verify",
                    self.0
                ),
            )),
        }
    }

    /// The next generation, in `state`.
    pub(super) fn next(self, state: State) -> Self {
        Self((self.0 & !STATE_BITS).wrapping_add(COUNTER_STEP) | state as u64)
    }

    fn half(self) -> usize {
        HALVES[usize::from(self.0 & COUNTER_STEP != 0)]
    }
}

/// Where a descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DescriptorAt {
    pub(super) off: u64,
    pub(super) len: u64,
}

/// A published entry, as it was when it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Published {
    pub(super) slot: u64,
    pub(super) commit: Commit,
    pub(super) at: DescriptorAt,
}

/// What a walk along the probe says to do next.
pub(super) enum Probe<T> {
    /// Look at the next entry.
    On,
    /// Done.
    Found(T),
}

/// A region's catalog.
#[derive(Clone, Copy)]
pub(super) struct Catalog<'a> {
    space: &'a Space,
}

impl<'a> Catalog<'a> {
    pub(super) fn new(space: &'a Space) -> Self {
        Self { space }
    }

    pub(super) fn slots(&self) -> u64 {
        self.space.layout().catalog_slots
    }

    /// An entry, for the owner to write.
    fn own(&self, slot: u64) -> &'a [Word] {
        self.space.words(CATALOG_OFF + slot * CATALOG_ENTRY_BYTES, WORDS)
    }

    fn words(&self, slot: u64) -> &'a [RemoteWord] {
        self.space.remote(CATALOG_OFF + slot * CATALOG_ENTRY_BYTES, WORDS)
    }

    /// The bytes of an entry.
    pub(super) fn entry(&self, slot: u64) -> Bytes {
        self.space.range(CATALOG_OFF + slot * CATALOG_ENTRY_BYTES, CATALOG_ENTRY_BYTES)
    }

    /// The commit word as it is home now.
    pub(super) fn commit(&self, slot: u64) -> Commit {
        self.space.coherence().acquire(Step::CommitIn, self.space.owner(), &[self.entry(slot)]);
        self.noted(slot)
    }

    /// The commit word as far as this node knows.
    pub(super) fn noted(&self, slot: u64) -> Commit {
        Commit(self.words(slot)[0].load())
    }

    /// The descriptor that `commit` of `slot` names.
    pub(super) fn descriptor(&self, slot: u64, commit: Commit) -> DescriptorAt {
        let (words, half) = (self.words(slot), commit.half());
        DescriptorAt { off: words[half].load(), len: words[half + 1].load() }
    }

    /// Walks the published entries of `hash`, and tells of the first free entry on the way.
    ///
    /// `look` sees each candidate; a hash is not a name, so it decides.
    pub(super) fn probe<T>(
        &self,
        hash: u64,
        mut look: impl FnMut(Published) -> Result<Probe<T>>,
    ) -> Result<(Option<T>, Option<u64>)> {
        let (slots, mut free) = (self.slots(), None);
        let mut slot = start(hash, slots);
        for _ in 0..slots {
            let commit = self.commit(slot);
            match commit.state()? {
                State::Empty => return Ok((None, free.or(Some(slot)))),
                State::Removed => free = free.or(Some(slot)),
                State::Live if self.words(slot)[HASH].load() == hash => {
                    let at = self.descriptor(slot, commit);
                    if let Probe::Found(found) = look(Published { slot, commit, at })? {
                        return Ok((Some(found), None));
                    }
                }
                State::Live => {}
            }
            slot = if slot + 1 == slots { 0 } else { slot + 1 };
        }
        Ok((None, free))
    }

    /// Every published entry.
    pub(super) fn published(&self) -> impl Iterator<Item = Published> + 'a {
        let this = *self;
        let all = self.space.range(CATALOG_OFF, self.slots() * CATALOG_ENTRY_BYTES);
        self.space.coherence().acquire(Step::CommitIn, self.space.owner(), &[all]);
        (0..self.slots()).filter_map(move |slot| {
            let commit = this.noted(slot);
            (commit.state().ok() == Some(State::Live)).then(|| Published {
                slot,
                commit,
                at: this.descriptor(slot, commit),
            })
        })
    }

    /// Publishes `at` in `slot` under `commit`, the next generation of that slot. Everything `at` names is home. The
    /// entry is home, and ordered before the look for leases, once the news are.
    pub(super) fn commit_live(&self, slot: u64, commit: Commit, hash: u64, at: DescriptorAt) {
        let (words, half) = (self.own(slot), commit.half());
        words[HASH].store(hash);
        words[half].store(at.off);
        words[half + 1].store(at.len);
        // One record of 64 bytes travels whole, so the word that commits it needs no trip of its own.
        words[0].store(commit.0);
        self.space.coherence().start_release(Step::CommitHome, &[self.entry(slot)]);
    }

    /// Takes `slot` out of the catalog under `commit`, and clears removed entries that nothing follows.
    pub(super) fn commit_removed(&self, slot: u64, commit: Commit) -> Result<()> {
        self.own(slot)[0].store(commit.0);
        self.space.coherence().start_release(Step::CommitHome, &[self.entry(slot)]);
        let slots = self.slots();
        let (mut next, mut here) = (if slot + 1 == slots { 0 } else { slot + 1 }, slot);
        // Bounded by the table: in a catalog without a live entry the walk would go round.
        for _ in 0..slots {
            let commit = self.commit(here);
            if self.commit(next).state()? != State::Empty || commit.state()? != State::Removed {
                break;
            }
            // It goes home with the entry's next commit: until then the other nodes' probes are a step longer.
            self.own(here)[0].store(commit.next(State::Empty).0);
            next = here;
            here = if here == 0 { slots - 1 } else { here - 1 };
        }
        Ok(())
    }
}

/// Where the probe for a hash begins: the hash scaled to the table (Lemire's reduction).
fn start(hash: u64, slots: u64) -> u64 {
    u64::try_from((u128::from(hash) * u128::from(slots)) >> 64).unwrap_or(0)
}

/// The hash of a name: FNV-1a, mixed so that the high bits count. It is part of the layout.
pub(super) fn hash(name: &str) -> u64 {
    let fnv = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_go_forward_and_alternate_halves() {
        let first = Commit(0).next(State::Live);
        let second = first.next(State::Live);
        let gone = second.next(State::Removed);
        assert!(first.0 < second.0 && second.0 < gone.0);
        assert_ne!(first.half(), second.half());
        assert_eq!(gone.state().ok(), Some(State::Removed));
        assert!(Commit(3).state().is_err());
    }

    #[test]
    fn hashes_spread_over_the_table() {
        let mut used = vec![0u32; 64];
        for i in 0..6400 {
            used[usize::try_from(start(hash(&format!("table-{i}")), 64)).expect("small")] += 1;
        }
        assert!(used.iter().all(|&n| (50..=160).contains(&n)), "{used:?}");
    }
}
