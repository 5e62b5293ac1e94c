//! Tables in: `csm_table_publish`, from the structs of the Arrow C Data and C Stream Interfaces.

use std::ffi::c_char;

use csm::table::cdata::{ArrowArray, ArrowArrayStream, ArrowSchema};
use csm::{ErrorKind, PublishOptions, Published, Result};

use crate::boundary::Arg;
use crate::options::{Room, c_structs};
use crate::region::csm_region_t;

/// How a table is published. Zeroes are the defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct csm_publish_options_t {
    /// Set by the caller: `sizeof(csm_publish_options_t)`.
    pub struct_size: u64,
    /// 1: a table of that name is replaced; who reads the old one keeps it. 0: it is `CSM_E_NAME_TAKEN`.
    pub replace: u32,
    /// 1: this process can store no more to the pages that lie wholly inside the table's buffers: a store
    /// there is a SIGSEGV.
    pub seal: u32,
}

/// What was published.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct csm_published_t {
    /// Set by the caller: `sizeof(csm_published_t)`.
    pub struct_size: u64,
    /// Rows of the table.
    pub rows: u64,
    /// Batches it has.
    pub batches: u64,
    /// Bytes of buffers that lay in a region and stayed where they were.
    pub bytes_in_place: u64,
    /// Bytes of buffers that had to be copied into the region.
    pub bytes_copied: u64,
    /// Bytes of the table's descriptor.
    pub descriptor_bytes: u64,
    /// Bytes that were sealed.
    pub bytes_sealed: u64,
    /// The table's generation.
    pub generation: u64,
}

c_structs!(csm_publish_options_t, csm_published_t);

fn options_of(arg: &Arg<*const csm_publish_options_t>) -> Result<PublishOptions> {
    let mut options = PublishOptions::default();
    if let Some(given) = arg.options()? {
        options.replace = arg.flag("replace", given.replace)?;
        options.seal = arg.flag("seal", given.seal)?;
    }
    Ok(options)
}

/// Room for what was published, if it is wanted.
fn room_of(arg: &Arg<*mut csm_published_t>) -> Result<Option<Room<csm_published_t>>> {
    if arg.value.is_null() { Ok(None) } else { arg.room().map(Some) }
}

fn fill(room: Option<Room<csm_published_t>>, published: &Published) {
    let Some(room) = room else { return };
    room.fill(&csm_published_t {
        struct_size: 0,
        rows: published.rows,
        batches: published.batches,
        bytes_in_place: published.bytes_in_place,
        bytes_copied: published.bytes_copied,
        descriptor_bytes: published.descriptor_bytes,
        bytes_sealed: published.bytes_sealed,
        generation: published.generation,
    });
}

export! {
    /// Publishes one batch of rows as the table `name`: `schema` is that of a struct ("+s") whose fields are
    /// the columns, `array` the columns' data. Buffers that lie in a region stay where they are; others are
    /// copied in. When the call returns, every process sees the whole table; when it fails, none of it.
    /// `options` and `published` may be NULL; `published->struct_size` must be set.
    ///
    /// Both `schema` and `array` are consumed: they are released whether the call succeeds or fails, whatever
    /// the other arguments are. Releasing them may free their memory: a published allocation stays.
    /// Thread-safe.
    /// Errors: `CSM_E_NAME_TAKEN`, `CSM_E_BAD_NAME` (1 to 255 bytes of UTF-8), `CSM_E_BAD_ARROW`,
    /// `CSM_E_REGION_FULL`, `CSM_E_CATALOG_FULL`, `CSM_E_READ_ONLY`, `CSM_E_NOT_OWNER`, `CSM_E_CLOSED`.
    pub fn csm_table_publish(
        region: *const csm_region_t,
        name: *const c_char,
        schema: *mut ArrowSchema,
        array: *mut ArrowArray,
        options: *const csm_publish_options_t,
        published: *mut csm_published_t,
    ) -> Result {
        let (schema, array) = (schema.take(), array.take());
        let (schema, array) = (schema?, [array?]);
        let room = room_of(&published)?;
        let (name, options) = (name.text(ErrorKind::BadName)?, options_of(&options)?);
        // SAFETY: the caller's structs obey the C Data Interface.
        let done = unsafe { region.object()?.publish_batches(name, &schema, &array, &options) }?;
        fill(room, &done);
        Ok(())
    }

    /// As `csm_table_publish`, for the batches of a stream, of which there may be none. `stream` is consumed.
    ///
    /// Thread-safe. Errors: as `csm_table_publish`; what the stream reports is `CSM_E_BAD_ARROW`.
    pub fn csm_table_publish_stream(
        region: *const csm_region_t,
        name: *const c_char,
        stream: *mut ArrowArrayStream,
        options: *const csm_publish_options_t,
        published: *mut csm_published_t,
    ) -> Result {
        let stream = stream.take()?;
        let room = room_of(&published)?;
        let (name, options) = (name.text(ErrorKind::BadName)?, options_of(&options)?);
        // SAFETY: the caller's stream obeys the C Stream Interface.
        let done = unsafe { region.object()?.publish(name, stream, &options) }?;
        fill(room, &done);
        Ok(())
    }
}
