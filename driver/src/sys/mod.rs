//! System calls and nothing else: no policy, no state but what the kernel keeps.
//!
//! Every failing call is reported with its arguments. What `nix` covers goes through `nix`;
//! the rest is libc, here and nowhere else.
#![allow(unsafe_code, reason = "system calls")]

pub(crate) mod file;
pub(crate) mod futex;
pub(crate) mod mem;
pub(crate) mod packet;
pub(crate) mod process;
