//! ThymesisFlow's registers: 64 bits each, little-endian, in the AFU's global MMIO area.
//!
//! Source: "ThymesisFlow Design and Deployment v1.1", figure 12, and what the public design's register file
//! (`rmem_mmio_regs.v`) adds: the latency register is cleared by the read as well, and there is **no register that tells
//! whether a channel has trained** (the status inputs of the released image are not connected).

use crate::afu::mmio::{Endian, Mmio};
use crate::afu::thymesisflow::ports::{Ports, Section};
use crate::error::{Error, ErrorKind, Result};
use crate::units::TIB;

/// The least bytes of a ThymesisFlow AFU's global MMIO area. The public design's has 512 KiB.
pub const GLOBAL_MMIO_BYTES_MIN: u64 = 0x300;

/// A register of the global MMIO area.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Register {
    /// Memory side: bit 0 initialises the tag FIFO and sends ACTAG, without which the AFU masters nothing.
    Control,
    /// Compute side: where a section leads to and through which ports. See [`section_value`].
    Section(Section),
    /// Outgoing flits of 32 bytes; cleared by the read.
    TxFlits,
    /// Incoming flits of 32 bytes; cleared by the read.
    RxFlits,
    /// Compute side: round trips, see [`Latency`]; cleared by the read.
    Latency,
    /// Bit x takes Aurora channel x out of reset; 0 resets it.
    AuroraReset,
}

impl Register {
    /// Offset in the global MMIO area, in bytes.
    #[must_use]
    pub const fn off(self) -> u64 {
        match self {
            Register::Control => 0x00,
            Register::Section(section) => 0x20 + 8 * section.number() as u64,
            Register::TxFlits => 0x60,
            Register::RxFlits => 0x68,
            Register::Latency => 0x70,
            Register::AuroraReset => 0x78,
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// Where the area is too short or cannot be reached.
    pub fn read(self, mmio: &mut dyn Mmio) -> Result<u64> {
        mmio.read64(self.off(), Endian::Little)
    }

    /// Writes it.
    ///
    /// # Errors
    /// As [`Register::read`].
    pub fn write(self, mmio: &mut dyn Mmio, value: u64) -> Result<()> {
        mmio.write64(self.off(), Endian::Little, value)
    }
}

/// [`Register::Control`]: initialise the tag FIFO and send ACTAG.
pub(super) const CONTROL_TEST_ENABLE: u64 = 1 << 0;

/// Bits of a section's value that name ports; an address has them zero.
const NETID_MASK: u64 = 0x3f;

/// Bytes of what the link moves at once: no address is aligned less.
const TRANSACTION_BYTES: u64 = 128;

/// The value of a section's register: the card adds its upper 58 bits to the address of a transaction, which counts from
/// the start of section 0, and sends it by the lower 6. So it is `ea` less the section's start (modulo 2^64: the adder is
/// 64 bits wide), with the ports in the bits that an aligned address leaves free.
///
/// # Errors
/// [`ErrorKind::BadAlignment`] for an `ea` that is no multiple of 128 bytes; [`ErrorKind::BadSize`] for `len_bytes` that is
/// 0, no multiple of 128, longer than a section or beyond the end of addresses.
pub fn section_value(section: Section, ea: u64, len_bytes: u64, ports: Ports) -> Result<u64> {
    if ea == 0 || !ea.is_multiple_of(TRANSACTION_BYTES) {
        let text = format!(
            "effective address {ea:#x}: the lender's window begins at a multiple of {TRANSACTION_BYTES} bytes above 0"
        );
        return Err(Error::new(ErrorKind::BadAlignment, text));
    }
    if len_bytes == 0 || !len_bytes.is_multiple_of(TRANSACTION_BYTES) || len_bytes > TIB {
        let text = format!(
            "a window of {len_bytes} bytes: it is a multiple of {TRANSACTION_BYTES} bytes and fits a section of 1 TiB"
        );
        return Err(Error::new(ErrorKind::BadSize, text));
    }
    if ea.checked_add(len_bytes).is_none() {
        let text = format!("a window of {len_bytes} bytes at {ea:#x} ends beyond the last address");
        return Err(Error::new(ErrorKind::BadSize, text));
    }
    let value = ea.wrapping_sub(section.start_off());
    debug_assert_eq!(value & NETID_MASK, 0);
    Ok(value ^ ports.bits())
}

/// What a latency register said: how many round trips were measured, and how long they took together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Round trips measured: one at a time, so a sample of all.
    pub measurements: u64,
    /// Cycles of the card's clock that they took together.
    pub cycles: u64,
}

impl Latency {
    const CYCLES_BITS: u32 = 37;

