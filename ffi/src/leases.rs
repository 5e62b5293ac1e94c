//! `csm_leases_t`: the leases on a region's tables.

use std::ffi::c_char;

use csm::TableLease;

use crate::error::chars;
use crate::handle::{Handle, Handles};
use crate::options::c_structs;
use crate::region::csm_region_t;
use crate::snapshot;

/// The leases that were held on a region's tables when they were read.
pub struct csm_leases_t {
    _opaque: [u8; 0],
}

impl Handle for csm_leases_t {
    type Object = Vec<TableLease>;
    const KIND: u64 = 6;
    const NAME: &'static str = "csm_leases_t";
    fn handles() -> &'static Handles<Self::Object> {
        static HANDLES: Handles<Vec<TableLease>> = Handles::new();
        &HANDLES
    }
}

/// One process's right to read one generation of a table.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct csm_lease_info_t {
    /// Set by the caller: `sizeof(csm_lease_info_t)`.
    pub struct_size: u64,
    /// The process's node.
    pub node: u64,
    /// The process's slot on that node.
    pub slot: u64,
    /// Its process id, in its own PID namespace.
    pub pid: u64,
    /// When it opened the table, in nanoseconds since the epoch.
    pub since_unix_ns: u64,
    /// 1 if the table was removed or replaced meanwhile.
    pub retired: u64,
    /// 1 if the process lives; what a dead one held is about to be cleared up.
    pub alive: u64,
    /// The table's name.
    pub table: [c_char; 256],
}

c_structs!(csm_lease_info_t);

impl From<&TableLease> for csm_lease_info_t {
    fn from(lease: &TableLease) -> Self {
        Self {
            struct_size: 0,
            node: lease.node,
            slot: lease.slot.into(),
            pid: lease.pid,
            since_unix_ns: lease.since_unix_ns,
            retired: lease.retired.into(),
            alive: lease.alive.into(),
            table: chars(&lease.table),
        }
    }
}

export! {
    /// Reads who holds which table.
    ///
    /// Free it with `csm_leases_free`. Thread-safe. Errors: `CSM_E_CLOSED`, `CSM_E_CORRUPT`.
    pub fn csm_leases_read(region: *const csm_region_t, leases: *mut *mut csm_leases_t) -> Result {
        leases.place()?;
        snapshot::open(region.object()?.leases()?, &leases)
    }

    /// How many leases there are. 0 if the list was freed, which `csm_leases_entry` tells.
    ///
    /// Thread-safe.
    pub fn csm_leases_len(leases: *const csm_leases_t) -> u64 {
        snapshot::len(&leases)
    }

    /// Writes lease `index`, from 0 on, to `info`, whose `struct_size` must be set.
    ///
    /// Thread-safe. Errors: `CSM_E_INVALID_ARGUMENT` (no such entry), `CSM_E_CLOSED`.
    pub fn csm_leases_entry(leases: *const csm_leases_t, index: u64, info: *mut csm_lease_info_t) -> Result {
        snapshot::entry(&leases, &index, &info)
    }

    /// Ends the handle.
    ///
    /// Returns `CSM_OK`, `CSM_E_INVALID_ARGUMENT` (it is NULL), `CSM_E_CLOSED` or `CSM_E_FORKED`. Thread-safe.
    pub fn csm_leases_free(leases: *mut csm_leases_t) -> crate::error::csm_status_t {
        crate::error::status(leases.close().map(drop))
    }
}
