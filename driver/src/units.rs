//! Sizes as people write them: `64M` in, `64.0 MiB` out. All units are powers of 1024.

use crate::error::{Error, ErrorKind, Result};

/// One kibibyte in bytes.
pub const KIB: u64 = 1 << 10;
/// One mebibyte in bytes.
pub const MIB: u64 = 1 << 20;
/// One gibibyte in bytes.
pub const GIB: u64 = 1 << 30;
/// One tebibyte in bytes.
pub const TIB: u64 = 1 << 40;

const SUFFIXES: [(&str, u64); 5] = [("", 1), ("K", KIB), ("M", MIB), ("G", GIB), ("T", TIB)];

/// A size or offset as an index. Lossless: machines are 64-bit, lib.rs sees to it.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "usize has 64 bits")]
pub(crate) const fn index(value: u64) -> usize {
    value as usize
}

/// Parses a size: a whole number of bytes, or of `K`, `M`, `G`, `T` (also `KiB`, `KB`, in any case).
///
/// # Errors
/// [`ErrorKind::BadSize`] for anything else, and for more than 2^64 - 1 bytes.
pub fn parse_size(text: &str) -> Result<u64> {
    let bad = |why: &str| {
        Error::new(
            ErrorKind::BadSize,
            format!("size {text:?} {why}; write a whole number with K, M, G or T, as in 512M"),
        )
    };
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = unit.to_ascii_uppercase();
    let unit = unit.strip_suffix("IB").or_else(|| unit.strip_suffix('B')).unwrap_or(&unit);
    let number: u64 = number.parse().map_err(|_| bad("is not a number"))?;
    let (_, scale) =
        SUFFIXES.iter().find(|(suffix, _)| *suffix == unit).ok_or_else(|| bad("has an unknown unit"))?;
    number.checked_mul(*scale).ok_or_else(|| bad("is more than 64 bits hold"))
}

/// Writes a size for people: three digits and a binary unit.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < KIB {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse() {
        for (text, bytes) in
            [("0", 0), ("4096", 4096), ("64K", 64 * KIB), ("2m", 2 * MIB), ("3GiB", 3 * GIB), ("1TB", TIB)]
        {
            assert_eq!(parse_size(text).ok(), Some(bytes), "{text}");
        }
        for text in ["", "G", "1.5G", "-1", "1X", "99999999999999999999", "18446744073709551615K"] {
            assert_eq!(parse_size(text).map_err(|e| e.kind()), Err(ErrorKind::BadSize), "{text}");
        }
    }

    #[test]
    fn sizes_print() {
        assert_eq!(format_size(17), "17 B");
        assert_eq!(format_size(1536), "1.5 KiB");
        assert_eq!(format_size(3 * GIB), "3.0 GiB");
    }
}
