//! `csm_table_t`: a published table that this process has open, and the names of tables.

use std::ffi::c_char;
use std::time::Duration;

use csm::table::cdata::{ArrowArray, ArrowArrayStream, ArrowSchema};
use csm::{ErrorKind, OpenOptions, Table};

use crate::error::chars;
use crate::handle::{Handle, Handles, open};
use crate::options::c_structs;
use crate::region::csm_region_t;

/// A published table that this process has open: a lease on one generation of it.
pub struct csm_table_t {
    _opaque: [u8; 0],
}

impl Handle for csm_table_t {
    type Object = Table;
    const KIND: u64 = 3;
    const NAME: &'static str = "csm_table_t";
    fn handles() -> &'static Handles<Table> {
        static HANDLES: Handles<Table> = Handles::new();
        &HANDLES
    }
}

/// How a table is opened. Zeroes are the defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct csm_open_options_t {
    /// Set by the caller: `sizeof(csm_open_options_t)`.
    pub struct_size: u64,
    /// 1: every value is checked as `csm_table_validate` does.
    pub validate: u32,
    /// Zero.
    pub reserved: u32,
}

/// A table as the catalog has it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct csm_table_info_t {
    /// Set by the caller: `sizeof(csm_table_info_t)`.
    pub struct_size: u64,
    /// Rows of the table.
    pub rows: u64,
    /// Batches it has.
    pub batches: u64,
    /// Columns it has.
    pub columns: u64,
    /// Bytes its arrays refer to, each buffer counted as often as it is used.
    pub data_bytes: u64,
    /// Which publication of the name this is.
    pub generation: u64,
    /// Its name.
    pub name: [c_char; 256],
}

c_structs!(csm_open_options_t, csm_table_info_t);

impl From<&csm::TableInfo> for csm_table_info_t {
    fn from(info: &csm::TableInfo) -> Self {
        Self {
            struct_size: 0,
            rows: info.rows,
            batches: info.batches,
            columns: info.columns,
            data_bytes: info.data_bytes,
            generation: info.generation,
            name: chars(&info.name),
        }
    }
}

