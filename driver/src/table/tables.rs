//! What the operations on tables share: the rooms they join, the catalog's lock, and reading descriptors.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::catalog::{Catalog, DescriptorAt};
use super::descriptor::{Envelope, HEADER_LEN, MAX_NAME_LEN, NEXT_RETIRED_AT};
use super::publish::LastPublished;
use crate::coherence::Step;
use crate::error::{Error, ErrorKind, Result};
use crate::heap::{self, Heap};
use crate::lease::{self, Leases};
use crate::member::beat::Beat;
use crate::member::{self, ControlFile, Member, MemberInfo};
use crate::region::layout::GRANULE_BYTES;
use crate::region::lock;
use crate::region::open::Opened;
use crate::region::space::{Control, Space};
use crate::region::word::Word;
use crate::stats::RegionStats;
use crate::sys::process;
use crate::units::index;

/// Names that begin so are the library's own: they do not show in listings.
pub(super) const HIDDEN: char = '\0';

/// Other regions open in this process, for tables that span several.
pub(crate) trait Regions: Send + Sync {
    /// The region that `address` lies in.
    fn at(&self, address: u64) -> Option<Arc<Tables>>;
    /// The region of that uuid.
    fn of(&self, uuid: [u8; 16]) -> Option<Arc<Tables>>;
}

/// An open region, with all its rooms joined. It is left when the last handle, table and array has gone.
pub(crate) struct Tables {
    pub(crate) label: String,
    pub(crate) uuid: Uuid,
    pub(crate) opened: Opened,
    pub(crate) space: Arc<Space>,
    pub(crate) control: Arc<ControlFile>,
    pub(crate) member: Arc<Member>,
    /// None for a process that only reads.
    pub(crate) heap: Option<Arc<Heap>>,
    pub(crate) leases: Leases,
    /// The longest to wait for another process.
    pub(crate) patience: Duration,
    pub(crate) regions: &'static dyn Regions,
    pub(crate) forks: u32,
    pub(crate) last: LastPublished,
    /// Signs of life, where no kernel sees all nodes.
    pub(crate) beat: Option<Beat>,
}

impl Drop for Tables {
    fn drop(&mut self) {
        // A forked child has copies of the handles, but is no member.
        if self.forks != process::fork_count() {
            return;
        }
        self.beat = None;
        self.leases.leave();
        let left = self.heap.as_ref().map_or(Ok(()), |heap| heap.leave()).and_then(|()| self.member.leave());
        if let Err(e) = left {
            // The next process to open the region clears up as after a death.
            log::warn!("leaving region {}: {e}", self.label);
        }
    }
}

/// The catalog's lock, held.
pub(super) struct Locked<'a> {
    _guard: lock::Guard<'a>,
}

