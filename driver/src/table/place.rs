//! Where the buffers of a table are: in this region, in another one, or to be copied in.
//!
//! A buffer inside an extent of a region is published where it is. What lies outside of every region, or
//! in one that this process may not publish from, or misaligned for its type, is copied into this region, and
//! the bytes are counted.
#![allow(unsafe_code, reason = "copies a producer's buffers")]

use std::collections::HashMap;
use std::sync::Arc;

use super::anchor::Anchors;
use super::shape::RawBuffer;
use super::tables::Tables;
use crate::coherence::{Bytes, Step};
use crate::error::{Error, ErrorKind, Result};

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
    /// What readers will load of this region.
    used: Vec<Bytes>,
    pub(super) bytes_in_place: u64,
    pub(super) bytes_copied: u64,
    copied: Vec<u64>,
    /// What is on its way home already.
    copied_in: Vec<Bytes>,
}

/// Another region with buffers of the table.
struct Other {
    tables: Arc<Tables>,
    extents: Vec<u64>,
    used: Vec<Bytes>,
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
            copied_in: Vec::new(),
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
        let (base, used) = match region {
            0 => (self.home.space.base(), &mut self.placed.used),
            n => {
                let other = &mut self.placed.others[n as usize - 1];
                (other.tables.space.base(), &mut other.used)
            }
        };
        self.placed.bytes_in_place += buffer.len_bytes;
        used.push((buffer.ptr, buffer.len_bytes));
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
            self.placed.others.push(Other { tables: tables.clone(), extents: Vec::new(), used: Vec::new() });
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
        // SAFETY: the producer's buffer has that many bytes, by the contract of `measure`; the extent is new.
        unsafe { self.home.space.coherence().copy_home(buffer.ptr, to, buffer.len_bytes) };
        self.placed.extents.push(off);
        self.placed.copied_in.push((to.cast_const(), buffer.len_bytes));
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
    /// Starts to bring every buffer home. It is complete with the next release in the same regions.
    pub(super) fn start_release(&self) {
        self.home.space.coherence().start_release(Step::BuffersHome, &self.used);
        for other in &self.others {
            other.tables.space.coherence().start_release(Step::BuffersHome, &other.used);
        }
    }

    /// Checks that every buffer is home, where the device can tell.
    pub(super) fn audit(&self, what: std::fmt::Arguments<'_>) -> Result<()> {
        let own = self.used.iter().chain(&self.copied_in).copied();
        self.home.space.coherence().audit(what, own)?;
        self.others
            .iter()
            .try_for_each(|other| other.tables.space.coherence().audit(what, other.used.iter().copied()))
    }

    /// Builds what keeps the extents of other regions for the table whose descriptor is at `descriptor_off`.
    pub(super) fn anchors(&self, home: &Tables, descriptor_off: u64) -> Result<Anchors> {
        Anchors::build(home, descriptor_off, self.others.iter().map(|other| (&other.tables, &*other.extents)))
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
