//! Statuses and the error struct.

use std::ffi::c_char;
use std::mem::offset_of;
use std::sync::LazyLock;

use csm::{Error, ErrorKind, Result};

/// What a function returns: `CSM_OK` or one of the codes `CSM_E_...`, which never change their meaning.
pub type csm_status_t = i32;

/// The call did what it says.
pub const CSM_OK: csm_status_t = 0;

/// What went wrong, for people. Allocated by the caller: set it to `CSM_ERROR_INIT` and pass its address as
/// the last argument; or pass NULL. It is written when a call fails and left alone otherwise.
#[repr(C)]
pub struct csm_error_t {
    /// Set by the caller: `sizeof(csm_error_t)`. Nothing beyond it is written.
    pub struct_size: u64,
    /// The status that was returned.
    pub status: csm_status_t,
    /// The `errno` of the system call that failed, or 0.
    pub sys_errno: i32,
    /// A sentence that names the thing, the value and what to do. UTF-8, ended by a zero byte.
    pub message: [c_char; 488],
}

/// The status of a function that has no error struct.
pub(crate) fn status(result: Result<()>) -> csm_status_t {
    result.map_or_else(|e| e.kind().code(), |()| CSM_OK)
}

/// Writes `e` where the caller wants it, as far as there is room; the status.
///
/// # Safety
/// `error` is NULL or valid for reads and writes of the `struct_size` bytes that it begins with.
#[cold]
pub(crate) unsafe fn report(e: &Error, error: *mut csm_error_t) -> csm_status_t {
    let status = e.kind().code();
    if error.is_null() || !error.is_aligned() {
        return status;
    }
    // SAFETY: the caller's contract.
    let struct_size = usize::try_from(unsafe { (*error).struct_size }).unwrap_or(usize::MAX);
    let there = struct_size.min(size_of::<csm_error_t>());
    let Some(room) = there.checked_sub(offset_of!(csm_error_t, message)) else { return status };
    let text = e.message().as_bytes();
    let len = cut(e.message(), room.saturating_sub(1));
    // SAFETY: as above; `room` bytes of the message are within `struct_size`, and `len` is less.
    unsafe {
        (&raw mut (*error).status).write(status);
        (&raw mut (*error).sys_errno).write(e.errno());
        if room > 0 {
            let message = (&raw mut (*error).message).cast::<u8>();
            message.copy_from_nonoverlapping(text.as_ptr(), len);
            message.add(len).write(0);
        }
    }
    status
}

/// The longest part of `text` of at most `most` bytes that ends at a character.
fn cut(text: &str, most: usize) -> usize {
    let end = most.min(text.len());
    (0..=end).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// A field of fixed size: `text`, cut at a character if it is too long, and zeroes.
pub(crate) fn chars<const N: usize>(text: &str) -> [c_char; N] {
    let mut field = [0; N];
    let len = cut(text, N - 1);
    for (to, from) in field.iter_mut().zip(&text.as_bytes()[..len]) {
        *to = c_char::from_ne_bytes([*from]);
    }
    field
}

/// `NameTaken` as C writes it: `CSM_E_NAME_TAKEN`.
fn constant(kind: ErrorKind) -> String {
    let mut name = "CSM_E".to_owned();
    for letter in kind.name().chars() {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name + "\0"
}

export! {
    /// The name of a status as it is written in this header, such as `CSM_E_NAME_TAKEN`; an empty string for
    /// a number that is none. The string lives as long as the process. Callable from any thread.
    pub fn csm_status_name(status: csm_status_t) -> *const c_char {
        static NAMES: LazyLock<Vec<(i32, String)>> =
            LazyLock::new(|| ErrorKind::ALL.iter().map(|kind| (kind.code(), constant(*kind))).collect());
        match status.value {
            CSM_OK => c"CSM_OK".as_ptr(),
            code => NAMES.iter().find(|(c, _)| *c == code).map_or(c"".as_ptr(), |(_, name)| name.as_ptr().cast()),
        }
    }
}
