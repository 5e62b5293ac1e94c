//! Where the buffers of a table are: in this region, in another one, or to be copied in.
//!
//! A buffer inside an extent of a region is published where it is. What lies outside of every region, or
//! in one that this process may not publish from, or misaligned for its type, is copied into this region, and
//! the bytes are counted. Extents in another region are kept there by an *anchor*: a hidden table of that
//! region without rows, which lists them. It is committed before the table and removed after it, so each region
//! can still be recovered from its own descriptors alone.
#![allow(unsafe_code, reason = "copies a producer's buffers")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::descriptor::Draft;
use super::schema::Schema;
use super::shape::RawBuffer;
use super::tables::{HIDDEN, Tables};
use crate::error::{Error, ErrorKind, Result};
use crate::units::index;

/// Collects the places of a table's buffers.
pub(super) struct Placement<'a> {
    home: &'a Arc<Tables>,
    placed: Placed,
    /// Copies made, by address and length of the original: shared buffers stay shared.
    copies: HashMap<(usize, u64), u64>,
    /// The last extent met, as most buffers follow one another: region number, first and last byte.
    last: Option<(u32, u64, u64)>,
}

/// Where everything of a table is.
pub(super) struct Placed {
    home: Arc<Tables>,
    /// uuids of the regions in use, this one first.
    pub(super) regions: Vec<[u8; 16]>,
    others: Vec<Other>,
    /// Extents of this region, each once.
    pub(super) extents: Vec<u64>,
    /// Address and length of what readers will load.
    pub(super) used: Vec<(*const u8, u64)>,
    pub(super) bytes_in_place: u64,
    pub(super) bytes_copied: u64,
    copied: Vec<u64>,
}

/// Another region with buffers of the table.
struct Other {
    tables: Arc<Tables>,
    extents: Vec<u64>,
}

impl<'a> Placement<'a> {
    pub(super) fn new(home: &'a Arc<Tables>) -> Self {
        let placed = Placed {
            home: home.clone(),
            regions: vec![*home.uuid.as_bytes()],
            others: Vec::new(),
            extents: Vec::new(),
            used: Vec::new(),
            bytes_in_place: 0,
            bytes_copied: 0,
            copied: Vec::new(),
        };
        Self { home, placed, copies: HashMap::new(), last: None }
    }

    /// Region number and offset of a buffer with bytes.
    pub(super) fn place(&mut self, buffer: &RawBuffer) -> Result<(u32, u64)> {
        let address = buffer.ptr as u64;
        if buffer.is_aligned() {
            if let Some((region, start, end)) = self.last
                && address >= start
                && address + buffer.len_bytes <= end
            {
                return Ok(self.in_place(region, buffer));
            }
            if let Some(region) = self.extent_of(address, buffer.len_bytes)? {
                return Ok(self.in_place(region, buffer));
            }
        }
        self.copy_in(buffer)
    }

    fn in_place(&mut self, region: u32, buffer: &RawBuffer) -> (u32, u64) {
        let base = match region {
            0 => self.home.space.base(),
            n => self.placed.others[n as usize - 1].tables.space.base(),
        };
        self.placed.bytes_in_place += buffer.len_bytes;
        self.placed.used.push((buffer.ptr, buffer.len_bytes));
        (region, buffer.ptr as u64 - base)
    }

    /// Finds the extent around a buffer and lists it; None when there is none to publish from.
    fn extent_of(&mut self, address: u64, len: u64) -> Result<Option<u32>> {
        let home = self.home;
        let tables = if home.space.data_off_of(address).is_some() {
            home.clone()
        } else if let Some(other) = home.regions.at(address).filter(|other| other.heap.is_some()) {
            other
        } else {
            return Ok(None);
        };
        let off = address - tables.space.base();
        let extent = tables.heap()?.extent_of(off)?;
        if off + len > extent.off + extent.len {
            let text = format!(
                "a buffer of {len} bytes at {address:#x} runs past its extent of {} bytes at {:#x}",
                extent.len,
                tables.space.base() + extent.off
            );
            return Err(Error::new(ErrorKind::BadArrow, text));
        }
        let region = self.number(&tables);
        let list = match region {
            0 => &mut self.placed.extents,
            n => &mut self.placed.others[n as usize - 1].extents,
        };
        list.push(extent.off);
        let start = tables.space.base() + extent.off;
        self.last = Some((region, start, start + extent.len));
        Ok(Some(region))
    }

