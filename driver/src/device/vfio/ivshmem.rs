//! One concrete doorbell: QEMU's `ivshmem-doorbell`, shared memory whose BAR 0 interrupts the other guests.
//!
//! Registers: docs/specs/ivshmem-spec.rst of QEMU. 32 bits each, little-endian: 8 is this peer's id (read), 12 the
//! doorbell (write): the peer's id in the upper half, the vector in the lower one.

use std::sync::Arc;

use super::function::Function;
use super::uapi::Part;
use crate::error::{Error, ErrorKind, Result};

/// Vendor and device of all kinds of ivshmem.
const IDS: (u16, u16) = (0x1af4, 0x1110);
const REGISTERS_BAR: u32 = 0;
const POSITION_OFF: u64 = 8;
const DOORBELL_OFF: u64 = 12;

/// The doorbell of an ivshmem device: rings another guest, whose `Interrupts` count it.
///
/// May be used from several threads at once.
#[derive(Debug)]
pub struct Doorbell {
    function: Arc<Function>,
    registers: Part,
}

impl Doorbell {
    pub(super) fn new(function: Arc<Function>) -> Result<Self> {
        let ids = function.ids()?;
        if ids != IDS {
            let text = format!(
                "PCI device {} is {:04x}:{:04x}; the doorbell that is known here is ivshmem's, {:04x}:{:04x}",
                function.address, ids.0, ids.1, IDS.0, IDS.1
            );
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        let registers = function.bar(REGISTERS_BAR)?;
        Ok(Self { function, registers })
    }

    /// This guest's id: what others ring it by. The server of the doorbells gives it.
    ///
    /// # Errors
    /// Where the device is gone.
    pub fn id(&self) -> Result<u16> {
        let mut bytes = [0; 4];
        self.function.read(&self.registers, POSITION_OFF, &mut bytes)?;
        let id = u32::from_le_bytes(bytes);
        u16::try_from(id).map_err(|_| {
            let text = format!("ivshmem device {} has no id yet ({id:#x})", self.function.address);
            Error::new(ErrorKind::Unsupported, text)
        })
    }

    /// Raises `vector` at the guest `peer`. A peer or vector that is not there hears nothing, and nobody says so.
    ///
    /// # Errors
    /// Where the device is gone.
    pub fn ring(&self, peer: u16, vector: u16) -> Result<()> {
        let value = u32::from(peer) << 16 | u32::from(vector);
        self.function.write(&self.registers, DOORBELL_OFF, &value.to_le_bytes())
    }
}
