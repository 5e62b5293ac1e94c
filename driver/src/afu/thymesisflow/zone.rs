//! The link zone: the last 2 MiB of a window, where the two sides tell each other whether they are attached.
//!
//! | offset | written by | holds |
//! |---|---|---|
//! | 0x0000 | memory side | its mark |
//! | 0x0080 | compute side | its mark |
//! | 0x1000 | memory side | known answers, 32 lines |
//! | 0x2000 | compute side | known answers, 32 lines |
//!
//! One writer a line. A mark is eight words, in the half of a line that travels whole on every machine; a checksum tells a
//! mark from the bytes of a link that is not up. A zone of zeroes is one that nobody has marked.

use std::fmt;
use std::time::Duration;

use crate::afu::thymesisflow::line::{LINE_BYTES, Line, LinkMemory};
use crate::afu::thymesisflow::ports::{Ports, Section};
use crate::error::{Error, ErrorKind, Result};
use crate::units::MIB;

/// Bytes of the link zone, at the end of a window.
pub const ZONE_BYTES: u64 = 2 * MIB;

const ANSWER_LINES: u64 = 32;
const MAGIC: u64 = u64::from_le_bytes(*b"csm link");

/// One of the two ends of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The lender.
    Memory,
    /// The borrower.
    Compute,
}

impl Side {
    const fn mark_off(self) -> u64 {
        match self {
            Side::Memory => 0,
            Side::Compute => LINE_BYTES,
        }
    }

    const fn answers_off(self) -> u64 {
        match self {
            Side::Memory => 0x1000,
            Side::Compute => 0x2000,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Memory => "memory side",
            Side::Compute => "compute side",
        })
    }
}

/// What a side's line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkState {
    /// It was never attached since the window was made.
    Never,
    /// It is attached, or died attached.
    Attached,
    /// It was attached and has detached.
    Detached,
}

/// A side's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Whether it is attached.
    pub state: LinkState,
    /// Changes with each attachment; known answers are made of it.
    pub nonce: u64,
    /// Where the lender's window begins, as this side knows it.
    pub ea: u64,
    /// Bytes of the window, the zone included, as this side knows it.
    pub len_bytes: u64,
    /// The compute side's section.
    pub section: Option<Section>,
    /// The ports this side uses.
    pub ports: Option<Ports>,
    /// How often this line was written.
    pub count: u64,
}

impl Mark {
    const NEVER: Self =
        Self { state: LinkState::Never, nonce: 0, ea: 0, len_bytes: 0, section: None, ports: None, count: 0 };

    fn to_line(self) -> Line {
        let section = self.section.map_or(0xff, |section| u64::from(section.number()));
        let state = match self.state {
            LinkState::Never => 0,
            LinkState::Attached => 1,
            LinkState::Detached => 2,
        };
        let mut line = Line::default();
        let ports = self.ports.map_or(0, Ports::bits);
        let words = [MAGIC, state, self.nonce, self.ea, self.len_bytes, section << 8 | ports, self.count];
        line[..7].copy_from_slice(&words);
        line[7] = checksum(&line);
        line
    }

    /// None where the bytes are no mark.
    fn of_line(line: &Line) -> Option<Self> {
        if line[..8] == [0; 8] {
            return Some(Self::NEVER);
        }
        if line[0] != MAGIC || line[7] != checksum(line) {
            return None;
        }
        let state = match line[1] {
            0 => LinkState::Never,
            1 => LinkState::Attached,
            2 => LinkState::Detached,
            _ => return None,
        };
        let (nonce, ea, len_bytes) = (line[2], line[3], line[4]);
        let (section, ports) = (Section::new(line[5] >> 8).ok(), Ports::of_bits(line[5] & 0xff));
        Some(Self { state, nonce, ea, len_bytes, section, ports, count: line[6] })
    }
}

