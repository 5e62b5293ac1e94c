//! What a kill leaves behind: nothing.
//!
//! The library counts its stores to shared metadata (feature `test-hooks`) and kills its process at the
//! n-th. A peer does one operation of [`ops::ALL`] and is killed at store 0, then another at store 1, and so
//! on until one comes through. After each, a survivor or a fresh process finds every structure sound, the
//! table whole or absent, and with the tables removed every byte free. The same region serves all of it, so
//! what one kill loses would be missed at the next. [`random`] adds kills at any moment among processes at work.
#![allow(unsafe_code, reason = "allocates and frees by pointer")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

pub mod every;
pub mod life;
pub mod ops;
pub mod random;
pub mod writers;
