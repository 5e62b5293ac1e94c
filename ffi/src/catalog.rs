//! `csm_catalog_t`: the tables of a region.

use csm::TableInfo;

use crate::handle::{Handle, Handles};
use crate::region::csm_region_t;
use crate::snapshot;
use crate::table::csm_table_info_t;

/// The tables that a region had when the catalog was read.
pub struct csm_catalog_t {
    _opaque: [u8; 0],
}

impl Handle for csm_catalog_t {
    type Object = Vec<TableInfo>;
    const KIND: u64 = 4;
    const NAME: &'static str = "csm_catalog_t";
    fn handles() -> &'static Handles<Self::Object> {
        static HANDLES: Handles<Vec<TableInfo>> = Handles::new();
        &HANDLES
    }
}

export! {
    /// Reads which tables are published, in the order of their names. Later changes do not show.
    ///
    /// Free it with `csm_catalog_free`. Thread-safe. Errors: `CSM_E_CLOSED`, `CSM_E_CORRUPT`.
    pub fn csm_catalog_read(region: *const csm_region_t, catalog: *mut *mut csm_catalog_t) -> Result {
        catalog.place()?;
        snapshot::open(region.object()?.tables()?, &catalog)
    }

    /// How many tables there are. 0 if the catalog was freed, which `csm_catalog_entry` tells.
    ///
    /// Thread-safe.
    pub fn csm_catalog_len(catalog: *const csm_catalog_t) -> u64 {
        snapshot::len(&catalog)
    }

    /// Writes table `index`, from 0 on, to `info`, whose `struct_size` must be set.
    ///
    /// Thread-safe. Errors: `CSM_E_INVALID_ARGUMENT` (no such entry), `CSM_E_CLOSED`.
    pub fn csm_catalog_entry(catalog: *const csm_catalog_t, index: u64, info: *mut csm_table_info_t) -> Result {
        snapshot::entry(&catalog, &index, &info)
    }

    /// Ends the handle.
    ///
    /// Returns `CSM_OK`, `CSM_E_INVALID_ARGUMENT` (it is NULL), `CSM_E_CLOSED` or `CSM_E_FORKED`. Thread-safe.
    pub fn csm_catalog_free(catalog: *mut csm_catalog_t) -> crate::error::csm_status_t {
        crate::error::status(catalog.close().map(drop))
    }
}
