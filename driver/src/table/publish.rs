//! Publish, replace and remove.
//!
//! The order is the protocol: data home, descriptor home, references counted, the old generation on the
//! retired list, then the commit word. A crash before the commit word leaves references too high and a
//! descriptor too many on the list, never the other way round, and the next holder of the lock counts anew.
#![allow(unsafe_code, reason = "takes a producer's structs")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::catalog::{Commit, DescriptorAt, Probe, Published as Entry, State, hash};
use super::cdata::{ArrowArray, ArrowSchema};
use super::descriptor::Draft;
use super::measure::measure;
use super::place::Placement;
use super::schema::Schema;
use super::tables::{HIDDEN, Locked, Tables};
use crate::coherence::Step;
use crate::error::{Error, ErrorKind, Result};
use crate::region::layout::GRANULE_BYTES;
use crate::region::space::Control;
use crate::units::index;

/// How to publish.
#[derive(Clone, Copy, Debug, Default)]
pub struct PublishOptions {
    /// Take the place of a table of the same name; its readers keep what they have.
    pub replace: bool,
    /// Forbid this process to store to the published pages, as far as they hold nothing else.
    pub seal: bool,
}

/// What publishing did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Rows of all batches.
    pub rows: u64,
    /// Number of batches.
    pub batches: u64,
    /// Bytes of buffers that were published where they are.
    pub bytes_in_place: u64,
    /// Bytes of buffers that lay outside of any region and were copied in.
    pub bytes_copied: u64,
    /// Bytes of the descriptor.
    pub descriptor_bytes: u64,
    /// Bytes that this process can no longer store to.
    pub bytes_sealed: u64,
    /// The generation published.
    pub generation: u64,
}

/// Slot, commit word and name of the table that a process published last.
#[derive(Default)]
pub(crate) struct LastPublished(Mutex<Option<(u64, Commit, String)>>);

impl Tables {
    /// Publishes `batches` of `schema` under `name`.
    ///
    /// # Safety
    /// The schema and arrays obey the C Data Interface, and nobody stores to their buffers from now on.
    pub(crate) unsafe fn publish(
        self: &Arc<Self>,
        name: &str,
        schema: &ArrowSchema,
        batches: &[ArrowArray],
        options: &PublishOptions,
    ) -> Result<Published> {
        Self::check_name(name)?;
        let about = |e: Error| e.context(format_args!("publishing \"{}\"", name.escape_debug()));
        self.heap()?;
        if !options.replace {
            // Found again under the lock; looked at first so that a taken name costs no copies.
            self.check_free(name)?;
        }
        // SAFETY: the caller's contract.
        let schema = unsafe { Schema::from_c(schema) }.map_err(about)?;
        let mut placement = Placement::new(self);
        let mut placed = Vec::with_capacity(batches.len());
        for batch in batches {
            // SAFETY: the caller's contract.
            let shape = unsafe { measure(&schema, batch) }.map_err(about)?;
            placed.push(shape.place(|buffer| placement.place(buffer)).map_err(about)?);
        }
        let placed_at = placement.finish();
        let draft = Draft { name, schema: &schema, regions: &placed_at.regions, batches: &placed };
        let mut published = Published {
            rows: placed.iter().filter_map(|batch| batch.nodes.first()).map(|node| node.length).sum(),
            batches: batches.len() as u64,
            bytes_in_place: placed_at.bytes_in_place,
            bytes_copied: placed_at.bytes_copied,
            ..Published::default()
        };
        let descriptor = self.build(&draft, &placed_at.extents).map_err(about)?;
        placed_at.start_release();
        published.descriptor_bytes = descriptor.at.len;
        let anchors = placed_at.anchors(self, descriptor.at.off).map_err(about)?;
        published.generation = anchors
            .commit_around(self, |locked| {
                let home = || placed_at.audit(format_args!("table \"{name}\""));
                self.commit(locked, name, &descriptor, options.replace, &home)
            })
            .map_err(about)?;
        // Published, so that this gives up the process's reference alone.
        drop(descriptor);
        drop(placed_at);
        if options.seal {
            published.bytes_sealed = self.seal(&placed)?;
        }
        Ok(published)
    }

    fn check_free(&self, name: &str) -> Result<()> {
        match self.find(name)?.0 {
            Some(_) => Err(taken(name)),
            None => Ok(()),
        }
    }

    /// Builds a descriptor in an extent of its own. It goes home when it is labelled.
    pub(super) fn build(self: &Arc<Self>, draft: &Draft<'_>, extents: &[u64]) -> Result<Fresh> {
        let len = draft.encoded_len(extents.len() + 1)? as u64;
        let mut fresh = Fresh::new(self, len)?;
        fresh.extents = [extents, &[fresh.at.off]].concat();
        // SAFETY: an extent of at least `len` bytes that nobody else knows yet; plain bytes.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.space.ptr(fresh.at.off), index(len)) };
        draft.encode_into(bytes, &fresh.extents, 0, 0)?;
        Ok(fresh)
    }