export! {
    /// Opens the table `name` as it is now. While it is open, or an array that was read from it lives, its
    /// memory is not reused, whoever removes or replaces it. `options` may be NULL.
    ///
    /// What lies in the buffers is the publisher's word: string offsets, say, are only checked if `validate`
    /// is asked for. Do not write to them.
    /// Close it with `csm_table_close`. Thread-safe.
    /// Errors: `CSM_E_NAME_NOT_FOUND`, `CSM_E_BAD_NAME`, `CSM_E_LEASES_FULL`, `CSM_E_CORRUPT`,
    /// `CSM_E_BAD_ARROW` (validation failed), `CSM_E_REGION_NOT_FOUND` (a part lies in a region that is not
    /// open), `CSM_E_CLOSED`.
    pub fn csm_table_open(
        region: *const csm_region_t,
        name: *const c_char,
        options: *const csm_open_options_t,
        table: *mut *mut csm_table_t,
    ) -> Result {
        let place = table.place()?;
        let name = name.text(ErrorKind::BadName)?;
        let mut how = OpenOptions::default();
        if let Some(given) = options.options()? {
            how.validate = options.flag("validate", given.validate)?;
            if given.reserved != 0 {
                return Err(options.invalid(format_args!("reserved is {}; set it to 0", given.reserved)));
            }
        }
        place.set(open(region.object()?.open_table(name, &how)?)?);
        Ok(())
    }

    /// Ends the handle. Arrays and streams that were read from the table stay valid.
    ///
    /// Thread-safe. Errors: `CSM_E_CLOSED`.
    pub fn csm_table_close(table: *mut csm_table_t) -> Result {
        drop(table.close()?);
        Ok(())
    }

    /// Opens the same table, under the same lease, with `count` of its columns alone: those whose numbers stand in
    /// `columns`, in that order. Where this node must invalidate what it reads, other columns cost nothing.
    ///
    /// Close it with `csm_table_close`, independently of `table`. Thread-safe.
    /// Errors: `CSM_E_INVALID_ARGUMENT` (no such column), `CSM_E_CLOSED`.
    pub fn csm_table_select(
        table: *const csm_table_t,
        columns: *const u64,
        count: u64,
        selected: *mut *mut csm_table_t,
    ) -> Result {
        let place = selected.place()?;
        let columns = columns.list(count.value)?;
        let columns = columns.iter().map(|column| usize::try_from(*column).unwrap_or(usize::MAX));
        place.set(open(table.object()?.select(&columns.collect::<Vec<_>>())?)?);
        Ok(())
    }

    /// What the table is. `info->struct_size` must be set.
    ///
    /// Thread-safe. Errors: `CSM_E_CLOSED`.
    pub fn csm_table_info(table: *const csm_table_t, info: *mut csm_table_info_t) -> Result {
        let room = info.room()?;
        let table = table.object()?;
        room.fill(&csm_table_info_t {
            struct_size: 0,
            rows: table.rows(),
            batches: table.batches() as u64,
            columns: table.columns() as u64,
            data_bytes: table.data_bytes(),
            generation: table.generation(),
            name: chars(table.name()),
        });
        Ok(())
    }

    /// Writes the table's schema, a struct with a field for each column, to `schema`. Release it when done;
    /// it may outlive everything else.
    ///
    /// Thread-safe. Errors: `CSM_E_CLOSED`.
    pub fn csm_table_schema(table: *const csm_table_t, schema: *mut ArrowSchema) -> Result {
        let place = schema.place()?;
        place.set(table.object()?.schema());
        Ok(())
    }

    /// Writes batch `index` to `array`: a struct array whose buffers are the region's own memory. Release it
    /// when done, on any thread; until then it keeps the table, whatever is closed or removed.
    ///
    /// Thread-safe. Errors: `CSM_E_INVALID_ARGUMENT` (no such batch), `CSM_E_CLOSED`.
    pub fn csm_table_batch(table: *const csm_table_t, index: u64, array: *mut ArrowArray) -> Result {
        let place = array.place()?;
        // No table has more batches than an address space has bytes.
        let index = usize::try_from(index.value).unwrap_or(usize::MAX);
        place.set(table.object()?.batch(index)?);
        Ok(())
    }

    /// Writes a stream of all batches to `stream`. May be called any number of times. Release the stream when
    /// done; it keeps the table, and so does each array that was read from it.
    ///
    /// Thread-safe. Errors: `CSM_E_CLOSED`.
    pub fn csm_table_stream(table: *const csm_table_t, stream: *mut ArrowArrayStream) -> Result {
        let place = stream.place()?;
        place.set(table.object()?.stream());
        Ok(())
    }

    /// Whether the lease held all the time: what was read before this call returned `CSM_OK` was the table.
    /// Only on a link between servers can a lease be lost.
    ///
    /// Thread-safe. Errors: `CSM_E_STALE`, `CSM_E_CLOSED`.
    pub fn csm_table_check(table: *const csm_table_t) -> Result {
        table.object()?.check()
    }

    /// Whether the name still stands for this generation: false once it was replaced or removed.
    ///
    /// Thread-safe. Errors: `CSM_E_CLOSED`, `CSM_E_CORRUPT`.
    pub fn csm_table_is_current(table: *const csm_table_t, current: *mut bool) -> Result {
        let place = current.place()?;
        place.set(table.object()?.is_current()?);
        Ok(())
    }

    /// Checks every value as far as the Arrow format says something of it: offsets, lengths, union types,
    /// dictionary indices, UTF-8. Reads all of the table.
    ///
    /// Thread-safe. Errors: `CSM_E_BAD_ARROW`, `CSM_E_CLOSED`.
    pub fn csm_table_validate(table: *const csm_table_t) -> Result {
        table.object()?.validate()
    }

    /// Waits until a table `name` is there, for at most `timeout_ns` nanoseconds; 0 only looks.
    ///
    /// Thread-safe. Errors: `CSM_E_TIMED_OUT`, `CSM_E_BAD_NAME`, `CSM_E_CLOSED`.
    pub fn csm_table_wait(region: *const csm_region_t, name: *const c_char, timeout_ns: u64) -> Result {
        let name = name.text(ErrorKind::BadName)?;
        region.object()?.wait(name, Duration::from_nanos(timeout_ns.value))
    }

    /// Takes the table `name` from the catalog. Its memory returns when nobody reads it any more.
    ///
    /// Thread-safe. Errors: `CSM_E_NAME_NOT_FOUND`, `CSM_E_BAD_NAME`, `CSM_E_READ_ONLY`, `CSM_E_NOT_OWNER`,
    /// `CSM_E_CLOSED`.
    pub fn csm_table_remove(region: *const csm_region_t, name: *const c_char) -> Result {
        let name = name.text(ErrorKind::BadName)?;
        region.object()?.remove(name)
    }
}
