//! Format strings of the C Data Interface, and the physical layout each one means.
//!
//! A layout says which buffers an array has, how many bytes each needs for a
//! number of rows, how each is aligned, and how many children there are. The
//! logical part (time zone, decimal scale) is checked for spelling and stays in
//! the string, which is all that a descriptor keeps.

use crate::error::{Error, ErrorKind, Result};

/// The physical layout of one array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// No buffer at all; every row is null.
    Null,
    /// One bit a row.
    Bits,
    /// An integer: also what dictionary indices and run ends are made of.
    Int {
        /// 1, 2, 4 or 8.
        width_bytes: u8,
        /// Two's complement or unsigned.
        signed: bool,
    },
    /// Any other value of fixed width.
    Fixed {
        /// Bytes a row; 0 is legal for `w:0`.
        width_bytes: u32,
        /// What readers may expect of the buffer's address.
        align_bytes: u8,
    },
    /// Offsets and bytes.
    Binary {
        /// 64-bit offsets.
        wide: bool,
        /// The bytes are UTF-8.
        utf8: bool,
    },
    /// 16-byte views and any number of data buffers.
    View {
        /// The bytes are UTF-8.
        utf8: bool,
    },
    /// Offsets into the child.
    List {
        /// 64-bit offsets.
        wide: bool,
    },
    /// Offsets and sizes into the child.
    ListView {
        /// 64-bit offsets and sizes.
        wide: bool,
    },
    /// `size` rows of the child a row.
    FixedList {
        /// Child rows a row.
        size: u32,
    },
    /// One child a field.
    Struct,
    /// A list of key-value structs.
    Map,
    /// A type id a row; one child a type.
    Union {
        /// The row's place in the child is in a second buffer, not the row number.
        dense: bool,
        /// Number of type ids, and so of children.
        n_types: u8,
    },
    /// Run ends and values.
    RunEnd,
}

/// What one buffer of an array holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferKind {
    /// One bit a row, set where the row is not null. The only buffer that may be absent.
    Validity,
    /// One bit a row.
    Bits,
    /// Values of fixed width.
    Fixed {
        /// Bytes a row.
        width_bytes: u32,
        /// Alignment of the first byte.
        align_bytes: u8,
    },
    /// One more offset than rows; none for no rows.
    Offsets {
        /// 64-bit offsets.
        wide: bool,
    },
    /// Bytes that offsets or views point into: their number is not a function of the rows.
    Data,
}

/// How many children a layout has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Children {
    /// Exactly so many.
    Exactly(u32),
    /// Any number.
    Any,
}

const fn word(wide: bool) -> BufferKind {
    let width = if wide { 8 } else { 4 };
    BufferKind::Fixed { width_bytes: width as u32, align_bytes: width }
}

impl Layout {
    /// Parses a format string.
    ///
    /// # Errors
    /// [`ErrorKind::BadArrow`], quoting the string.
    pub fn parse(format: &str) -> Result<Self> {
        parse(format).ok_or_else(|| {
            Error::new(
                ErrorKind::BadArrow,
                format!(
                    "format string \"{}\" is not one of the Arrow C Data Interface",
                    format.escape_debug()
                ),
            )
        })
    }

    /// Whether the first buffer is a validity bitmap.
    #[must_use]
    pub const fn has_validity(self) -> bool {
        !matches!(self, Layout::Null | Layout::Union { .. } | Layout::RunEnd)
    }

    /// Number of buffers; for views the number without data buffers.
    ///
    /// The buffer of sizes that views carry in the C Data Interface is not
    /// counted: it is made anew from the buffers' lengths.
    #[must_use]
    pub const fn n_buffers(self) -> u32 {
        match self {
            Layout::Null | Layout::RunEnd => 0,
            Layout::FixedList { .. } | Layout::Struct | Layout::Union { dense: false, .. } => 1,
            Layout::Binary { .. } | Layout::ListView { .. } => 3,
            _ => 2,
        }
    }

    /// What buffer number `k` holds. Past [`n_buffers`](Self::n_buffers) it is view data.
    #[must_use]
    pub const fn buffer(self, k: u32) -> BufferKind {
        if k == 0 && self.has_validity() {
            return BufferKind::Validity;
        }
        match (self, k) {
            (Layout::Bits, _) => BufferKind::Bits,
            (Layout::Int { width_bytes, .. }, _) => {
                BufferKind::Fixed { width_bytes: width_bytes as u32, align_bytes: width_bytes }
            }
            (Layout::Fixed { width_bytes, align_bytes }, _) => BufferKind::Fixed { width_bytes, align_bytes },
            (Layout::Binary { wide, .. } | Layout::List { wide }, 1) => BufferKind::Offsets { wide },
            (Layout::Map, _) => BufferKind::Offsets { wide: false },
            (Layout::View { .. }, 1) => BufferKind::Fixed { width_bytes: 16, align_bytes: 16 },
            (Layout::ListView { wide }, _) => word(wide),
            (Layout::Union { .. }, 0) => BufferKind::Fixed { width_bytes: 1, align_bytes: 1 },
            (Layout::Union { .. }, _) => word(false),
            _ => BufferKind::Data,
        }
    }

