//! `csm_region_t`: a region that this process has open.

use std::ffi::{c_char, c_void};

use csm::{ErrorKind, Region};

use crate::ctx::csm_ctx_t;
use crate::error::chars;
use crate::handle::{Handle, Handles, open};
use crate::log_callback::c_string;
use crate::options::c_structs;

/// A region that this process has open.
pub struct csm_region_t {
    _opaque: [u8; 0],
}

impl Handle for csm_region_t {
    type Object = Region;
    const KIND: u64 = 2;
    const NAME: &'static str = "csm_region_t";
    fn handles() -> &'static Handles<Region> {
        static HANDLES: Handles<Region> = Handles::new();
        &HANDLES
    }
}

/// What a region is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct csm_region_info_t {
    /// Set by the caller: `sizeof(csm_region_info_t)`.
    pub struct_size: u64,
    /// The region's first byte, in every process.
    pub base: *mut c_void,
    /// Its slot of address space.
    pub slot: u64,
    /// Bytes of the region now.
    pub size_bytes: u64,
    /// Bytes it may grow to.
    pub max_bytes: u64,
    /// Of its bytes, those for data.
    pub data_bytes: u64,
    /// Of its bytes, those the library keeps its books in.
    pub metadata_bytes: u64,
    /// The node this process is on.
    pub node: u64,
    /// The node that owns the region.
    pub owner_node: u64,
    /// Nodes it has room for.
    pub nodes: u64,
    /// Processes a node it has room for.
    pub members: u64,
    /// Names of tables it has room for.
    pub names: u64,
    /// The version of its layout.
    pub layout_version: u64,
    /// 1 if this process may allocate and publish, 0 if it may only read.
    pub writable: u64,
    /// When it was created, in nanoseconds since the epoch.
    pub created_unix_ns: u64,
    /// Its identity, as text.
    pub uuid: [c_char; 40],
    /// Its URI without options.
    pub label: [c_char; 640],
    /// Bytes the link moves at once.
    pub line_bytes: u64,
    /// 1 if this process must write back what it stored before other nodes see it. Publishing does.
    pub writes_back: u64,
    /// 1 if this process must invalidate before it sees what other nodes stored. Opening does.
    pub invalidates: u64,
}

/// How full a region is, and what this process did in it. Bytes are those of extents, which are a little
/// larger than what was asked for.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct csm_region_stats_t {
    /// Set by the caller: `sizeof(csm_region_stats_t)`.
    pub struct_size: u64,
    /// Bytes of the region now.
    pub size_bytes: u64,
    /// Of its bytes, those for data.
    pub data_bytes: u64,
    /// Of the data bytes, those in use by any process or table.
    pub live_bytes: u64,
    /// Of the data bytes, those that are free.
    pub free_bytes: u64,
    /// The largest allocation that would succeed.
    pub largest_free_bytes: u64,
    /// Bytes of published extents that no process holds any more.
    pub region_owned_bytes: u64,
    /// Bytes this process holds.
    pub process_live_bytes: u64,
    /// The most bytes this process held at once.
    pub process_peak_bytes: u64,
    /// Tables published.
    pub tables: u64,
    /// Generations of tables that were removed or replaced and are still read.
    pub retired: u64,
    /// Leases held.
    pub leases: u64,
    /// Processes that have the region open.
    pub members: u64,
    /// Lines this process wrote back to the cluster's memory.
    pub lines_written_back: u64,
    /// Lines this process invalidated.
    pub lines_invalidated: u64,
    /// Fences this process made for the region's sake.
    pub fences: u64,
    /// Times that a table changed while this process opened it, so that it began anew.
    pub retries: u64,
    /// Bytes this process copied into the region because they lay outside.
    pub bytes_copied: u64,
}

c_structs!(csm_region_info_t, csm_region_stats_t);

/// Takes a line that `csm_region_verify` found: `line` is valid during the call.
pub type csm_report_t = Option<unsafe extern "C" fn(user: *mut c_void, line: *const c_char)>;

