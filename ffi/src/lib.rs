//! libcsm: the C ABI over the crate `csm`, of which it uses the public API alone.
//!
//! One file a C noun. Every exported function is written inside `export!` (boundary.rs), which is what
//! makes it foreign: it stops panics, turns a `Result` into a status and an error struct, and hands the
//! arguments over as [`boundary::Arg`]s, whose methods check them. So the files of the nouns do not
//! dereference what C passed, with the exception of the pointers into a heap, whose contract is the
//! caller's. The doc comments are the documentation of include/csm.h: they speak to C programmers.
#![allow(unsafe_code, reason = "this crate is the foreign function interface")]
#![allow(non_camel_case_types, reason = "the types are named as in C")]
#![allow(clippy::missing_safety_doc, reason = "what a caller owes stands at the top of the header")]

#[macro_use]
mod boundary;
pub mod catalog;
pub mod ctx;
pub mod error;
mod fork;
mod handle;
pub mod heap;
pub mod leases;
pub mod log_callback;
pub mod members;
pub mod nodes;
mod options;
pub mod publish;
pub mod region;
mod snapshot;
pub mod table;
pub mod version;
