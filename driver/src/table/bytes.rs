//! Little-endian words in byte slices: the one way descriptors are read and written.
//!
//! Descriptors are little-endian, and so is Arrow data in memory here: a
//! big-endian or a 32-bit host is refused at compile time. Readers go through
//! [`Reader`], which never reads past its end; `*_at` is for places that a
//! reader has checked before.

use crate::error::{Error, ErrorKind, Result};
pub(crate) use crate::units::index;

/// A count that a format keeps in 32 bits.
pub(crate) fn narrow(n: usize, what: &str) -> Result<u32> {
    u32::try_from(n)
        .map_err(|_| Error::new(ErrorKind::Unsupported, format!("{what}: {n} is beyond 2^32 - 1")))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

/// `N` bytes at a place that was checked before: one bounds check for a whole record.
pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

/// `n` rounded up to a multiple of 8; `None` on overflow.
pub(crate) fn padded(n: usize) -> Option<usize> {
    n.checked_next_multiple_of(8)
}

/// A cursor that fails, as [`ErrorKind::Corrupt`], where the bytes end.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { bytes, at: 0, what }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Passes over `n` bytes and returns where they begin.
    pub(crate) fn skip(&mut self, n: usize) -> Result<usize> {
        if n > self.remaining() {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!("{}: {n} bytes wanted at byte {}, {} are left", self.what, self.at, self.remaining()),
            ));
        }
        let at = self.at;
        self.at += n;
        Ok(at)
    }

    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let at = self.skip(n)?;
        Ok(&self.bytes[at..at + n])
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        let at = self.skip(4)?;
        Ok(u32_at(self.bytes, at))
    }

    /// Passes over the zero bytes up to the next multiple of 8.
    pub(crate) fn pad(&mut self) -> Result<()> {
        let n = self.at.wrapping_neg() % 8;
        if self.take(n)?.iter().any(|&b| b != 0) {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!("{}: padding before byte {} is not zero", self.what, self.at),
            ));
        }
        Ok(())
    }
}

/// A cursor over an output whose size was computed beforehand.
///
/// Running over its end is a fault of the computation and is reported as such.
pub(crate) struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut [u8]) -> Self {
        Self { out, at: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let (at, len) = (self.at, self.out.len());
        let Some(room) = self.out.get_mut(at..at + bytes.len()) else {
            return Err(Error::new(
                ErrorKind::Internal,
                format!("descriptor: {} bytes at {at} do not fit the computed length {len}", bytes.len()),
            ));
        };
        room.copy_from_slice(bytes);
        self.at += bytes.len();
        Ok(())
    }

    pub(crate) fn u32(&mut self, v: u32) -> Result<()> {
        self.bytes(&v.to_le_bytes())
    }

    pub(crate) fn u64(&mut self, v: u64) -> Result<()> {
        self.bytes(&v.to_le_bytes())
    }

    pub(crate) fn pad(&mut self) -> Result<()> {
        let n = self.at.wrapping_neg() % 8;
        self.bytes(&[0; 8][..n])
    }
}