export! {
    /// Creates the region that `uri` describes, such as "shm:NAME?size=1G", and opens it.
    ///
    /// Close it with `csm_region_close`; it stays until `csm_region_destroy`. Thread-safe.
    /// Errors: `CSM_E_BAD_URI`, `CSM_E_BAD_SIZE`, `CSM_E_BAD_ALIGNMENT`, `CSM_E_REGION_EXISTS`,
    /// `CSM_E_NO_MEMORY`, `CSM_E_ADDRESS_TAKEN`, `CSM_E_PERMISSION_DENIED`, `CSM_E_SYSTEM`.
    pub fn csm_region_create(ctx: *const csm_ctx_t, uri: *const c_char, region: *mut *mut csm_region_t) -> Result {
        let place = region.place()?;
        let uri = uri.text(ErrorKind::BadUri)?;
        place.set(open(ctx.with(|ctx| ctx.context())?.create(uri)?)?);
        Ok(())
    }

    /// Opens the region that `uri` names, such as "shm:NAME". Opened twice it is mapped once; each handle
    /// is closed by itself.
    ///
    /// Close it with `csm_region_close`. Thread-safe.
    /// Errors: `CSM_E_BAD_URI`, `CSM_E_REGION_NOT_FOUND`, `CSM_E_PERMISSION_DENIED`, `CSM_E_NOT_A_REGION`,
    /// `CSM_E_LAYOUT_MISMATCH`, `CSM_E_OPTION_MISMATCH`, `CSM_E_TRUNCATED`, `CSM_E_CORRUPT`,
    /// `CSM_E_NOT_YOURS`, `CSM_E_ADDRESS_TAKEN`, `CSM_E_MEMBERS_FULL`, `CSM_E_SYSTEM`.
    pub fn csm_region_open(ctx: *const csm_ctx_t, uri: *const c_char, region: *mut *mut csm_region_t) -> Result {
        let place = region.place()?;
        let uri = uri.text(ErrorKind::BadUri)?;
        place.set(open(ctx.with(|ctx| ctx.context())?.open(uri)?)?);
        Ok(())
    }

    /// Removes the region that `uri` names, with everything in it. No process may have it open.
    ///
    /// Thread-safe. Errors: `CSM_E_BAD_URI`, `CSM_E_REGION_NOT_FOUND`, `CSM_E_IN_USE`, `CSM_E_NOT_YOURS`,
    /// `CSM_E_NOT_A_REGION`, `CSM_E_PERMISSION_DENIED`, `CSM_E_SYSTEM`.
    pub fn csm_region_destroy(ctx: *const csm_ctx_t, uri: *const c_char) -> Result {
        let uri = uri.text(ErrorKind::BadUri)?;
        ctx.with(|ctx| ctx.context())?.destroy(uri)
    }

    /// Ends the handle. The process leaves the region when it has closed every handle of it and of its tables
    /// and released every array that was read from it; until then those stay valid. On leaving, what the
    /// process allocated and did not publish is freed.
    ///
    /// Thread-safe: calls that are under way end first, later ones answer `CSM_E_CLOSED`.
    /// Errors: `CSM_E_CLOSED`.
    pub fn csm_region_close(region: *mut csm_region_t) -> Result {
        drop(region.close()?);
        Ok(())
    }

    /// Makes the region larger: `size_bytes` is its new size, a multiple of 2 MiB and at most the `max` it
    /// was created with.
    ///
    /// Thread-safe. Errors: `CSM_E_BAD_SIZE`, `CSM_E_NO_MEMORY`, `CSM_E_NOT_OWNER`, `CSM_E_READ_ONLY`,
    /// `CSM_E_CLOSED`.
    pub fn csm_region_grow(region: *const csm_region_t, size_bytes: u64) -> Result {
        region.object()?.grow(size_bytes.value)
    }

    /// What the region is. `info->struct_size` must be set.
    ///
    /// Thread-safe. Errors: `CSM_E_CLOSED`.
    pub fn csm_region_info(region: *const csm_region_t, info: *mut csm_region_info_t) -> Result {
        let room = info.room()?;
        let info = region.object()?.info()?;
        let owns = info.node == info.owner_node;
        room.fill(&csm_region_info_t {
            struct_size: 0,
            base: std::ptr::with_exposed_provenance_mut(usize::try_from(info.base).unwrap_or(0)),
            slot: info.slot,
            size_bytes: info.size_bytes,
            max_bytes: info.max_bytes,
            data_bytes: info.data_bytes,
            metadata_bytes: info.metadata_bytes,
            node: info.node,
            owner_node: info.owner_node,
            nodes: info.nodes,
            members: info.members,
            names: info.names,
            layout_version: info.layout_version.into(),
            writable: info.writable.into(),
            created_unix_ns: info.created_unix_ns,
            uuid: chars(&info.uuid),
            label: chars(&info.label),
            line_bytes: info.coherence.line_bytes,
            writes_back: info.coherence.writer_writes_back.of(owns).into(),
            invalidates: info.coherence.reader_invalidates.of(owns).into(),
        });
        Ok(())
    }

    /// How full the region is. `stats->struct_size` must be set.
    ///
    /// Thread-safe. Errors: `CSM_E_CLOSED`, `CSM_E_CORRUPT`, `CSM_E_REGION_LOST`.
    pub fn csm_region_stats(region: *const csm_region_t, stats: *mut csm_region_stats_t) -> Result {
        let room = stats.room()?;
        let stats = region.object()?.stats()?;
        room.fill(&csm_region_stats_t {
            struct_size: 0,
            size_bytes: stats.size_bytes,
            data_bytes: stats.data_bytes,
            live_bytes: stats.live_bytes,
            free_bytes: stats.free_bytes,
            largest_free_bytes: stats.largest_free_bytes,
            region_owned_bytes: stats.region_owned_bytes,
            process_live_bytes: stats.process_live_bytes,
            process_peak_bytes: stats.process_peak_bytes,
            tables: stats.tables,
            retired: stats.retired,
            leases: stats.leases,
            members: stats.members,
            lines_written_back: stats.coherence.lines_written_back,
            lines_invalidated: stats.coherence.lines_invalidated,
            fences: stats.coherence.fences,
            retries: stats.coherence.retries,
            bytes_copied: stats.coherence.bytes_copied,
        });
        Ok(())
    }

    /// Declares that `node` is off, which is the caller's word for it: its leases count no more, and what they
    /// alone protected is used anew. A node that is not off reads other bytes from then on; `csm_table_check`
    /// tells it.
    ///
    /// Thread-safe. Errors: `CSM_E_INVALID_ARGUMENT` (the owner's node, or one that never had the region open),
    /// `CSM_E_NOT_OWNER`, `CSM_E_READ_ONLY`, `CSM_E_CLOSED`, `CSM_E_TIMED_OUT`.
    pub fn csm_region_fence_node(region: *const csm_region_t, node: u64) -> Result {
        region.object()?.fence_node(node.value)
    }

    /// Brings `size_bytes` bytes at `address` home, where other nodes see them once they acquire them. Publishing
    /// does this for tables; this is for programs that share raw extents.
    ///
    /// Thread-safe. Errors: `CSM_E_FOREIGN_POINTER` (not in the region's data), `CSM_E_NOT_OWNER`,
    /// `CSM_E_READ_ONLY`, `CSM_E_CLOSED`, `CSM_E_REGION_LOST`.
    pub fn csm_region_release(region: *const csm_region_t, address: *const c_void, size_bytes: u64) -> Result {
        region.object()?.release(address.value.cast(), size_bytes.value)
    }

    /// Makes the next loads of `size_bytes` bytes at `address` see what is home. Opening a table does this for its
    /// bytes.
    ///
    /// Thread-safe. Errors: `CSM_E_FOREIGN_POINTER` (not in the region's data), `CSM_E_CLOSED`,
    /// `CSM_E_REGION_LOST`.
    pub fn csm_region_acquire(region: *const csm_region_t, address: *const c_void, size_bytes: u64) -> Result {
        region.object()?.acquire(address.value.cast(), size_bytes.value)
    }

    /// Checks every structure of the region, and clears up after processes that died. `problems` receives
    /// how many faults there are, which are not errors of the call. `report`, if not NULL, gets a line for
    /// each fault ("problem: ...") and for each thing cleared up ("reaped: ..."), during this call.
    ///
    /// Thread-safe. Errors: `CSM_E_CLOSED`, `CSM_E_REGION_LOST`, `CSM_E_TIMED_OUT`.
    pub fn csm_region_verify(
        region: *const csm_region_t,
        report: csm_report_t,
        user: *mut c_void,
        problems: *mut u64,
    ) -> Result {
        let place = problems.place()?;
        let found = region.object()?.verify()?;
        if let Some(report) = report.value {
            let lines = found.problems.iter().map(|line| format!("problem: {line}"));
            for line in lines.chain(found.reaped.iter().map(|line| format!("reaped: {line}"))) {
                // SAFETY: the caller's function with the caller's data.
                unsafe { report(user.value, c_string(line).as_ptr()) };
            }
        }
        place.set(found.problems.len() as u64);
        Ok(())
    }
}
