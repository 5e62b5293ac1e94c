//! Registers that are mapped: volatile accesses of exactly the width asked for, each with a full fence on either side.
//!
//! The kernel maps them uncached. The fences order them against ordinary memory as well: what a register starts must
//! find what was stored before.

use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{Ordering, fence};

use memmap2::{MmapOptions, MmapRaw};

use crate::afu::mmio::{Area, Mmio, Width};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::mem::page_bytes;
use crate::units::index;

/// A mapped area of registers, until dropped.
pub(super) struct Mapping {
    map: MmapRaw,
    area: Area,
    len_bytes: u64,
}

impl Mapping {
    /// Maps the `len_bytes` of registers at the start of `file`, which is `path`.
    pub(super) fn new(file: &impl AsFd, path: &Path, area: Area, len_bytes: u64) -> Result<Self> {
        let page_bytes = page_bytes();
        // The kernel maps whole pages that lie in the area, and refuses the last one if it does not.
        let len_bytes = len_bytes / page_bytes * page_bytes;
        if len_bytes == 0 {
            let text = format!(
                "{}: the AFU's {area} MMIO area is shorter than a page of this machine, {page_bytes} bytes: \
                 the kernel cannot map it; use a kernel with smaller pages, or the AFU's own image",
                path.display()
            );
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        let map =
            MmapOptions::new().len(index(len_bytes)).map_raw(file.as_fd().as_raw_fd()).map_err(|e| {
                let call = format!("mmap({}, {len_bytes} bytes of {area} MMIO)", path.display());
                Error::system(call, e.raw_os_error().unwrap_or(0))
            })?;
        Ok(Self { map, area, len_bytes })
    }
}

#[expect(clippy::cast_ptr_alignment, reason = "offsets are checked to be aligned, a mapping is")]
impl Mmio for Mapping {
    fn area(&self) -> Area {
        self.area
    }

    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn load(&mut self, off: u64, width: Width) -> Result<u64> {
        let at = self.map.as_mut_ptr().wrapping_add(index(off));
        fence(Ordering::SeqCst);
        // SAFETY: `off` was checked to be aligned and inside the area, which is mapped as long as `self`.
        let value = unsafe {
            match width {
                Width::Bits32 => u64::from(u32::from_le(at.cast::<u32>().read_volatile())),
                Width::Bits64 => u64::from_le(at.cast::<u64>().read_volatile()),
            }
        };
        fence(Ordering::SeqCst);
        Ok(value)
    }

    #[expect(clippy::cast_possible_truncation, reason = "a store of 32 bits")]
    fn store(&mut self, off: u64, width: Width, value: u64) -> Result<()> {
        let at = self.map.as_mut_ptr().wrapping_add(index(off));
        fence(Ordering::SeqCst);
        // SAFETY: as above.
        unsafe {
            match width {
                Width::Bits32 => at.cast::<u32>().write_volatile((value as u32).to_le()),
                Width::Bits64 => at.cast::<u64>().write_volatile(value.to_le()),
            }
        }
        fence(Ordering::SeqCst);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::afu::mmio::Endian;

    fn file_of(len: u64) -> (fs::File, PathBuf) {
        let path = std::env::temp_dir().join(format!("csm-mapping-{}-{len}", std::process::id()));
        let file =
            fs::File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        file.set_len(len).unwrap();
        fs::remove_file(&path).unwrap();
        (file, path)
    }

    #[test]
    fn registers_reach_the_file_and_end_with_the_last_whole_page() {
        let len = 2 * page_bytes();
        let (file, path) = file_of(len + 0x300);
        let mut area = Mapping::new(&file, &path, Area::Global, len + 0x300).unwrap();
        assert_eq!(area.len_bytes(), len);
        area.write64(0x78, Endian::Little, 3).unwrap();
        area.write32(0x84, Endian::Little, 0xffff_0001).unwrap();
        assert_eq!(area.read64(0x80, Endian::Little).unwrap(), 0xffff_0001_0000_0000);
        let mut bytes = [0; 8];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, 0x78).unwrap();
        assert_eq!(u64::from_le_bytes(bytes), 3);
        assert_eq!(area.read64(len, Endian::Little).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn less_than_a_page_is_refused_with_the_size_of_a_page() {
        let (file, path) = file_of(page_bytes());
        let error = Mapping::new(&file, &path, Area::PerPasid, 0x300).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("per-PASID MMIO area is shorter than a page"), "{error}");
    }
}