    fn number(&mut self, tables: &Arc<Tables>) -> u32 {
        let uuid = *tables.uuid.as_bytes();
        let known = self.placed.regions.iter().position(|known| *known == uuid);
        let at = known.unwrap_or_else(|| {
            self.placed.regions.push(uuid);
            self.placed.others.push(Other { tables: tables.clone(), extents: Vec::new() });
            self.placed.regions.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    fn copy_in(&mut self, buffer: &RawBuffer) -> Result<(u32, u64)> {
        let key = (buffer.ptr as usize, buffer.len_bytes);
        if let Some(off) = self.copies.get(&key) {
            return Ok((0, *off));
        }
        let off = self.home.heap()?.alloc(buffer.len_bytes, buffer.align_bytes.into())?;
        self.placed.copied.push(off);
        let to = self.home.space.ptr(off);
        let len = index(buffer.len_bytes);
        // SAFETY: the producer's buffer has that many bytes, by the contract of `measure`; the extent is new.
        unsafe { std::ptr::copy_nonoverlapping(buffer.ptr, to, len) };
        self.placed.extents.push(off);
        self.placed.used.push((to.cast_const(), buffer.len_bytes));
        self.placed.bytes_copied += buffer.len_bytes;
        self.copies.insert(key, off);
        Ok((0, off))
    }

    pub(super) fn finish(mut self) -> Placed {
        let others = self.placed.others.iter_mut().map(|other| &mut other.extents);
        for extents in others.chain([&mut self.placed.extents]) {
            extents.sort_unstable();
            extents.dedup();
        }
        self.placed
    }
}

impl Placed {
    /// Commits an anchor in every other region, for the table whose descriptor is at `descriptor_off`.
    pub(super) fn anchor(&self, home: &Tables, descriptor_off: u64) -> Result<()> {
        for (done, other) in self.others.iter().enumerate() {
            let anchored = other.tables.commit_anchor(&anchor_name(home, descriptor_off), &other.extents);
            if let Err(e) = anchored {
                release(&self.others[..done], home, descriptor_off);
                return Err(e);
            }
        }
        Ok(())
    }

    /// Takes the anchors back, where the table was not committed.
    pub(super) fn release_anchors(&self, home: &Tables, descriptor_off: u64) {
        release(&self.others, home, descriptor_off);
    }
}

fn release(others: &[Other], home: &Tables, descriptor_off: u64) {
    for other in others {
        if let Err(e) = other.tables.remove_any(&anchor_name(home, descriptor_off), other.tables.patience) {
            log::warn!("taking an anchor in region {} back: {e}", other.tables.label);
        }
    }
}

impl Drop for Placed {
    /// Gives up this process's reference to the copies: all there is of them if nothing was published.
    fn drop(&mut self) {
        for off in self.copied.drain(..) {
            if let Some(Err(e)) = self.home.heap.as_ref().map(|heap| heap.free(off, None)) {
                log::error!("freeing a copied buffer: {e}");
            }
        }
    }
}

/// The name of the anchor that a table of `home` has in another region.
fn anchor_name(home: &Tables, descriptor_off: u64) -> String {
    format!("{HIDDEN}{}/{descriptor_off:x}", home.uuid)
}

/// The region and descriptor that an anchor of that name stands for.
pub(super) fn anchored(name: &str) -> Option<([u8; 16], u64)> {
    let (uuid, off) = name.strip_prefix(HIDDEN)?.split_once('/')?;
    Some((uuid::Uuid::parse_str(uuid).ok()?.into_bytes(), u64::from_str_radix(off, 16).ok()?))
}

impl Tables {
    /// Publishes a hidden table without rows that holds `extents`.
    fn commit_anchor(self: &Arc<Self>, name: &str, extents: &[u64]) -> Result<()> {
        let schema = Schema::without_columns()?;
        let draft = Draft { name, schema: &schema, regions: &[*self.uuid.as_bytes()], batches: &[] };
        let descriptor = self.build(&draft, extents)?;
        // One of that name is left from a table that was never committed, at the same place.
        self.commit(name, &descriptor, true).map(|_| ())
    }

    /// Removes the anchors of a table of this region that nobody reads any more. False: not now.
    pub(super) fn drop_anchors(&self, regions: impl Iterator<Item = [u8; 16]>, descriptor_off: u64) -> bool {
        let name = anchor_name(self, descriptor_off);
        // The other region's lock is only tried: two regions may be reclaiming from each other.
        regions.filter(|uuid| uuid != self.uuid.as_bytes()).all(|uuid| match self.regions.of(uuid) {
            Some(other) => match other.remove_any(&name, Duration::ZERO) {
                Ok(()) => true,
                Err(e) => e.kind() == ErrorKind::NameNotFound,
            },
            None => false,
        })
    }

    /// Whether a descriptor at `off` is in the catalog or on the retired list. The caller has the lock.
    pub(super) fn is_committed(&self, off: u64) -> Result<bool> {
        let published = self.catalog().published().any(|entry| entry.at.off == off);
        Ok(published || self.retired()?.contains(&off))
    }
}
