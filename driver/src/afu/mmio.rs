//! Access to an AFU's registers: 32 and 64 bits wide, in an endianness that is always said, inside the area and aligned.
//!
//! One trait, so that a mapping, a model of the registers and a trace of the accesses are the same to their users.
//! The check is here, once; whoever implements the trait is given offsets that passed it.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// Which registers of an AFU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Area {
    /// Those of the whole AFU.
    Global,
    /// Those of one attached process.
    PerPasid,
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Area::Global => "global",
            Area::PerPasid => "per-PASID",
        })
    }
}

/// The order of a register's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endian {
    /// Least significant byte first: what libcsm's machines are.
    Little,
    /// Most significant byte first.
    Big,
}

/// How wide an access is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// Four bytes.
    Bits32,
    /// Eight bytes.
    Bits64,
}

impl Width {
    /// Bytes of an access, which is also its alignment.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Width::Bits32 => 4,
            Width::Bits64 => 8,
        }
    }
}

/// An area of registers. One thread at a time; reading a register may change it.
pub trait Mmio: Send {
    /// Which area this is.
    fn area(&self) -> Area;
    /// Bytes of the area.
    fn len_bytes(&self) -> u64;
    /// One load of `width` at `off`, which was checked; the bytes in little-endian order.
    ///
    /// # Errors
    /// Where the registers cannot be reached.
    fn load(&mut self, off: u64, width: Width) -> Result<u64>;
    /// One store of `width` at `off`, which was checked; the bytes in little-endian order.
    ///
    /// # Errors
    /// Where the registers cannot be reached.
    fn store(&mut self, off: u64, width: Width, value: u64) -> Result<()>;

    /// Reads 64 bits at `off`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] outside of the area, [`ErrorKind::BadAlignment`] off a multiple of 8.
    fn read64(&mut self, off: u64, endian: Endian) -> Result<u64> {
        check(self.area(), self.len_bytes(), off, Width::Bits64)?;
        let value = self.load(off, Width::Bits64)?;
        Ok(if endian == Endian::Big { value.swap_bytes() } else { value })
    }

    /// Writes 64 bits at `off`.
    ///
    /// # Errors
    /// As [`Mmio::read64`].
    fn write64(&mut self, off: u64, endian: Endian, value: u64) -> Result<()> {
        check(self.area(), self.len_bytes(), off, Width::Bits64)?;
        self.store(off, Width::Bits64, if endian == Endian::Big { value.swap_bytes() } else { value })
    }

    /// Reads 32 bits at `off`.
    ///
    /// # Errors
    /// As [`Mmio::read64`], with multiples of 4.
    #[expect(clippy::cast_possible_truncation, reason = "a load of 32 bits")]
    fn read32(&mut self, off: u64, endian: Endian) -> Result<u32> {
        check(self.area(), self.len_bytes(), off, Width::Bits32)?;
        let value = self.load(off, Width::Bits32)? as u32;
        Ok(if endian == Endian::Big { value.swap_bytes() } else { value })
    }

    /// Writes 32 bits at `off`.
    ///
    /// # Errors
    /// As [`Mmio::read32`].
    fn write32(&mut self, off: u64, endian: Endian, value: u32) -> Result<()> {
        check(self.area(), self.len_bytes(), off, Width::Bits32)?;
        let value = if endian == Endian::Big { value.swap_bytes() } else { value };
        self.store(off, Width::Bits32, u64::from(value))
    }
}

fn check(area: Area, len_bytes: u64, off: u64, width: Width) -> Result<()> {
    let bits = width.bytes() * 8;
    if !off.is_multiple_of(width.bytes()) {
        let text = format!(
            "{area} MMIO: offset {off:#x} of a {bits}-bit access is not a multiple of {}",
            width.bytes()
        );
        return Err(Error::new(ErrorKind::BadAlignment, text));
    }
    if off.checked_add(width.bytes()).is_none_or(|end| end > len_bytes) {
        let text = format!(
            "{area} MMIO: a {bits}-bit access at offset {off:#x} is outside of the area of {len_bytes:#x} bytes"
        );
        return Err(Error::new(ErrorKind::InvalidArgument, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bytes([u8; 0x20]);

    impl Mmio for Bytes {
        fn area(&self) -> Area {
            Area::PerPasid
        }
        fn len_bytes(&self) -> u64 {
            0x20
        }
        fn load(&mut self, off: u64, width: Width) -> Result<u64> {
            let at = usize::try_from(off).unwrap();
            let mut bytes = [0; 8];
            let len = usize::try_from(width.bytes()).unwrap();
            bytes[..len].copy_from_slice(&self.0[at..at + len]);
            Ok(u64::from_le_bytes(bytes))
        }
        fn store(&mut self, off: u64, width: Width, value: u64) -> Result<()> {
            let at = usize::try_from(off).unwrap();
            let len = usize::try_from(width.bytes()).unwrap();
            self.0[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
            Ok(())
        }
    }

    #[test]
    fn the_order_of_bytes_is_as_said() {
        let mut area = Bytes([0; 0x20]);
        area.write64(8, Endian::Little, 0x1122_3344_5566_7788).unwrap();
        assert_eq!(area.0[8..16], [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
        assert_eq!(area.read64(8, Endian::Big).unwrap(), 0x8877_6655_4433_2211);
        area.write32(4, Endian::Big, 0x1122_3344).unwrap();
        assert_eq!(area.0[4..8], [0x11, 0x22, 0x33, 0x44]);
        assert_eq!(area.read32(4, Endian::Little).unwrap(), 0x4433_2211);
        assert_eq!(area.read64(8, Endian::Little).unwrap(), 0x1122_3344_5566_7788);
    }

    #[test]
    fn what_lies_outside_or_across_is_refused_with_its_numbers() {
        let mut area = Bytes([0; 0x20]);
        let error = area.read64(0x20, Endian::Little).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains("0x20 is outside of the area of 0x20 bytes"), "{error}");
        let error = area.write64(0x1c, Endian::Little, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadAlignment);
        assert!(error.message().contains("0x1c of a 64-bit access"), "{error}");
        assert!(area.write32(0x1c, Endian::Little, 1).is_ok());
        assert_eq!(area.read32(0x1e, Endian::Little).unwrap_err().kind(), ErrorKind::BadAlignment);
        assert_eq!(area.read64(u64::MAX - 7, Endian::Little).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}