fn checksum(line: &Line) -> u64 {
    let mut hasher = crc32fast::Hasher::new();
    line[..7].iter().for_each(|word| hasher.update(&word.to_le_bytes()));
    // Never 0, whatever the words.
    u64::from(hasher.finalize()) | 1 << 32
}

/// The word that stands in place `n` of known answer line `which` of an attachment: no two are alike, so that a line that
/// came from elsewhere is not taken for the right one.
fn answer(nonce: u64, which: u64, n: u64) -> u64 {
    // The finalizer of splitmix64: every bit of the input moves half of the output's, so that a stuck lane shows.
    let mut x = nonce.wrapping_add((which * 16 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

fn answer_line(nonce: u64, which: u64) -> Line {
    let mut line = Line::default();
    (0..).zip(&mut line).for_each(|(n, word)| *word = answer(nonce, which, n));
    line
}

/// Reads a side's line. None where it is no mark: the link is not up, or the line is being written.
pub(super) fn read_mark(zone: &mut dyn LinkMemory, side: Side) -> Result<Option<Mark>> {
    Ok(Mark::of_line(&zone.load(side.mark_off())?))
}

/// As [`read_mark`], where the link may not be up: see [`LinkMemory::look`].
pub(super) fn look_for_mark(
    zone: &mut dyn LinkMemory,
    side: Side,
    patience: Duration,
    going: &mut dyn FnMut() -> bool,
) -> Result<Option<Mark>> {
    Ok(Mark::of_line(&zone.look(side.mark_off(), patience, going)?))
}

/// Writes this side's line home, and reads it back from there.
///
/// # Errors
/// Where what came back is not what was written.
pub(super) fn write_mark(zone: &mut dyn LinkMemory, side: Side, mark: Mark) -> Result<()> {
    zone.store(side.mark_off(), &mark.to_line())?;
    if zone.load(side.mark_off())? == mark.to_line() {
        return Ok(());
    }
    let text =
        format!("the {side}'s line of the link zone did not come back as it was written: is the link up?");
    Err(Error::new(ErrorKind::Corrupt, text))
}

/// Writes this side's known answers home.
pub(super) fn write_answers(zone: &mut dyn LinkMemory, side: Side, nonce: u64) -> Result<()> {
    (0..ANSWER_LINES)
        .try_for_each(|n| zone.store(side.answers_off() + n * LINE_BYTES, &answer_line(nonce, n)))
}

/// How many lines of a side's known answers are wrong.
pub(super) fn wrong_answers(zone: &mut dyn LinkMemory, side: Side, nonce: u64) -> Result<u64> {
    let mut wrong = 0;
    for n in 0..ANSWER_LINES {
        wrong += u64::from(zone.load(side.answers_off() + n * LINE_BYTES)? != answer_line(nonce, n));
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark() -> Mark {
        Mark {
            state: LinkState::Attached,
            nonce: 7,
            ea: 0x4000_0000_0000,
            len_bytes: 4 * MIB,
            section: Some(Section::new(3).unwrap()),
            ports: Some(Ports::Both),
            count: 9,
        }
    }

    #[test]
    fn a_mark_comes_back_and_no_flipped_bit_is_one() {
        let line = mark().to_line();
        assert_eq!(Mark::of_line(&line), Some(mark()));
        assert_eq!(line[8..], [0; 8]);
        for bit in 0..512 {
            let mut bad = line;
            bad[bit / 64] ^= 1 << (bit % 64);
            assert_eq!(Mark::of_line(&bad), None, "bit {bit}");
        }
        assert_eq!(Mark::of_line(&[u64::MAX; 16]), None);
        assert_eq!(Mark::of_line(&[0; 16]).unwrap().state, LinkState::Never);
    }

    #[test]
    fn no_two_answers_are_alike() {
        let words = [1, 2, u64::MAX]
            .into_iter()
            .flat_map(|nonce| (0..ANSWER_LINES).flat_map(move |n| answer_line(nonce, n)))
            .collect::<std::collections::HashSet<_>>();
        assert_eq!(words.len(), 3 * 16 * 32);
    }
}
