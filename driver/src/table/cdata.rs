//! The structs of the Arrow C Data and C Stream Interfaces.
//!
//! They hold pointers of whoever made them, so every field is private to the
//! crate and what walks them is `unsafe`. As everywhere in Arrow, a struct is
//! released by calling its `release` once, `release == NULL` says that it was
//! released or moved away, and moving is a bitwise copy that sets it so.
//! Dropping one of these in Rust releases it.
#![allow(unsafe_code, reason = "release callbacks are foreign functions")]

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

/// Schema flag: the dictionary's order means something.
pub const ARROW_FLAG_DICTIONARY_ORDERED: i64 = 1;
/// Schema flag: the field may hold nulls.
pub const ARROW_FLAG_NULLABLE: i64 = 2;
/// Schema flag: the keys of each map value are sorted.
pub const ARROW_FLAG_MAP_KEYS_SORTED: i64 = 4;

/// `struct ArrowSchema`: a type, or a field with its name and metadata.
#[repr(C)]
#[derive(Debug)]
pub struct ArrowSchema {
    pub(crate) format: *const c_char,
    pub(crate) name: *const c_char,
    pub(crate) metadata: *const c_char,
    pub(crate) flags: i64,
    pub(crate) n_children: i64,
    pub(crate) children: *mut *mut ArrowSchema,
    pub(crate) dictionary: *mut ArrowSchema,
    pub(crate) release: Option<unsafe extern "C" fn(*mut ArrowSchema)>,
    pub(crate) private_data: *mut c_void,
}

/// `struct ArrowArray`: the buffers of one array and of those below it.
#[repr(C)]
#[derive(Debug)]
pub struct ArrowArray {
    pub(crate) length: i64,
    pub(crate) null_count: i64,
    pub(crate) offset: i64,
    pub(crate) n_buffers: i64,
    pub(crate) n_children: i64,
    pub(crate) buffers: *mut *const c_void,
    pub(crate) children: *mut *mut ArrowArray,
    pub(crate) dictionary: *mut ArrowArray,
    pub(crate) release: Option<unsafe extern "C" fn(*mut ArrowArray)>,
    pub(crate) private_data: *mut c_void,
}

/// `struct ArrowArrayStream`: a schema and a sequence of arrays of it.
#[repr(C)]
#[derive(Debug)]
pub struct ArrowArrayStream {
    pub(crate) get_schema: Option<unsafe extern "C" fn(*mut ArrowArrayStream, *mut ArrowSchema) -> c_int>,
    pub(crate) get_next: Option<unsafe extern "C" fn(*mut ArrowArrayStream, *mut ArrowArray) -> c_int>,
    pub(crate) get_last_error: Option<unsafe extern "C" fn(*mut ArrowArrayStream) -> *const c_char>,
    pub(crate) release: Option<unsafe extern "C" fn(*mut ArrowArrayStream)>,
    pub(crate) private_data: *mut c_void,
}

macro_rules! c_struct {
    ($name:ident { $($field:ident: $empty:expr),* $(,)? }) => {
        impl $name {
            /// A struct that holds nothing: to be filled by a producer.
            #[must_use]
            pub const fn empty() -> Self {
                Self { $($field: $empty,)* release: None, private_data: ptr::null_mut() }
            }

            /// Moves the struct out of `from`, which is left released.
            ///
            /// # Safety
            /// `from` is valid for reads and writes, aligned, and holds an
            /// initialized struct, whose release callback, if it has one, may
            /// be called on any thread.
            #[must_use]
            pub unsafe fn from_raw(from: *mut Self) -> Self {
                // SAFETY: the caller's contract.
                unsafe { std::mem::take(&mut *from) }
            }

            /// Whether the struct was released or moved away.
            #[must_use]
            pub fn is_released(&self) -> bool {
                self.release.is_none()
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                if let Some(release) = self.release {
                    // SAFETY: the struct is whole and not yet released; the callback marks it released.
                    unsafe { release(self) };
                }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::empty()
            }
        }

        // SAFETY: the interface lets a struct be moved to, used on and released on any thread.
        unsafe impl Send for $name {}
    };
}

c_struct!(ArrowSchema {
    format: ptr::null(),
    name: ptr::null(),
    metadata: ptr::null(),
    flags: 0,
    n_children: 0,
    children: ptr::null_mut(),
    dictionary: ptr::null_mut(),
});

c_struct!(ArrowArray {
    length: 0,
    null_count: 0,
    offset: 0,
    n_buffers: 0,
    n_children: 0,
    buffers: ptr::null_mut(),
    children: ptr::null_mut(),
    dictionary: ptr::null_mut(),
});

c_struct!(ArrowArrayStream { get_schema: None, get_next: None, get_last_error: None });

impl ArrowArrayStream {
    /// Asks the producer for the schema.
    ///
    /// # Errors
    /// [`BadArrow`](crate::ErrorKind::BadArrow) with the producer's own words, or if the stream was released.
    ///
    /// # Safety
    /// The stream obeys the C Stream Interface.
    pub unsafe fn schema(&mut self) -> crate::Result<ArrowSchema> {
        let mut schema = ArrowSchema::empty();
        let Some(get) = self.get_schema.filter(|_| self.release.is_some()) else { return Err(released()) };
        // SAFETY: a live stream, by the caller's contract.
        let code = unsafe { get(self, &raw mut schema) };
        if code != 0 {
            // SAFETY: right after a failed call on a live stream.
            return Err(unsafe { self.failed("get_schema", code) });
        }
        Ok(schema)
    }

    /// Asks the producer for the next array; `None` at the end.
    ///
    /// # Errors
    /// [`BadArrow`](crate::ErrorKind::BadArrow) with the producer's own words, or if the stream was released.
    ///
    /// # Safety
    /// The stream obeys the C Stream Interface.
    pub unsafe fn next_array(&mut self) -> crate::Result<Option<ArrowArray>> {
        let mut array = ArrowArray::empty();
        let Some(get) = self.get_next.filter(|_| self.release.is_some()) else { return Err(released()) };
        // SAFETY: a live stream, by the caller's contract.
        let code = unsafe { get(self, &raw mut array) };
        if code != 0 {
            // SAFETY: right after a failed call on a live stream.
            return Err(unsafe { self.failed("get_next", code) });
        }
        Ok((!array.is_released()).then_some(array))
    }

    /// # Safety
    /// A callback of this live stream just failed with `code`.
    unsafe fn failed(&mut self, call: &str, code: c_int) -> crate::Error {
        let text = match self.get_last_error {
            None => ptr::null(),
            // SAFETY: the caller's contract.
            Some(get) => unsafe { get(self) },
        };
        let text = if text.is_null() {
            std::io::Error::from_raw_os_error(code).to_string()
        } else {
            // SAFETY: a string of the producer, valid until the next call on the stream.
            unsafe { std::ffi::CStr::from_ptr(text) }.to_string_lossy().into_owned()
        };
        crate::Error::new(
            crate::ErrorKind::BadArrow,
            format!("the producer's {call} failed ({code}): {text}"),
        )
    }
}

fn released() -> crate::Error {
    crate::Error::new(crate::ErrorKind::BadArrow, "the ArrowArrayStream was released; pass a live one")
}
