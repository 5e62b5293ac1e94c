//! Schemas in from, and out to, the C Data Interface.
#![allow(unsafe_code, reason = "reads and builds C structs")]

use std::ffi::{CStr, c_char};
use std::sync::Arc;

use super::block::{self, Owner};
use super::bytes::index;
use super::cdata::ArrowSchema;
use super::schema::{BLOB_HEADER_LEN, FlatNode, MAX_DEPTH, MAX_NODES, Schema};
use crate::error::{Error, ErrorKind, Result};

fn bad(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::BadArrow, what)
}

impl Schema {
    /// Copies and checks a producer's schema.
    ///
    /// # Errors
    /// [`ErrorKind::BadArrow`] for what breaks the C Data Interface or is not a
    /// record batch, [`ErrorKind::Unsupported`] for what is nested too deep.
    ///
    /// # Safety
    /// `schema` obeys the C Data Interface: its pointers are null or point to
    /// what the interface says, which nobody changes during the call.
    pub unsafe fn from_c(schema: &ArrowSchema) -> Result<Self> {
        let mut blob = vec![0; BLOB_HEADER_LEN];
        let mut n_nodes = 0;
        // SAFETY: the caller's contract.
        unsafe { flatten(schema, 0, &mut n_nodes, &mut blob)? };
        blob[..4].copy_from_slice(&n_nodes.to_le_bytes());
        let len = blob.len();
        Self::parse(blob.into(), 0..len).map_err(|e| match e.kind() {
            ErrorKind::Corrupt => e.with_kind(ErrorKind::BadArrow),
            _ => e,
        })
    }

    /// The schema as a C struct, whose strings lie in this schema's own bytes.
    #[must_use]
    pub fn to_c(self: &Arc<Self>) -> ArrowSchema {
        let base = self.bytes().as_ptr().cast::<c_char>();
        // SAFETY: the positions lie in the bytes, which the owner keeps.
        let at = |offset: usize| unsafe { base.add(offset) };
        block::build(self, 0, Owner::new(self.clone()), |i, _| {
            let (format, name, metadata) = self.text_positions(i);
            ArrowSchema {
                format: at(format),
                name: at(name),
                metadata: metadata.map_or(std::ptr::null(), at),
                flags: i64::from(self.nodes()[i].flags),
                ..ArrowSchema::empty()
            }
        })
    }
}

/// Appends `schema` and all below it to `blob`.
///
/// # Safety
/// As [`Schema::from_c`].
unsafe fn flatten(schema: &ArrowSchema, depth: usize, n_nodes: &mut u32, blob: &mut Vec<u8>) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("ArrowSchema is nested deeper than {MAX_DEPTH} levels; flatten it"),
        ));
    }
    if schema.is_released() {
        return Err(bad("ArrowSchema was released or moved away; pass a live one"));
    }
    *n_nodes += 1;
    if *n_nodes as usize > MAX_NODES {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("ArrowSchema has more than {MAX_NODES} fields at all levels together"),
        ));
    }
    // SAFETY: strings of the producer, by the caller's contract.
    let (format, name, metadata) =
        unsafe { (text(schema.format), text(schema.name), metadata_bytes(schema.metadata)?) };
    let Some(format) = format else { return Err(bad("ArrowSchema.format is NULL")) };
    let quoted = || format!("ArrowSchema of format \"{}\"", format.escape_ascii());

    let n_children = u32::try_from(schema.n_children)
        .ok()
        .filter(|&n| n as usize <= MAX_NODES && (n == 0 || !schema.children.is_null()))
        .ok_or_else(|| {
            let list = if schema.children.is_null() { ", children are NULL" } else { "" };
            bad(format!("{}: n_children is {}{list}", quoted(), schema.n_children))
        })?;
    let flags = u32::try_from(schema.flags)
        .map_err(|_| bad(format!("{}: flags are {:#x}; none is above bit 2", quoted(), schema.flags)))?;
    FlatNode {
        format,
        name: name.unwrap_or_default(),
        metadata,
        flags,
        n_children,
        has_dictionary: !schema.dictionary.is_null(),
    }
    .append_to(blob)?;

    for k in 0..n_children as usize {
        // SAFETY: the list has `n_children` entries; they are null or schemas.
        let child = unsafe { (*schema.children.add(k)).as_ref() };
        let child = child.ok_or_else(|| bad(format!("{}: child {k} is NULL", quoted())))?;
        // SAFETY: the caller's contract covers what is below.
        unsafe { flatten(child, depth + 1, n_nodes, blob)? };
    }
    // SAFETY: null or a schema.
    if let Some(dictionary) = unsafe { schema.dictionary.as_ref() } {
        // SAFETY: the caller's contract covers what is below.
        unsafe { flatten(dictionary, depth + 1, n_nodes, blob)? };
    }
    Ok(())
}

/// # Safety
/// `text` is null or a C string that outlives the use of the result.
unsafe fn text<'a>(text: *const c_char) -> Option<&'a [u8]> {
    // SAFETY: the caller's contract.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// The extent of metadata, found by walking it: nothing says how long it is.
///
/// # Safety
/// `metadata` is null or metadata in the C encoding that outlives the use of the result.
unsafe fn metadata_bytes<'a>(metadata: *const c_char) -> Result<Option<&'a [u8]>> {
    if metadata.is_null() {
        return Ok(None);
    }
    // SAFETY: by the caller's contract each length stands where the ones before it lead.
    let length_at = |at: u64| unsafe { metadata.add(index(at)).cast::<i32>().read_unaligned() };
    let checked = |at: u64| {
        let n = length_at(at);
        u64::try_from(n).map_err(|_| bad(format!("ArrowSchema.metadata holds the length {n} at byte {at}")))
    };
    let mut end = 4;
    for _ in 0..2 * checked(0)? {
        end += 4 + checked(end)?;
    }
    // SAFETY: the lengths lead here.
    Ok(Some(unsafe { std::slice::from_raw_parts(metadata.cast::<u8>(), index(end)) }))
}
