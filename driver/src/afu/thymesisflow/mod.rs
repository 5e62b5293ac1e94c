//! ThymesisFlow on an OpenCAPI AFU: the registers, and the two ends of its link.
//!
//! The **memory side** (C1) lends: its AFU reads and writes the process that attached, by effective address. The
//! **compute side** (M1) borrows: the lender's window appears at a real address, behind a character device or as hotplugged
//! memory. Facts are from "ThymesisFlow Design and Deployment v1.1" and from the public design's own register file; order
//! and undo are ours:
//!
//! - Each side is a list of steps. A step that succeeded puts its undoing on a stack; a failure, a detach and a drop run the
//!   stack in reverse. There is no second description of how to take things down.
//! - The last 2 MiB of a window are the *link zone* ([`ZONE_BYTES`]), no part of any region. There each side says in a line
//!   of its own whether it is attached, and the link is trained with known answers.
//! - An access while the network is away makes the host fence the link, so the compute side detaches first. The zone is what
//!   enforces it: the memory side refuses to detach while the compute side's line says that it is attached.

mod card;
mod compute;
mod counters;
mod hotplug;
mod line;
mod memory;
mod ports;
mod registers;
mod training;
mod undo;
mod window;
mod zone;

#[cfg(test)]
mod tests;

pub use compute::{Borrow, ComputeSide};
pub use counters::{CounterReader, Counters, Sample};
pub use hotplug::{BLOCK_BYTES, MemoryBlocks, REAL_BASE};
pub use line::{LINE_BYTES, Line, LinkMemory};
pub use memory::MemorySide;
pub use ports::{Ports, Section};
pub use registers::{GLOBAL_MMIO_BYTES_MIN, Latency, Register, section_value};
pub use training::{Progress, Stage, Trained, Training};
pub use window::{CharDevice, LentWindow, ZoneSource};
pub use zone::{LinkState, Mark, Side, ZONE_BYTES};
