//! Which way through the card: its network ports, and the 1 TiB sections of its address space.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::units::TIB;

/// The network ports that a link uses. Both: transactions take turns (the design's bonding).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ports {
    /// Port 0 alone.
    Zero,
    /// Port 1 alone.
    One,
    /// Both ports to the same peer.
    Both,
}

impl Ports {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Zero, Self::One, Self::Both];

    /// Bit x stands for port x: both the one-hot network id and the Aurora channels to take out of reset.
    #[must_use]
    pub const fn bits(self) -> u64 {
        match self {
            Ports::Zero => 1,
            Ports::One => 2,
            Ports::Both => 3,
        }
    }

    /// The ports of these bits.
    pub(super) const fn of_bits(bits: u64) -> Option<Self> {
        match bits {
            1 => Some(Ports::Zero),
            2 => Some(Ports::One),
            3 => Some(Ports::Both),
            _ => None,
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ports::Zero => "0",
            Ports::One => "1",
            Ports::Both => "both",
        })
    }
}

impl FromStr for Ports {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|ports| ports.to_string() == text).ok_or_else(|| {
            Error::new(ErrorKind::InvalidArgument, format!("port {text:?}: write 0, 1 or both"))
        })
    }
}

/// One of the eight sections of 1 TiB that the compute side's address space is cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Section(u8);

impl Section {
    /// Sections there are.
    pub const COUNT: u8 = 8;
    /// Bytes of a section; fixed when the card's image is built.
    pub const BYTES: u64 = TIB;

    /// Section `number`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] from 8 on.
    pub fn new(number: u64) -> Result<Self> {
        match u8::try_from(number) {
            Ok(small) if small < Self::COUNT => Ok(Self(small)),
            _ => {
                let text = format!("section {number}: the card has sections 0 to {}", Self::COUNT - 1);
                Err(Error::new(ErrorKind::InvalidArgument, text))
            }
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Where it begins in the card's address space, and so in `/dev/tfshmem`: `number` times 1 TiB, in bytes.
    #[must_use]
    pub const fn start_off(self) -> u64 {
        self.0 as u64 * Self::BYTES
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
