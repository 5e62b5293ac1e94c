//! Anchors: what keeps extents of another region for a table of this one.
//!
//! A table's buffers may lie in several regions. In each region but its own it has an anchor: a hidden table
//! without rows that lists the extents there, named after the table's region and descriptor. Anchors are committed
//! before the table and removed after it, so that each region can be recovered from its own descriptors alone. The
//! locks of all regions concerned are held from the first anchor to the commit, taken in the order of the
//! regions' uuids: a lonely anchor, seen with the lock of the table's region in hand, is one whose publisher died.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::descriptor::Draft;
use super::publish::Fresh;
use super::schema::Schema;
use super::tables::{HIDDEN, Locked, Tables};
use crate::error::{ErrorKind, Result};

/// The anchors of a table that is being published, not committed yet.
pub(super) struct Anchors {
    name: String,
    anchors: Vec<(Arc<Tables>, Fresh)>,
}

impl Anchors {
    /// Builds an anchor in every region of `extents`, for the table of `home` whose descriptor is at `descriptor_off`.
    pub(super) fn build<'a>(
        home: &Tables,
        descriptor_off: u64,
        extents: impl Iterator<Item = (&'a Arc<Tables>, &'a [u64])>,
    ) -> Result<Self> {
        let name = name(home, descriptor_off);
        let anchors =
            extents.map(|(other, extents)| Ok((other.clone(), other.build_anchor(&name, extents)?)));
        Ok(Self { anchors: anchors.collect::<Result<_>>()?, name })
    }

    /// Locks every region concerned, commits the anchors, and then the table by `commit`. All or nothing.
    pub(super) fn commit_around<T>(
        &self,
        home: &Tables,
        commit: impl FnOnce(&Locked<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut regions: BTreeMap<_, &Tables> =
            self.anchors.iter().map(|(other, _)| (other.uuid, &**other)).collect();
        regions.insert(home.uuid, home);
        let locks = regions.iter().map(|(uuid, tables)| Ok((*uuid, tables.lock(tables.patience)?)));
        let locks: BTreeMap<_, Locked<'_>> = locks.collect::<Result<_>>()?;
        let mut done = 0;
        let committed = self.anchors.iter().try_for_each(|(other, descriptor)| {
            // One of that name is left from a table that was never committed, at the same place.
            other.commit(&locks[&other.uuid], &self.name, descriptor, true, &|| Ok(()))?;
            done += 1;
            Ok(())
        });
        let committed = committed.and_then(|()| commit(&locks[&home.uuid]));
        if committed.is_err() {
            for (other, _) in &self.anchors[..done] {
                if let Err(e) = other.remove_locked(&locks[&other.uuid], &self.name) {
                    log::warn!("taking an anchor in region {} back: {e}", other.label);
                }
            }
        }
        committed
    }
}

/// The name of the anchors of a table of `home`.
fn name(home: &Tables, descriptor_off: u64) -> String {
    format!("{HIDDEN}{}/{descriptor_off:x}", home.uuid)
}

/// The region and descriptor that an anchor of that name stands for.
pub(super) fn anchored(name: &str) -> Option<([u8; 16], u64)> {
    let (uuid, off) = name.strip_prefix(HIDDEN)?.split_once('/')?;
    Some((uuid::Uuid::parse_str(uuid).ok()?.into_bytes(), u64::from_str_radix(off, 16).ok()?))
}

impl Tables {
    /// Builds a hidden table without rows that holds `extents`.
    fn build_anchor(self: &Arc<Self>, name: &str, extents: &[u64]) -> Result<Fresh> {
        let schema = Schema::without_columns()?;
        self.build(&Draft { name, schema: &schema, regions: &[*self.uuid.as_bytes()], batches: &[] }, extents)
    }

    /// Removes the anchors of a table of this region that nobody reads any more. False: not now.
    pub(super) fn drop_anchors(&self, regions: impl Iterator<Item = [u8; 16]>, descriptor_off: u64) -> bool {
        // The other region's lock is only tried: this one's is held, out of order.
        regions.filter(|uuid| uuid != self.uuid.as_bytes()).all(|uuid| match self.regions.of(uuid) {
            Some(other) => match other.remove_any(&name(self, descriptor_off), Duration::ZERO) {
                Ok(()) => true,
                Err(e) => e.kind() == ErrorKind::NameNotFound,
            },
            None => false,
        })
    }

    /// Removes the anchors whose tables were never committed, as far as the regions of those tables are open here
    /// and nobody has their locks. Returns how many.
    pub(super) fn drop_lonely_anchors(&self, locked: &Locked<'_>) -> Result<u64> {
        let names = self.catalog().published().filter_map(|entry| self.envelope(entry.at).ok());
        let names: Vec<String> =
            names.map(|e| e.name().to_owned()).filter(|name| name.starts_with(HIDDEN)).collect();
        let mut dropped = 0;
        for name in names {
            let Some((uuid, off)) = anchored(&name) else { continue };
            let Some(home) = self.regions.of(uuid) else { continue };
            // With that lock in hand nobody is between an anchor and the commit of its table.
            let Ok(_locked) = home.lock(Duration::ZERO) else { continue };
            if !home.retired()?.contains(&off) && home.catalog().published().all(|entry| entry.at.off != off)
            {
                self.remove_locked(locked, &name)?;
                dropped += 1;
            }
        }
        Ok(dropped)
    }
}
