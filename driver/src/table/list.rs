//! What a region has: its tables, and who reads them.

use std::collections::HashMap;

use super::catalog::Published;
use super::descriptor::Descriptor;
use super::open::buffers;
use super::tables::{HIDDEN, Tables};
use crate::error::Result;
use crate::{lease, member};

/// A published table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableInfo {
    /// Its name.
    pub name: String,
    /// Rows of all batches.
    pub rows: u64,
    /// Number of record batches.
    pub batches: u64,
    /// Number of columns.
    pub columns: u64,
    /// Bytes its arrays refer to.
    pub data_bytes: u64,
    /// Bytes of its descriptor.
    pub descriptor_bytes: u64,
    /// The generation published.
    pub generation: u64,
}

/// A lease on a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableLease {
    /// The table's name.
    pub table: String,
    /// The generation was replaced or removed, and waits for this lease to end.
    pub retired: bool,
    /// Node of the reader.
    pub node: u64,
    /// Slot of the reader.
    pub slot: u16,
    /// Process id of the reader.
    pub pid: u64,
    /// Since when, in nanoseconds since the epoch.
    pub since_unix_ns: u64,
    /// Whether the reader lives.
    pub alive: bool,
}

impl Tables {
    /// The published tables, by name. A table that is removed meanwhile may be missing.
    pub(crate) fn list(&self) -> Result<Vec<TableInfo>> {
        let mut tables = Vec::new();
        for entry in self.catalog().published() {
            match self.info(&entry) {
                Ok(info) if !info.name.starts_with(HIDDEN) => tables.push(info),
                Ok(_) => {}
                // Gone between the look at the entry and the copy of its descriptor.
                Err(_) if self.catalog().commit(entry.slot) != entry.commit => {}
                Err(e) => return Err(e),
            }
        }
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(tables)
    }

    fn info(&self, entry: &Published) -> Result<TableInfo> {
        let descriptor = Descriptor::parse(self.copy_out(entry.at.off, entry.at.len)?, |_, _, _| Ok(()))?;
        Ok(TableInfo {
            name: descriptor.name().to_owned(),
            rows: descriptor.rows(),
            batches: descriptor.n_batches() as u64,
            columns: descriptor.schema().n_columns() as u64,
            data_bytes: buffers(&descriptor).map(|(_, _, len)| len).sum(),
            descriptor_bytes: entry.at.len,
            generation: entry.commit.0,
        })
    }

    /// Every lease of every process, and what it is on.
    pub(crate) fn table_leases(&self) -> Result<Vec<TableLease>> {
        let leases = lease::list(&self.space, &self.member);
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        let live: HashMap<u64, u64> =
            self.catalog().published().map(|entry| (entry.at.off, entry.slot)).collect();
        let pids: HashMap<(u64, u16), u64> =
            member::list(&self.space, &self.control).into_iter().map(|m| ((m.node, m.slot), m.pid)).collect();
        Ok(leases
            .into_iter()
            .map(|lease| TableLease {
                table: self
                    .envelope_at(lease.descriptor_off)
                    .map_or_else(|_| "?".to_owned(), |e| e.name().to_owned()),
                retired: !live.contains_key(&lease.descriptor_off),
                node: lease.node,
                slot: lease.slot,
                pid: pids.get(&(lease.node, lease.slot)).copied().unwrap_or_default(),
                since_unix_ns: lease.since_unix_ns,
                alive: lease.alive,
            })
            .collect())
    }
}
