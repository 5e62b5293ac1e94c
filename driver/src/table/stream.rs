//! The batches of an opened table as an `ArrowArrayStream`.
#![allow(unsafe_code, reason = "implements the callbacks of a C struct")]

use std::ffi::{CString, c_char, c_int};
use std::ptr;
use std::sync::Arc;

use super::cdata::{ArrowArray, ArrowArrayStream, ArrowSchema};
use super::export::Export;

/// What a stream's `private_data` points to.
struct State {
    export: Arc<Export>,
    next: usize,
    /// Why the last call failed.
    error: CString,
}

impl Export {
    /// All batches in order, as a stream that keeps the table open; there may be any number of streams.
    #[must_use]
    pub fn stream(self: &Arc<Self>) -> ArrowArrayStream {
        let state = Box::new(State { export: self.clone(), next: 0, error: CString::default() });
        ArrowArrayStream {
            get_schema: Some(get_schema),
            get_next: Some(get_next),
            get_last_error: Some(get_last_error),
            release: Some(release),
            private_data: Box::into_raw(state).cast(),
        }
    }
}

unsafe extern "C" fn get_schema(stream: *mut ArrowArrayStream, out: *mut ArrowSchema) -> c_int {
    // SAFETY: consumers call this on a live stream of this file, with room for a struct.
    unsafe {
        let state = (*stream).private_data.cast::<State>();
        out.write((*state).export.schema());
    }
    0
}

unsafe extern "C" fn get_next(stream: *mut ArrowArrayStream, out: *mut ArrowArray) -> c_int {
    // SAFETY: as `get_schema`; a stream is used by one thread at a time.
    unsafe {
        let state = (*stream).private_data.cast::<State>();
        let (export, next) = (&(*state).export, (*state).next);
        if next >= export.descriptor().n_batches() {
            // A released struct says that there are no more.
            out.write(ArrowArray::default());
            return 0;
        }
        match export.batch(next) {
            Ok(array) => out.write(array),
            Err(e) => {
                (*state).error = CString::new(e.to_string()).unwrap_or_default();
                return libc::EIO;
            }
        }
        (*state).next += 1;
    }
    0
}

unsafe extern "C" fn get_last_error(stream: *mut ArrowArrayStream) -> *const c_char {
    // SAFETY: as `get_schema`; the text stays until the next call on the stream.
    unsafe {
        let state = (*stream).private_data.cast::<State>();
        if (*state).error.is_empty() { ptr::null() } else { (*state).error.as_ptr() }
    }
}

unsafe extern "C" fn release(stream: *mut ArrowArrayStream) {
    // SAFETY: consumers call this once on a live stream of this file.
    unsafe {
        if stream.is_null() || (*stream).release.is_none() {
            return;
        }
        let state = (*stream).private_data.cast::<State>();
        (*stream).release = None;
        (*stream).private_data = ptr::null_mut();
        drop(Box::from_raw(state));
    }
}
