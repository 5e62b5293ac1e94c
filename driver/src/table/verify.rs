//! Checking every structure of a region.
//!
//! What the dead left behind is returned first and told, which is no error. Then every descriptor is parsed in
//! full, its references are counted, and heap, catalog and retired list are held against that.

use std::collections::{HashMap, HashSet};

use super::descriptor::Descriptor;
use super::open::buffers;
use super::tables::{HIDDEN, Tables};
use crate::error::Result;
use crate::heap::COUNT;
use crate::member;
use crate::region::layout::GRANULE_BYTES;
use crate::units::index;

/// What verifying found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Structures that do not check; empty for a sound region.
    pub problems: Vec<String>,
    /// What the dead had left and was returned now.
    pub reaped: Vec<String>,
    /// Tables checked.
    pub tables: u64,
    /// Retired generations checked.
    pub retired: u64,
    /// Extents checked that tables list.
    pub extents: u64,
}

impl Tables {
    /// Checks everything. The catalog is locked meanwhile.
    pub(crate) fn verify(&self) -> Result<VerifyReport> {
        let mut report = VerifyReport { reaped: self.reap()?, ..VerifyReport::default() };
        let locked = match self.heap {
            Some(_) => Some(self.lock(self.patience)?),
            None => None,
        };
        if let Some(locked) = &locked {
            if self.drop_lonely_anchors(locked)? > 0 {
                report
                    .reaped
                    .push("extents held for tables of other regions that were never published".to_owned());
            }
            // What a dead reader or a region that was not open kept from being returned.
            if let Err(e) = self.reclaim(locked) {
                report.problems.push(e.to_string());
            }
        }
        let mut counts: HashMap<u64, u64> = HashMap::new();
        let mut live = HashSet::new();
        let mut names = HashSet::new();
        for slot in 0..self.catalog().slots() {
            if let Err(e) = self.catalog().commit(slot).state() {
                report.problems.push(format!("catalog entry {slot}: {e}"));
            }
        }
        for entry in self.catalog().published() {
            live.insert(entry.at.off);
            let checked = self.check_descriptor(entry.at.off, entry.at.len, &mut counts);
            let name = match checked {
                Ok(name) => name,
                Err(e) => {
                    report.problems.push(format!("catalog entry {}: {e}", entry.slot));
                    continue;
                }
            };
            match self.find(&name) {
                Ok((Some(found), _)) if found.slot == entry.slot => {}
                _ => report
                    .problems
                    .push(format!("table \"{}\": the catalog does not lead to it", name.escape_debug())),
            }
            report.tables += u64::from(!name.starts_with(HIDDEN));
            if !names.insert(name.clone()) {
                report.problems.push(format!("table \"{}\" is in the catalog twice", name.escape_debug()));
            }
        }
        let counted = self.space.news().names;
        if report.problems.is_empty() && counted != report.tables {
            report.problems.push(format!("the catalog counts {counted} names and has {}", report.tables));
        }
        match if self.space.sees_owner() { self.retired() } else { Ok(Vec::new()) } {
            Ok(retired) => {
                for off in retired {
                    report.retired += 1;
                    if live.contains(&off) {
                        report
                            .problems
                            .push(format!("the descriptor at {off:#x} is retired and in the catalog"));
                    }
                    let len = self.envelope_at(off).map(|envelope| envelope.len_bytes());
                    if let Err(e) = len.and_then(|len| self.check_descriptor(off, len, &mut counts)) {
                        report.problems.push(format!("retired descriptor at {off:#x}: {e}"));
                    }
                }
            }
            Err(e) => report.problems.push(e.to_string()),
        }
        report.extents = counts.len() as u64;
        if self.space.sees_owner() {
            self.check_references(&counts, &mut report.problems);
        }
        if let Some(heap) = &self.heap {
            let is_member = |slot| member::is_taken(&self.space, slot);
            heap.verify(&is_member, &mut |problem| report.problems.push(problem))?;
        }
        drop(locked);
        Ok(report)
    }

    /// Holds every reference byte against what the descriptors list.
    fn check_references(&self, counts: &HashMap<u64, u64>, problems: &mut Vec<String>) {
        let layout = self.space.layout();
        let bytes = self.space.bytes(layout.refs_off, self.space.data_bytes() / GRANULE_BYTES);
        for (granule, byte) in bytes.iter().enumerate() {
            let stored = byte.load() & COUNT;
            if stored == 0 {
                continue;
            }
            let off = layout.data_off + granule as u64 * GRANULE_BYTES;
            let listed = counts.get(&off).copied().unwrap_or(0);
            if stored != COUNT && u64::from(stored) != listed {
                problems.push(format!(
                    "the extent at {off:#x} has {stored} references and {listed} tables list it"
                ));
            }
        }
        for off in counts.keys() {
            let granule = index((off - layout.data_off) / GRANULE_BYTES);
            if bytes.get(granule).is_none_or(|byte| byte.load() & COUNT == 0) {
                problems.push(format!("the extent at {off:#x} is listed by a table and has no reference"));
            }
        }
    }

    /// Parses a descriptor in full and counts its references. Returns its name.
    fn check_descriptor(&self, off: u64, len: u64, counts: &mut HashMap<u64, u64>) -> Result<String> {
        let descriptor = Descriptor::parse(self.copy_out(off, len)?, |region, off, len| match region {
            0 => self.check_data(off, len),
            _ => Ok(()),
        })?;
        if self.space.node() == self.space.owner() {
            // Where the device can tell: what was stored after publishing is not home.
            let own = buffers(&descriptor).filter(|(region, ..)| *region == 0);
            let bytes = own.map(|(_, off, len)| self.space.range(off, len));
            let name = descriptor.name().escape_debug();
            self.space.coherence().audit(format_args!("table \"{name}\""), bytes)?;
        }
        for extent in descriptor.extents() {
            self.check_data(extent, GRANULE_BYTES)?;
            *counts.entry(extent).or_insert(0) += 1;
        }
        Ok(descriptor.name().to_owned())
    }
}
