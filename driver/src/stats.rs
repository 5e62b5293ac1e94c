//! Statistics: plain numbers, taken at one moment.

use crate::coherence::CoherenceStats;

/// How full a region is, and what this process did in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegionStats {
    /// Bytes in use, metadata included.
    pub size_bytes: u64,
    /// Bytes of the data zone.
    pub data_bytes: u64,
    /// Bytes of all extents, of processes and published.
    pub live_bytes: u64,
    /// Data bytes that are not live.
    pub free_bytes: u64,
    /// The largest extent that could be allocated at once.
    pub largest_free_bytes: u64,
    /// Live bytes that are published and that no process holds.
    pub region_owned_bytes: u64,
    /// Live bytes of this process.
    pub process_live_bytes: u64,
    /// The most live bytes of this process at once.
    pub process_peak_bytes: u64,
    /// Names published.
    pub tables: u64,
    /// Generations that wait for their readers.
    pub retired: u64,
    /// Leases held by all living processes.
    pub leases: u64,
    /// Processes that have the region open.
    pub members: u64,
    /// What this process did for coherence.
    pub coherence: CoherenceStats,
}
