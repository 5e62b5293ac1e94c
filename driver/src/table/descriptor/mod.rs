//! The table descriptor: schema, numbers and the place of every buffer, as flat bytes.
//!
//! ```text
//!   0  magic u64 | version u32 | crc u32 | generation u64 | next_retired u64 | slot u32 | zero, to 64
//!  64  total_len u64 | rows u64 | n_batches u32 | n_nodes u32 | n_regions u32 | n_extents u32
//!      name_len u32 | schema_len u32 | schema_hash u32 | zero u32 | zero u64 | zero u64
//! 128  regions    16 bytes each: uuid; the first is the home region
//!      extents     8 bytes each: offset in the home region, the descriptor's own among them
//!      directory  16 bytes each batch: position u64 | n_buffers u64
//!      name, schema blob, each padded to 8
//!      batches: n_nodes times   length u64 | null_count u64 | offset u64 | first_buffer u32 | n_buffers u32
//!               n_buffers times region u32 | zero u32 | offset u64 | len u64
//! ```
//!
//! Little-endian, every part 8-aligned. The first 64 bytes change after the
//! descriptor was built and are outside of the CRC, which covers all the rest.
//! A reader parses a private copy: [`Envelope`] is the cheap look (CRC, name,
//! extents), [`Descriptor`] the whole check, after which exports need none.
//! This room knows no region: whoever parses says which places are in bounds.

mod encode;
mod envelope;
mod parse;

pub use encode::Draft;
pub use envelope::Envelope;
pub use parse::{Batch, Descriptor};

/// First word of a descriptor: "CSMTABLE".
pub const MAGIC: u64 = u64::from_le_bytes(*b"CSMTABLE");
/// Version of this layout.
pub const VERSION: u32 = 1;
/// Bytes before the variable parts.
pub const HEADER_LEN: usize = 128;
/// Bytes that are outside of the CRC.
pub const PREFIX_LEN: usize = 64;
/// Where the generation word is; the publisher may set it in place.
pub const GENERATION_AT: usize = 16;
/// Where the link of the retired list is; the owner may set it in place.
pub const NEXT_RETIRED_AT: usize = 24;
/// Where the catalog slot (32 bits) is; the publisher may set it in place.
pub const SLOT_AT: usize = 32;
/// The longest name.
pub const MAX_NAME_LEN: usize = 255;

const REGION_LEN: usize = 16;
const EXTENT_LEN: usize = 8;
const DIRECTORY_LEN: usize = 16;
const NODE_LEN: usize = 32;
const BUFFER_LEN: usize = 24;

/// `region` of a buffer that is not there.
const REGION_ABSENT: u32 = u32::MAX;
/// `region` of a buffer of no bytes.
const REGION_EMPTY: u32 = u32::MAX - 1;
