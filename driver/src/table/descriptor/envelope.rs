//! The cheap look at a descriptor: what recovery and listing need.

use std::ops::Range;
use std::sync::Arc;

use super::super::bytes::{index, u32_at, u64_at};
use super::{
    DIRECTORY_LEN, EXTENT_LEN, GENERATION_AT, HEADER_LEN, MAGIC, MAX_NAME_LEN, NEXT_RETIRED_AT, PREFIX_LEN,
    REGION_LEN, SLOT_AT, VERSION,
};
use crate::error::{Error, ErrorKind, Result};

/// A descriptor whose CRC, sections and name were checked; schema and batches were not.
#[derive(Clone, Debug)]
pub struct Envelope {
    bytes: Arc<[u8]>,
    rows: u64,
    n_batches: u32,
    n_nodes: u32,
    schema_hash: u32,
    regions: Range<usize>,
    extents: Range<usize>,
    directory: Range<usize>,
    name: Range<usize>,
    schema: Range<usize>,
}

#[cold]
pub(super) fn corrupt(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Corrupt, format!("table descriptor: {what}"))
}

/// Hands out the sections in their order.
struct Sections<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Sections<'_> {
    fn next(&mut self, what: &str, n: u32, item_len: usize) -> Result<Range<usize>> {
        let left = &self.bytes[self.at..];
        let Some(len) = (n as usize).checked_mul(item_len).filter(|&len| len <= left.len()) else {
            return Err(corrupt(format!("{n} {what} do not fit the {} bytes left", left.len())));
        };
        // The whole is a multiple of 8, so the padding is there.
        let taken = len.next_multiple_of(8);
        if left[len..taken].iter().any(|&b| b != 0) {
            return Err(corrupt(format!("bytes after {n} {what} are not zero")));
        }
        let at = self.at;
        self.at += taken;
        Ok(at..at + len)
    }
}

impl Envelope {
    /// The length of the descriptor that begins with `header`: how much to copy before parsing.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if no descriptor begins so, [`ErrorKind::LayoutMismatch`] if a newer one does.
    pub fn peek_len(header: &[u8]) -> Result<u64> {
        if header.len() < HEADER_LEN {
            return Err(corrupt(format!("{} bytes; the header alone has {HEADER_LEN}", header.len())));
        }
        if u64_at(header, 0) != MAGIC {
            return Err(corrupt(format!("begins with \"{}\"", header[..8].escape_ascii())));
        }
        let version = u32_at(header, 8);
        if version != VERSION {
            return Err(Error::new(
                ErrorKind::LayoutMismatch,
                format!("table descriptor of version {version}; this build reads version {VERSION}"),
            ));
        }
        let total = u64_at(header, PREFIX_LEN);
        if total < HEADER_LEN as u64 || !total.is_multiple_of(8) || total > isize::MAX as u64 {
            return Err(corrupt(format!("says it is {total} bytes long")));
        }
        Ok(total)
    }

    /// Checks header, CRC, sections and name of a private copy.
    ///
    /// # Errors
    /// As [`peek_len`](Self::peek_len).
    pub fn parse(bytes: Arc<[u8]>) -> Result<Self> {
        let total = Self::peek_len(&bytes)?;
        if total != bytes.len() as u64 {
            return Err(corrupt(format!("says it is {total} bytes long, {} are here", bytes.len())));
        }
        let (expected, found) = (u32_at(&bytes, 12), crc32fast::hash(&bytes[PREFIX_LEN..]));
        if expected != found {
            return Err(corrupt(format!("CRC is {found:#010x} instead of {expected:#010x}")));
        }
        let word = |at| u32_at(&bytes, at);
        let mut sections = Sections { bytes: &bytes, at: HEADER_LEN };
        let regions = sections.next("regions", word(88), REGION_LEN)?;
        let extents = sections.next("extents", word(92), EXTENT_LEN)?;
        let directory = sections.next("batches", word(80), DIRECTORY_LEN)?;
        let name = sections.next("bytes of name", word(96), 1)?;
        let schema = sections.next("bytes of schema", word(100), 1)?;
        let rest_is_zero = word(108) == 0 && u64_at(&bytes, 112) == 0 && u64_at(&bytes, 120) == 0;
        if regions.is_empty() || !rest_is_zero {
            return Err(corrupt("names no region, or sets reserved bits"));
        }
        let text = std::str::from_utf8(&bytes[name.clone()]);
        if name.is_empty() || name.len() > MAX_NAME_LEN || text.is_err() {
            return Err(corrupt(format!("its name is \"{}\"", bytes[name].escape_ascii())));
        }
        Ok(Self {
            rows: u64_at(&bytes, 72),
            n_batches: word(80),
            n_nodes: word(84),
            schema_hash: word(104),
            regions,
            extents,
            directory,
            name,
            schema,
            bytes,
        })
    }

    /// The catalog slot it was published in.
    #[must_use]
    pub fn slot(&self) -> u32 {
        u32_at(&self.bytes, SLOT_AT)
    }

    /// The generation it was published as.
    #[must_use]
    pub fn generation(&self) -> u64 {
        u64_at(&self.bytes, GENERATION_AT)
    }

    /// The link of the retired list at the time of the copy.
    #[must_use]
    pub fn next_retired(&self) -> u64 {
        u64_at(&self.bytes, NEXT_RETIRED_AT)
    }

    /// The name it was published under.
    #[must_use]
    pub fn name(&self) -> &str {
        std::str::from_utf8(&self.bytes[self.name.clone()]).unwrap_or_default()
    }

    /// Rows of all batches together.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Number of batches.
    #[must_use]
    pub fn n_batches(&self) -> usize {
        self.n_batches as usize
    }

    /// [`Schema::hash`](super::super::schema::Schema::hash) of the schema.
    #[must_use]
    pub fn schema_hash(&self) -> u32 {
        self.schema_hash
    }

    /// Number of regions.
    #[must_use]
    pub fn n_regions(&self) -> usize {
        self.regions.len() / REGION_LEN
    }

    /// The uuids of the regions that buffers lie in; the first is the home region.
    pub fn regions(&self) -> impl ExactSizeIterator<Item = [u8; 16]> + '_ {
        self.bytes[self.regions.clone()].as_chunks().0.iter().copied()
    }

    /// The offsets of the extents in the home region, as the publisher gave them.
    pub fn extents(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.bytes[self.extents.clone()].as_chunks().0.iter().map(|word| u64::from_le_bytes(*word))
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    pub(super) fn n_nodes(&self) -> usize {
        self.n_nodes as usize
    }

    pub(super) fn schema_blob(&self) -> Range<usize> {
        self.schema.clone()
    }

    /// Where the batches begin.
    pub(super) fn batches_at(&self) -> usize {
        self.schema.end.next_multiple_of(8)
    }

    /// Position and number of buffers of batch `i`, unchecked.
    pub(super) fn directory(&self, i: usize) -> (usize, usize) {
        let at = self.directory.start + i * DIRECTORY_LEN;
        (index(u64_at(&self.bytes, at)), index(u64_at(&self.bytes, at + 8)))
    }
}
