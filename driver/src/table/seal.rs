//! Sealing: page protection for what was published.
//!
//! Pages are the unit, so only what lies on pages of its own is protected: the whole pages of each buffer. A
//! page comes back to stores when the heap hands its chunk out again in this process. It protects against this
//! process alone, which still has pointers from building the table.

use super::shape::{BufferRef, PlacedBatch};
use super::tables::Tables;
use crate::error::Result;
use crate::sys::mem;

impl Tables {
    /// Protects the whole pages of every buffer in this region. Returns the bytes protected.
    pub(super) fn seal(&self, batches: &[PlacedBatch]) -> Result<u64> {
        let page = self.opened.device.page_bytes().max(mem::page_bytes());
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for buffer in batches.iter().flat_map(|batch| &batch.buffers) {
            if let BufferRef::At { region: 0, offset, len_bytes } = *buffer {
                let (start, end) = (offset.next_multiple_of(page), (offset + len_bytes) / page * page);
                if start < end {
                    ranges.push((start, end));
                }
            }
        }
        ranges.sort_unstable();
        let (mut sealed, mut done) = (0, 0);
        for (start, end) in ranges {
            let start = start.max(done);
            if start < end {
                self.space.mapping().seal(start..end, page)?;
                sealed += end - start;
                done = end;
            }
        }
        Ok(sealed)
    }
}
