//! What the bytes of a region mean: superblock, zones, words, locks; creating, opening and growing one.
//!
//! Creation fills an unnamed window and names it last. Opening peeks at the superblock wherever the kernel
//! puts it, and maps the window at the region's address only when everything agrees. A process that
//! may not write (a borrower, or `access=ro`) has the owner's zones mapped read-only: one writer a line
//! is then a matter of page protection.
#![allow(unsafe_code, reason = "views of mapped memory as atomics")]

pub(crate) mod layout;
pub(crate) mod lock;
pub(crate) mod open;
mod options;
pub(crate) mod space;
pub(crate) mod superblock;
pub(crate) mod word;