    /// Makes a descriptor the table of `name`. Returns the generation.
    pub(super) fn commit(
        &self,
        locked: &Locked<'_>,
        name: &str,
        descriptor: &Fresh,
        replace: bool,
        home: &dyn Fn() -> Result<()>,
    ) -> Result<u64> {
        let heap = self.heap()?;
        let (old, free) = match self.found_last(name) {
            Some(entry) => (Some(entry), None),
            None => self.find(name)?,
        };
        let slot = match (&old, free) {
            (Some(_), _) if !replace => return Err(taken(name)),
            (Some(entry), _) => entry.slot,
            (None, Some(slot))
                if self.space.control(Control::Names).load() < self.space.layout().shape.names =>
            {
                slot
            }
            (None, _) => {
                let text = format!(
                    "the catalog has room for {} names and all are taken; remove a table, or create the region with catalog= more",
                    self.space.layout().shape.names
                );
                return Err(Error::new(ErrorKind::CatalogFull, text));
            }
        };
        let commit = self.catalog().noted(slot).next(State::Live);
        self.label_descriptor(descriptor.at, slot, commit);
        let bytes = self.space.range(descriptor.at.off, descriptor.at.len);
        self.space.coherence().release(Step::TableHome, &[bytes]);
        self.space.check_alive()?;
        self.space.coherence().audit(format_args!("descriptor of \"{}\"", name.escape_debug()), [bytes])?;
        home()?;
        heap.retain(&descriptor.extents)?;
        if let Some(old) = &old {
            self.retire(old.at);
        }
        self.catalog().commit_live(slot, commit, hash(name), descriptor.at);
        if old.is_none() && !name.starts_with(HIDDEN) {
            self.count_names(1);
        }
        self.announce();
        *self.last.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((slot, commit, name.to_owned()));
        if old.is_some() {
            self.reclaim(locked)?;
        }
        Ok(commit.0)
    }

    /// Removes the table of `name`; its readers keep what they have.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        Self::check_name(name)?;
        self.remove_any(name, self.patience)
    }

    pub(super) fn remove_any(&self, name: &str, patience: Duration) -> Result<()> {
        self.heap()?;
        self.remove_locked(&self.lock(patience)?, name)
    }

    pub(super) fn remove_locked(&self, locked: &Locked<'_>, name: &str) -> Result<()> {
        let Some(old) = self.find(name)?.0 else { return Err(missing(name, &self.label)) };
        self.retire(old.at);
        self.catalog().commit_removed(old.slot, old.commit.next(State::Removed))?;
        if !name.starts_with(HIDDEN) {
            self.count_names(1u64.wrapping_neg());
        }
        self.announce();
        self.reclaim(locked)
    }

    /// The entry of `name` and a free entry where it would go. For the owner, who needs no lease.
    pub(super) fn find(&self, name: &str) -> Result<(Option<Entry>, Option<u64>)> {
        self.catalog().probe(hash(name), |entry| match self.envelope(entry.at) {
            Ok(envelope) if envelope.name() == name => Ok(Probe::Found(entry)),
            Ok(_) => Ok(Probe::On),
            // Without the lock, the descriptor may be gone since the entry was read.
            Err(_) if self.catalog().commit(entry.slot) != entry.commit => Ok(Probe::On),
            Err(e) => Err(e),
        })
    }

    /// The entry of `name`, if this process published it last and nobody has changed it since: whoever replaces a
    /// table again and again need not read the old descriptor for its name.
    fn found_last(&self, name: &str) -> Option<Entry> {
        let last = self.last.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (slot, commit, _) = last.as_ref().filter(|(.., last)| last == name)?;
        // A slot's generation never comes back, so an equal one is the same table.
        let at = self.catalog().descriptor(*slot, *commit);
        (self.catalog().noted(*slot) == *commit).then_some(Entry { slot: *slot, commit: *commit, at })
    }

    fn count_names(&self, delta: u64) {
        self.space.control(Control::Names).add(delta);
    }

    /// Writes slot and generation into a descriptor, for recovery and for people.
    fn label_descriptor(&self, at: DescriptorAt, slot: u64, commit: Commit) {
        use super::descriptor::{GENERATION_AT, SLOT_AT};
        self.space.word(at.off + SLOT_AT as u64).store(slot);
        self.space.word(at.off + GENERATION_AT as u64).store(commit.0);
    }
}

pub(super) fn taken(name: &str) -> Error {
    let text = format!(
        "table \"{}\" is published already; choose another name, replace it (--replace), or remove it first",
        name.escape_debug()
    );
    Error::new(ErrorKind::NameTaken, text)
}

pub(super) fn missing(name: &str, label: &str) -> Error {
    let text = format!(
        "region {label:?} has no table \"{}\"; csm ls {label} lists what it has",
        name.escape_debug()
    );
    Error::new(ErrorKind::NameNotFound, text)
}

/// A descriptor's extent, held by this process until it is published or dropped.
pub(super) struct Fresh {
    tables: Arc<Tables>,
    at: DescriptorAt,
    extents: Vec<u64>,
}

impl Fresh {
    fn new(tables: &Arc<Tables>, len: u64) -> Result<Self> {
        let off = tables.heap()?.alloc(len, GRANULE_BYTES)?;
        Ok(Self { tables: tables.clone(), at: DescriptorAt { off, len }, extents: Vec::new() })
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if let Some(Err(e)) = self.tables.heap.as_ref().map(|heap| heap.free(self.at.off, None)) {
            log::error!("freeing a descriptor: {e}");
        }
    }
}