impl Tables {
    pub(super) fn catalog(&self) -> Catalog<'_> {
        Catalog::new(&self.space)
    }

    /// The heap, for an operation that changes the region.
    pub(crate) fn heap(&self) -> Result<&Arc<Heap>> {
        self.heap.as_ref().ok_or_else(|| {
            if self.member.node() == 0 {
                let text = format!("region {:?} is open with access=ro; open it with access=rw to change it", self.label);
                Error::new(ErrorKind::ReadOnly, text)
            } else {
                let text = format!(
                    "region {:?} is borrowed by node {} here; only processes of its owner, node 0, allocate and publish in it",
                    self.label,
                    self.member.node()
                );
                Error::new(ErrorKind::NotOwner, text)
            }
        })
    }

    /// Takes the catalog's lock, waiting at most `patience`; repairs what a dead holder left.
    pub(super) fn lock(&self, patience: Duration) -> Result<Locked<'_>> {
        let word = self.space.control(Control::CatalogLock);
        let guard = lock::lock(word, &*self.member, patience)?;
        let repair = self.space.control(Control::CatalogRepair);
        if guard.recovered {
            repair.store(1);
        }
        if repair.load() != 0 {
            // A repair that fails or dies is tried again by the next holder.
            self.recover()?;
            repair.store(0);
        }
        Ok(Locked { _guard: guard })
    }

    pub(super) fn check_name(name: &str) -> Result<()> {
        if name.is_empty() || name.len() > MAX_NAME_LEN || name.starts_with(HIDDEN) {
            let text = format!(
                "table name \"{}\" has {} bytes; use 1 to {MAX_NAME_LEN} bytes of UTF-8 that do not begin with NUL",
                name.escape_debug(),
                name.len()
            );
            return Err(Error::new(ErrorKind::BadName, text));
        }
        Ok(())
    }

    /// Copies `len` bytes of data memory out. Others may write there: the copy is checked, not the original.
    pub(super) fn copy_out(&self, off: u64, len: u64) -> Result<Vec<u8>> {
        let layout = self.space.layout();
        let end = layout.data_off + self.space.data_bytes();
        let inside =
            off >= layout.data_off && off.is_multiple_of(GRANULE_BYTES) && off < end && len <= end - off;
        if !inside || !len.is_multiple_of(8) {
            let text = format!(
                "region {:?}: a descriptor of {len} bytes at {off:#x} cannot be; run csm verify",
                self.label
            );
            return Err(Error::new(ErrorKind::Corrupt, text));
        }
        let range = self.space.range(off, len);
        let _open = self.space.mapping().admit(&[range])?;
        let words = self.space.remote(off, len / 8);
        self.space.coherence().acquire(Step::DescriptorIn, self.space.owner(), &[range]);
        let mut bytes = Vec::with_capacity(index(len));
        for word in words {
            bytes.extend_from_slice(&word.load().to_le_bytes());
        }
        Ok(bytes)
    }

    /// The descriptor at `at`, its envelope checked.
    pub(super) fn envelope(&self, at: DescriptorAt) -> Result<Envelope> {
        Envelope::parse(self.copy_out(at.off, at.len)?.into())
    }

    /// The descriptor at `off`, of the length that it says itself.
    pub(super) fn envelope_at(&self, off: u64) -> Result<Envelope> {
        let len = Envelope::peek_len(&self.copy_out(off, HEADER_LEN as u64)?)?;
        self.envelope(DescriptorAt { off, len })
    }

    /// The link of the retired list in the descriptor at `off`.
    pub(super) fn next_retired(&self, off: u64) -> &Word {
        self.space.word(off + NEXT_RETIRED_AT as u64)
    }

    /// The processes that have the region open.
    pub(crate) fn members(&self) -> Vec<MemberInfo> {
        member::list(&self.space, &self.control)
    }

    /// What to do when the region is full: clear up after the dead, and reclaim. True if it may have helped.
    pub(crate) fn make_room(&self) -> bool {
        let reaped = self.reap().is_ok_and(|reaped| !reaped.is_empty());
        self.try_reclaim().unwrap_or(false) || reaped
    }

    /// Grows the region. Its size is one word, stored once the memory is there.
    pub(crate) fn grow(&self, size_bytes: u64) -> Result<()> {
        let heap = self.heap()?;
        let locked = self.lock(self.patience)?;
        self.opened.extend(size_bytes).map_err(|e| e.context(format_args!("region {:?}", self.label)))?;
        self.opened.set_size(size_bytes);
        drop(locked);
        heap.extend()
    }

    /// How full the region is.
    pub(crate) fn stats(&self) -> Result<RegionStats> {
        self.space.hear_size();
        let news = self.space.news();
        let members = self.members();
        let alive = || members.iter().filter(|m| m.alive);
        let me = members.iter().find(|m| (m.node, m.slot) == (self.member.node(), self.member.slot()));
        let heap = heap::stats(&self.space, news.region_owned_bytes, alive().map(|m| m.live_bytes).sum());
        Ok(RegionStats {
            size_bytes: self.space.size_bytes(),
            data_bytes: heap.data_bytes,
            live_bytes: heap.live_bytes,
            free_bytes: heap.free_bytes,
            largest_free_bytes: heap.largest_free_bytes,
            region_owned_bytes: heap.region_owned_bytes,
            process_live_bytes: me.map_or(0, |m| m.live_bytes),
            process_peak_bytes: me.map_or(0, |m| m.peak_bytes),
            tables: news.names,
            retired: news.retired,
            leases: lease::list(&self.space, &self.member).iter().filter(|lease| lease.alive).count() as u64,
            members: alive().count() as u64,
            coherence: self.space.coherence().stats(),
        })
    }

    /// Says that the catalog changed, which is home then, before any lease is looked at, and wakes who waits for a name.
    pub(super) fn announce(&self) {
        let changes = self.space.control(Control::Changes);
        changes.add(1);
        self.space
            .coherence()
            .release_before_loads(Step::NewsHome, &[self.space.control_line(Control::Changes)]);
        crate::sys::futex::wake_low(changes.as_ptr(), i32::MAX);
    }
}