    /// How many children an array of this layout has.
    #[must_use]
    pub const fn children(self) -> Children {
        match self {
            Layout::Struct => Children::Any,
            Layout::List { .. } | Layout::ListView { .. } | Layout::FixedList { .. } | Layout::Map => {
                Children::Exactly(1)
            }
            Layout::RunEnd => Children::Exactly(2),
            Layout::Union { n_types, .. } => Children::Exactly(n_types as u32),
            _ => Children::Exactly(0),
        }
    }
}

impl BufferKind {
    /// The bytes that `rows` rows (offset plus length) need; `None` if they cannot be counted in 63 bits.
    #[must_use]
    pub fn needed_bytes(self, rows: u64) -> Option<u64> {
        let bytes = match self {
            BufferKind::Validity | BufferKind::Bits => rows.div_ceil(8),
            BufferKind::Fixed { width_bytes, .. } => rows.checked_mul(u64::from(width_bytes))?,
            BufferKind::Offsets { .. } if rows == 0 => 0,
            BufferKind::Offsets { wide } => rows.checked_add(1)?.checked_mul(if wide { 8 } else { 4 })?,
            BufferKind::Data => 0,
        };
        (bytes <= i64::MAX as u64).then_some(bytes)
    }

    /// The alignment that readers may rely on.
    #[must_use]
    pub const fn align_bytes(self) -> u32 {
        match self {
            BufferKind::Validity | BufferKind::Bits | BufferKind::Data => 1,
            BufferKind::Fixed { align_bytes, .. } => align_bytes as u32,
            BufferKind::Offsets { wide: false } => 4,
            BufferKind::Offsets { wide: true } => 8,
        }
    }
}

const fn int(width_bytes: u8, signed: bool) -> Layout {
    Layout::Int { width_bytes, signed }
}

const fn fixed(width_bytes: u32, align_bytes: u8) -> Layout {
    Layout::Fixed { width_bytes, align_bytes }
}

fn parse(format: &str) -> Option<Layout> {
    Some(match format {
        "n" => Layout::Null,
        "b" => Layout::Bits,
        "c" => int(1, true),
        "C" => int(1, false),
        "s" => int(2, true),
        "S" => int(2, false),
        "i" => int(4, true),
        "I" => int(4, false),
        "l" => int(8, true),
        "L" => int(8, false),
        "e" => fixed(2, 2),
        "f" | "tdD" | "tts" | "ttm" | "tiM" => fixed(4, 4),
        "g" | "tdm" | "ttu" | "ttn" | "tDs" | "tDm" | "tDu" | "tDn" | "tiD" => fixed(8, 8),
        "tin" => fixed(16, 8),
        "z" => Layout::Binary { wide: false, utf8: false },
        "Z" => Layout::Binary { wide: true, utf8: false },
        "u" => Layout::Binary { wide: false, utf8: true },
        "U" => Layout::Binary { wide: true, utf8: true },
        "vz" => Layout::View { utf8: false },
        "vu" => Layout::View { utf8: true },
        "+l" => Layout::List { wide: false },
        "+L" => Layout::List { wide: true },
        "+vl" => Layout::ListView { wide: false },
        "+vL" => Layout::ListView { wide: true },
        "+s" => Layout::Struct,
        "+m" => Layout::Map,
        "+r" => Layout::RunEnd,
        _ => return parse_with_arguments(format),
    })
}

fn parse_with_arguments(format: &str) -> Option<Layout> {
    let (kind, argument) = format.split_once(':')?;
    Some(match kind {
        // The zone is any text: readers that do not know it keep it.
        "tss" | "tsm" | "tsu" | "tsn" => fixed(8, 8),
        "w" => fixed(size(argument)?, 1),
        "+w" => Layout::FixedList { size: size(argument)? },
        "d" => decimal(argument)?,
        "+ud" | "+us" => Layout::Union { dense: kind == "+ud", n_types: count_type_ids(format)? },
        _ => return None,
    })
}

/// A size of the C Data Interface: an `int32_t` that is not negative.
fn size(text: &str) -> Option<u32> {
    number(text).and_then(|n| u32::try_from(n).ok())
}

/// A decimal number without blanks or plus sign.
fn number(text: &str) -> Option<i32> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

fn decimal(argument: &str) -> Option<Layout> {
    let mut parts = argument.split(',');
    let precision = number(parts.next()?)?;
    let _scale = number(parts.next()?)?;
    let bits = parts.next().map_or(Some(128), number)?;
    let (layout, most) = match bits {
        32 => (fixed(4, 4), 9),
        64 => (fixed(8, 8), 18),
        // 16: Rust's i128; readers that find less copy the buffer.
        128 => (fixed(16, 16), 38),
        256 => (fixed(32, 16), 76),
        _ => return None,
    };
    (parts.next().is_none() && (1..=most).contains(&precision)).then_some(layout)
}

/// The type ids of a union, in the order of its children; `format` is a union's.
pub(crate) fn type_ids(format: &str) -> impl Iterator<Item = Option<i8>> + '_ {
    let ids = format.split_once(':').map_or("", |(_, ids)| ids);
    ids.split(',').filter(move |_| !ids.is_empty()).map(|id| number(id).and_then(|n| i8::try_from(n).ok()))
}

/// The number of type ids, if each is in 0..=127 and none is there twice.
fn count_type_ids(format: &str) -> Option<u8> {
    let mut seen = 0u128;
    let mut n = 0;
    for id in type_ids(format) {
        let bit = 1u128 << u32::try_from(id?).ok()?;
        if seen & bit != 0 {
            return None;
        }
        seen |= bit;
        n += 1;
    }
    Some(n)
}
