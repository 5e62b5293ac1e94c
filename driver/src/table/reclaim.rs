//! Retiring, reclaiming, and recovering after a holder of the catalog's lock died.
//!
//! A generation that is replaced or removed goes on the retired list, whose links stand in the descriptors.
//! It is reclaimed when no living process has a lease on it: unlinked first, which is the commit point, then its
//! references are given back. Recovery drops from the list what the catalog still names, and counts every
//! reference anew from what is left: committed descriptors are the only truth.

use std::collections::HashSet;
use std::time::Duration;

use super::anchor::anchored;
use super::catalog::DescriptorAt;
use super::descriptor::NEXT_RETIRED_AT;
use super::tables::{Locked, Tables};
use crate::coherence::{Step, check};
use crate::error::{Error, ErrorKind, Result};
use crate::lease;
use crate::member::node;
use crate::region::layout::{CATALOG_ENTRY_BYTES, CATALOG_OFF, GRANULE_BYTES};
use crate::region::space::Control;

impl Tables {
    /// Puts a descriptor on the retired list. It is still in the catalog: the commit word follows.
    pub(super) fn retire(&self, at: DescriptorAt) {
        let head = self.space.control(Control::Retired);
        self.next_retired(at.off).store(head.load());
        head.store(at.off);
        self.space.control(Control::RetiredCount).add(1);
    }

    /// The retired list, newest first, for the owner. The caller has the lock, or knows that it may be stale.
    pub(super) fn retired(&self) -> Result<Vec<u64>> {
        let layout = self.space.layout();
        let most = self.space.data_bytes() / GRANULE_BYTES;
        let mut list = Vec::new();
        let mut off = self.space.noted(Control::Retired);
        while off != 0 {
            let inside = off >= layout.data_off && off - layout.data_off < self.space.data_bytes();
            if !inside || !off.is_multiple_of(GRANULE_BYTES) || list.len() as u64 > most {
                let text =
                    format!("region {:?}: the retired list leads to {off:#x}; run csm verify", self.label);
                return Err(Error::new(ErrorKind::Corrupt, text));
            }
            list.push(off);
            let _open = self.space.mapping().admit(&[self.space.range(off, GRANULE_BYTES)])?;
            off = self.space.remote(off + NEXT_RETIRED_AT as u64, 1)[0].load();
        }
        Ok(list)
    }

    /// Returns the memory of every retired generation that nobody reads any more.
    pub(super) fn reclaim(&self, _locked: &Locked<'_>) -> Result<()> {
        let heap = self.heap()?;
        let head = self.space.control(Control::Retired);
        if head.load() == 0 {
            return Ok(());
        }
        // The retired words are home, behind a fence; whoever takes a lease after this scan sees them at its second look.
        let retired = self.retired()?;
        let kept = lease::scan(&self.space, &self.member, &retired);
        let (mut before, mut reclaimed) = (head, false);
        for off in retired {
            let next = self.next_retired(off);
            if !check(Step::NobodyReads, kept.binary_search(&off).is_err()) {
                before = next;
                continue;
            }
            let envelope = self.envelope_at(off)?;
            if !self.drop_anchors(envelope.regions(), off) {
                before = next;
                continue;
            }
            before.store(next.load());
            self.space.control(Control::RetiredCount).add(1u64.wrapping_neg());
            heap.release(&envelope.extents().collect::<Vec<_>>())?;
            reclaimed = true;
        }
        if heap.wants_recount() {
            self.recover()?;
        }
        if reclaimed {
            self.space.coherence().release(Step::NewsHome, &[self.space.control_line(Control::Changes)]);
        }
        Ok(())
    }

    /// Reclaims if there is something and nobody has the lock: for those who would rather not wait.
    pub(crate) fn try_reclaim(&self) -> Result<bool> {
        if self.heap.is_none() || self.space.control(Control::Retired).load() == 0 {
            return Ok(false);
        }
        let before = self.space.control(Control::Retired).load();
        match self.lock(Duration::ZERO) {
            Ok(locked) => self.reclaim(&locked)?,
            Err(e) if e.kind() == ErrorKind::TimedOut => return Ok(false),
            Err(e) => return Err(e),
        }
        Ok(self.space.control(Control::Retired).load() != before)
    }

    /// Makes whole what a dead holder of the lock left half done. The caller has the lock.
    pub(super) fn recover(&self) -> Result<()> {
        let heap = self.heap()?;
        self.help_home();
        let entries: Vec<_> = self.catalog().published().collect();
        let live: HashSet<u64> = entries.iter().map(|entry| entry.at.off).collect();
        // Unlink what was about to be replaced or removed and was not.
        let mut before = self.space.control(Control::Retired);
        for off in self.retired()? {
            let next = self.next_retired(off);
            if live.contains(&off) {
                before.store(next.load());
            } else {
                before = next;
            }
        }
        let mut extents = Vec::new();
        for off in live.iter().copied().chain(self.retired()?) {
            extents.extend(self.envelope_at(off)?.extents());
        }
        heap.recount(extents.into_iter())?;
        let names = entries.iter().filter_map(|entry| self.envelope(entry.at).ok());
        let names = names.filter(|envelope| anchored(envelope.name()).is_none()).count() as u64;
        self.space.control(Control::Names).store(names);
        self.space.control(Control::RetiredCount).store(self.retired()?.len() as u64);
        Ok(())
    }

    /// Brings home what a dead holder of the lock had stored for other nodes and perhaps not brought home: its commit
    /// word, wherever that is. What the word names was home before it was stored.
    fn help_home(&self) {
        let catalog = self.space.range(CATALOG_OFF, self.catalog().slots() * CATALOG_ENTRY_BYTES);
        let lines = [Control::Size, Control::Changes].map(|word| self.space.control_line(word));
        let voids = node::void_marks(&self.space);
        self.space.coherence().release_before_loads(Step::HelpHome, &[lines[0], lines[1], voids, catalog]);
    }

    /// Declares the incarnation that `node` has now off. What its leases alone held can be used anew.
    pub(crate) fn fence_node(&self, node: u64) -> Result<()> {
        self.heap()?;
        let locked = self.lock(self.patience)?;
        node::set_void_mark(&self.space, node)?;
        self.reclaim(&locked)
    }

    /// Clears up after the dead of this node. Returns a line about each.
    pub(crate) fn reap(&self) -> Result<Vec<String>> {
        let mut reaped = Vec::new();
        for dead in self.member.dead() {
            let who = dead.describe();
            // Leases first: with them gone, what the dead was the last to read can be reclaimed below.
            self.leases.reap(dead.slot);
            let bytes = match &self.heap {
                Some(heap) => heap.reap(dead.slot)?,
                None if self.member.node() == 0 => continue,
                None => 0,
            };
            dead.finish()?;
            reaped.push(format!("{who} died: returned {bytes} bytes it had not published, and its leases"));
        }
        if !reaped.is_empty() && self.heap.is_some() {
            // If one of them held the lock, this takes it over and repairs; a living holder has done so.
            match self.lock(Duration::ZERO) {
                Ok(locked) => self.reclaim(&locked)?,
                Err(e) if e.kind() == ErrorKind::TimedOut => {}
                Err(e) => return Err(e),
            }
        }
        Ok(reaped)
    }
}
