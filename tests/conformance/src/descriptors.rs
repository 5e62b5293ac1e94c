//! Descriptors that a hostile writer made: whatever parses must be safe to read.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::Arc;

use csm::table::descriptor::{Descriptor, HEADER_LEN, PREFIX_LEN};
use csm::table::export::Export;
use csm::table::measure::measure;
use csm::table::schema::Schema;
use csm::{Error, ErrorKind, Result};

use crate::hostile::DESCRIPTOR_MAGIC;

const ALIGN: usize = 4096;

/// A region's bytes in ordinary memory, and the descriptors found in them.
pub(crate) struct Descriptors {
    memory: NonNull<u8>,
    layout: Layout,
    found: Vec<Vec<u8>>,
}

// SAFETY: the memory is only read, and lives as long as this.
unsafe impl Send for Descriptors {}
// SAFETY: as above.
unsafe impl Sync for Descriptors {}

impl Drop for Descriptors {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout in `of`.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) };
    }
}

impl Descriptors {
    /// Those of a region of `len` bytes with these pages.
    pub(crate) fn of(pages: &[(u64, Vec<u8>)], len: u64) -> Self {
        let len = usize::try_from(len).expect("a length");
        let layout = Layout::from_size_align(len, ALIGN).expect("a layout");
        // SAFETY: the length is not 0.
        let memory = NonNull::new(unsafe { alloc_zeroed(layout) }).expect("memory");
        for (off, page) in pages {
            let off = usize::try_from(*off).expect("an offset");
            // SAFETY: the page lies within the `len` bytes.
            unsafe {
                memory.as_ptr().add(off).copy_from_nonoverlapping(page.as_ptr(), page.len().min(len - off))
            };
        }
        let mut this = Self { memory, layout, found: Vec::new() };
        let bytes = this.bytes();
        let starts = (0..len).step_by(128).filter(|off| bytes[*off..].starts_with(DESCRIPTOR_MAGIC));
        let found = starts.filter_map(|off| {
            let mut word = [0; 8];
            word.copy_from_slice(bytes.get(off + PREFIX_LEN..off + PREFIX_LEN + 8)?);
            bytes.get(off..off + usize::try_from(u64::from_le_bytes(word)).ok()?).map(<[u8]>::to_vec)
        });
        this.found = found.collect();
        assert!(this.found.len() > 5, "the region has tables");
        this
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: that many initialized bytes, which nobody changes.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr(), self.layout.size()) }
    }

    /// Changes one of the descriptors as `bytes` say (which one, then four bytes a change), or takes them as a
    /// descriptor; makes length and checksum fit, and reads what parses.
    pub(crate) fn suffer(&self, bytes: &[u8]) {
        let Some((first, changes)) = bytes.split_first() else { return };
        let mut descriptor = match self.found.get(usize::from(*first)) {
            Some(found) => found.clone(),
            None if *first >= 0xf0 => changes.to_vec(),
            None => self.found[usize::from(*first) % self.found.len()].clone(),
        };
        if *first < 0xf0 {
            for change in changes.chunks_exact(4) {
                let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % descriptor.len();
                match change[2] % 8 {
                    0..3 => descriptor[at] = change[3],
                    3 => descriptor[at] ^= 1 << (change[3] % 8),
                    4 => descriptor[at] = descriptor[at].wrapping_add(change[3]),
                    5 => descriptor[at / 8 * 8..][..8].fill(change[3]),
                    6 => descriptor[at / 4 * 4..][..4].fill(change[3]),
                    _ => {
                        let from = usize::from(change[3]) * 8 % (descriptor.len() - 8) / 8 * 8;
                        descriptor.copy_within(from..from + 8, at / 8 * 8);
                    }
                }
            }
        }
        if descriptor.len() < HEADER_LEN {
            return;
        }
        let len = descriptor.len() as u64;
        descriptor[PREFIX_LEN..PREFIX_LEN + 8].copy_from_slice(&len.to_le_bytes());
        let crc = crc32fast::hash(&descriptor[PREFIX_LEN..]);
        descriptor[12..16].copy_from_slice(&crc.to_le_bytes());
        let _ = self.read(&descriptor);
    }

    /// Parses and exports; what validates is also what Arrow takes for valid.
    fn read(&self, descriptor: &[u8]) -> Result<()> {
        let memory_len = self.layout.size() as u64;
        let check = |region, offset: u64, len: u64| match offset.checked_add(len) {
            Some(end) if region == 0 && end <= memory_len => Ok(()),
            _ => Err(Error::new(ErrorKind::Corrupt, "out of bounds")),
        };
        let descriptor = Arc::new(Descriptor::parse(descriptor, check)?);
        // SAFETY: every buffer lies in the memory, by `check`, and the memory outlives the export.
        let export = Arc::new(unsafe {
            Export::new(descriptor, vec![self.memory.as_ptr().cast_const()], Arc::new(()))
        }?);
        let is_valid = export.validate().is_ok();
        let lent_schema = export.schema();
        // SAFETY: the export obeys the C Data Interface.
        let schema = unsafe { Schema::from_c(&lent_schema) }.expect("an exported schema is a schema");
        for i in 0..export.descriptor().n_batches() {
            let array = export.batch(i)?;
            // SAFETY: as above. It may fail by the values in the buffers alone.
            let measured = unsafe { measure(&schema, &array) };
            assert!(measured.is_ok() || !is_valid, "a valid batch can be published again: {measured:?}");
        }
        drop(export.stream());
        Ok(())
    }
}