    /// Takes the register apart: bits 63 to 37 count, bits 36 to 0 are cycles.
    #[must_use]
    pub const fn of(register: u64) -> Self {
        Self {
            measurements: register >> Self::CYCLES_BITS,
            cycles: register & ((1 << Self::CYCLES_BITS) - 1),
        }
    }

    /// Cycles of the card's clock a round trip took on average; None where none was measured.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an average")]
    pub fn mean_cycles(self) -> Option<f64> {
        (self.measurements != 0).then(|| self.cycles as f64 / self.measurements as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The adder and the router of the public design (`net_cmdfifo.v`).
    fn as_the_card(register: u64, real_off: u64) -> (u64, u64) {
        (real_off.wrapping_add(register & !NETID_MASK), register & NETID_MASK)
    }

    #[test]
    fn offsets_are_the_documents() {
        let sections = (0..8).map(|n| Register::Section(Section::new(n).unwrap()).off());
        assert_eq!(sections.collect::<Vec<_>>(), [0x20, 0x28, 0x30, 0x38, 0x40, 0x48, 0x50, 0x58]);
        let others = [
            Register::Control,
            Register::TxFlits,
            Register::RxFlits,
            Register::Latency,
            Register::AuroraReset,
        ];
        assert_eq!(others.map(Register::off), [0x00, 0x60, 0x68, 0x70, 0x78]);
    }

    #[test]
    fn a_section_leads_to_the_window_through_its_ports() {
        // Below, inside and above what a section's start subtracts: the adder wraps.
        for ea in
            [0x80, 0x7fff_0000_0000, 0x4000_0000_0000, 0x9000_0000_0000, 3 * TIB, u64::MAX - TIB + 1 - 128]
        {
            for number in 0..8 {
                let section = Section::new(number).unwrap();
                for ports in Ports::ALL {
                    let value = section_value(section, ea, 1 << 30, ports).unwrap();
                    let at = section.start_off() + 0x1280;
                    assert_eq!(
                        as_the_card(value, at),
                        (ea + 0x1280, ports.bits()),
                        "{ea:#x} {number} {ports}"
                    );
                }
            }
        }
        let zero = Section::new(0).unwrap();
        assert_eq!(section_value(zero, 0x9000_0000_0000, TIB, Ports::One).unwrap(), 0x9000_0000_0002);
    }

    #[test]
    fn addresses_and_sizes_that_the_link_cannot_do_are_refused() {
        let zero = Section::new(0).unwrap();
        let kind = |ea, len| section_value(zero, ea, len, Ports::Zero).unwrap_err().kind();
        assert_eq!(kind(0x4000_0000_0040, 1 << 30), ErrorKind::BadAlignment);
        assert_eq!(kind(0, 1 << 30), ErrorKind::BadAlignment);
        assert_eq!(kind(0x4000_0000_0000, 0), ErrorKind::BadSize);
        assert_eq!(kind(0x4000_0000_0000, 64), ErrorKind::BadSize);
        assert_eq!(kind(0x4000_0000_0000, TIB + 128), ErrorKind::BadSize);
        assert_eq!(kind(u64::MAX - 127, 128), ErrorKind::BadSize);
        assert_eq!(Section::new(8).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn latency_divides_by_no_zero() {
        assert_eq!(Latency::of(0).mean_cycles(), None);
        assert_eq!(Latency::of((3 << 37) | 390), Latency { measurements: 3, cycles: 390 });
        assert_eq!(Latency::of((3 << 37) | 390).mean_cycles(), Some(130.0));
        assert_eq!(Latency::of(u64::MAX), Latency { measurements: (1 << 27) - 1, cycles: (1 << 37) - 1 });
        assert_eq!(Latency::of(5).mean_cycles(), None);
    }

    #[test]
    fn ports_have_names() {
        for ports in Ports::ALL {
            assert_eq!(ports.to_string().parse::<Ports>().unwrap(), ports);
            assert_eq!(Ports::of_bits(ports.bits()), Some(ports));
        }
        assert!("2".parse::<Ports>().unwrap_err().message().contains("write 0, 1 or both"));
        assert_eq!(Ports::of_bits(4), None);
    }
}
