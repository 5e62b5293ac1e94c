//! OpenCAPI accelerators through the kernel's ocxl driver, and ThymesisFlow on them.
//!
//! Holds the kernel interface ([`Roots`], [`Afu`], [`Irq`]), checked MMIO ([`Mmio`]) with a [`Trace`] of every access,
//! and [`thymesisflow`]: its registers, and the two ends of its link. May use `sys`, `arch`, `error` and `units`;
//! knows nothing of regions. What attaches holds the hardware until it is dropped or detached: there is no daemon.
//!
//! Everything below [`AfuContext`] can be replaced: a kernel's AFU and the tests' model of one run the same sequences.
//! The kernel interface is `<misc/ocxl.h>`, called directly: seven ioctls need no C library. Nothing here has been run
//! on a card.
#![allow(unsafe_code, reason = "ioctls, and registers and lines of mapped device memory")]

mod context;
mod event;
mod find;
mod global;
mod irq;
mod mapping;
mod mmio;
#[cfg(any(test, feature = "test-hooks"))]
pub mod model;
mod selector;
pub mod thymesisflow;
mod trace;
mod uapi;

pub use context::{Afu, AfuContext, Features, Metadata};
pub use event::TranslationFault;
pub use find::{AfuInfo, Roots};
pub use global::CounterLock;
pub use irq::Irq;
pub use mmio::{Area, Endian, Mmio, Width};
pub use selector::Selector;
pub use trace::{Entry, Trace};
