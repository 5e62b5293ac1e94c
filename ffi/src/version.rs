//! The version of the library, which is the crate's.

use std::ffi::c_char;

const fn number(text: &str) -> u32 {
    let (bytes, mut number, mut at) = (text.as_bytes(), 0, 0);
    while at < bytes.len() {
        number = number * 10 + (bytes[at] - b'0') as u32;
        at += 1;
    }
    number
}

const VERSION: [u32; 3] = [
    number(env!("CARGO_PKG_VERSION_MAJOR")),
    number(env!("CARGO_PKG_VERSION_MINOR")),
    number(env!("CARGO_PKG_VERSION_PATCH")),
];

export! {
    /// The version of the library that is running, which may be newer than this header. Each of the
    /// pointers may be NULL. Callable from any thread.
    pub fn csm_version(major: *mut u32, minor: *mut u32, patch: *mut u32) -> () {
        for (place, number) in [major, minor, patch].into_iter().zip(VERSION) {
            if let Ok(place) = place.place() {
                place.set(number);
            }
        }
    }

    /// The same as a string, such as "0.1.0", which lives as long as the process.
    pub fn csm_version_string() -> *const c_char {
        concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
    }
}
