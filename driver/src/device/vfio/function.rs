//! A PCI function that is open in this process, and what it has: BARs, configuration space, vectors.
//!
//! One process may open a function once, and needs it several times: to look at a region's superblock, to map the
//! region, to ring its doorbell. So what is open is shared, and closed when the last user is gone.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use vfio_bindings::bindings::vfio as sys;

use super::address::PciAddress;
use super::group::Group;
use super::lend;
use super::sysfs::{Facts, Roots};
use super::uapi::{self, Part};
use super::users::users_of;
use crate::error::{Error, ErrorKind, Result};

/// How long a group that is in use is waited for: who ends or closes a region gives it back in moments, this process's
/// other threads included.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);

/// Configuration space: vendor, device, command.
const CONFIG_IDS: u64 = 0;
const CONFIG_COMMAND: u64 = 4;
const COMMAND_MEMORY: u16 = 1 << 1;
const COMMAND_MASTER: u16 = 1 << 2;

/// What keeps a function open.
#[derive(Debug)]
pub(super) enum Keep {
    /// This process has its group.
    Group(Arc<Group>),
    /// Another one has, and lends the function as long as this connection is open.
    Lent(#[expect(dead_code, reason = "kept, not looked at")] OwnedFd),
}

/// An open PCI function.
#[derive(Debug)]
pub(crate) struct Function {
    // Closed in this order.
    pub(super) file: File,
    keep: Keep,
    pub(super) address: PciAddress,
    pub(super) group: u32,
    /// Its driver, where it is a variant of vfio-pci.
    pub(super) variant: Option<String>,
    config: Part,
    /// Whether somebody in this process has its vectors.
    pub(super) vectors_taken: AtomicBool,
}

/// What this process has open.
struct Open {
    functions: Vec<(PciAddress, Weak<Function>)>,
    groups: Vec<(u32, Weak<Group>)>,
}

static OPEN: Mutex<Open> = Mutex::new(Open { functions: Vec::new(), groups: Vec::new() });

/// The function at `address`: the one that is open in this process, else of its own group, else lent by a holder.
pub(super) fn open(roots: &Roots, address: PciAddress) -> Result<Arc<Function>> {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.functions.retain(|(_, function)| function.strong_count() > 0);
    if let Some(function) =
        open.functions.iter().find_map(|(at, weak)| (*at == address).then(|| weak.upgrade())?)
    {
        return Ok(function);
    }
    let facts = Facts::read(roots, address)?;
    let (file, keep) = reach(roots, &facts, &mut open)?;
    let function = Arc::new(Function::new(file, keep, &facts)?);
    open.functions.push((address, Arc::downgrade(&function)));
    Ok(function)
}

/// A descriptor of the function.
fn reach(roots: &Roots, facts: &Facts, open: &mut Open) -> Result<(File, Keep)> {
    let (address, number) = (facts.address, facts.group);
    open.groups.retain(|(_, group)| group.strong_count() > 0);
    if let Some(group) =
        open.groups.iter().find_map(|(group, weak)| (*group == number).then(|| weak.upgrade())?)
    {
        return Ok((group.device(address)?, Keep::Group(group)));
    }
    let socket = lend::socket_path(&roots.run, number);
    let deadline = Instant::now() + PATIENCE;
    loop {
        // The holder first: where there is one, the group cannot be had.
        if let Some((device, connection)) = lend::borrow(&socket, address)? {
            return Ok((device.into(), Keep::Lent(connection)));
        }
        if let Some(group) = Group::open(roots, facts)? {
            let group = Arc::new(group);
            let device = group.device(address)?;
            open.groups.push((number, Arc::downgrade(&group)));
            return Ok((device, Keep::Group(group)));
        }
        if Instant::now() >= deadline {
            let text = format!(
                "IOMMU group {number} of PCI device {address} is in use: {}; the kernel gives a group to one process alone: end that one, and for several start csm-bringup attach 'vfio:{address}' first, which lends it",
                users_of(roots, number)
            );
            return Err(Error::new(ErrorKind::InUse, text));
        }
        std::thread::sleep(PAUSE);
    }
}

impl Function {
    fn new(file: File, keep: Keep, facts: &Facts) -> Result<Self> {
        let address = facts.address;
        if !uapi::is_pci_device(&file)? {
            let text = format!("what was opened as {address} is a VFIO device, but not on the PCI bus");
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        let config = uapi::part(&file, sys::VFIO_PCI_CONFIG_REGION_INDEX)?;
        let this = Self {
            file,
            keep,
            address,
            group: facts.group,
            variant: facts.variant().map(ToOwned::to_owned),
            config,
            vectors_taken: AtomicBool::new(false),
        };
        // A BAR whose decoding is off is a SIGBUS.
        this.command(COMMAND_MEMORY, true)?;
        Ok(this)
    }

    /// A descriptor of this function, or of another one of its group, for another process.
    pub(super) fn open_beside(&self, other: PciAddress) -> Result<OwnedFd> {
        match &self.keep {
            Keep::Group(group) if other != self.address => group.device(other).map(OwnedFd::from),
            _ => self.file.try_clone().map(OwnedFd::from).map_err(|e| {
                Error::system(format_args!("dup(PCI device {other})"), e.raw_os_error().unwrap_or(0))
            }),
        }
    }

    /// BAR `index`, 0 to 5.
    pub(super) fn bar(&self, index: u32) -> Result<Part> {
        uapi::part(&self.file, sys::VFIO_PCI_BAR0_REGION_INDEX + index)
    }

    /// Whether the group is this process's own.
    pub(super) fn is_own(&self) -> bool {
        matches!(self.keep, Keep::Group(_))
    }

    /// Vendor and device.
    pub(super) fn ids(&self) -> Result<(u16, u16)> {
        let mut ids = [0; 4];
        self.read(&self.config, CONFIG_IDS, &mut ids)?;
        Ok((u16::from_le_bytes([ids[0], ids[1]]), u16::from_le_bytes([ids[2], ids[3]])))
    }

    /// Lets the device send interrupts (which are writes of its own), or no more.
    pub(super) fn set_master(&self, on: bool) -> Result<()> {
        self.command(COMMAND_MASTER, on)
    }

    /// Sets or clears a bit of the command register.
    fn command(&self, bit: u16, on: bool) -> Result<()> {
        let mut bytes = [0; 2];
        self.read(&self.config, CONFIG_COMMAND, &mut bytes)?;
        let command = u16::from_le_bytes(bytes);
        let wanted = if on { command | bit } else { command & !bit };
        if wanted == command {
            return Ok(());
        }
        self.write(&self.config, CONFIG_COMMAND, &wanted.to_le_bytes())
    }

    /// Reads registers of a part: one access, of 1, 2 or 4 bytes, where `off` is aligned to it.
    pub(super) fn read(&self, part: &Part, off: u64, bytes: &mut [u8]) -> Result<()> {
        let call = || format!("pread(PCI device {}, {} bytes at {off:#x})", self.address, bytes.len());
        check_inside(part, off, bytes.len()).map_err(|e| e.context(call()))?;
        let (call, at) = (call(), part.file_off + off);
        self.file
            .read_exact_at(bytes, at)
            .map_err(|e| Error::system(call, e.raw_os_error().unwrap_or(libc::EIO)))
    }

    /// Writes registers, as [`Self::read`] reads them.
    pub(super) fn write(&self, part: &Part, off: u64, bytes: &[u8]) -> Result<()> {
        let call = || format!("pwrite(PCI device {}, {} bytes at {off:#x})", self.address, bytes.len());
        check_inside(part, off, bytes.len()).map_err(|e| e.context(call()))?;
        self.file
            .write_all_at(bytes, part.file_off + off)
            .map_err(|e| Error::system(call(), e.raw_os_error().unwrap_or(libc::EIO)))
    }

    /// Takes the vectors for one user in this process.
    pub(super) fn take_vectors(&self) -> Result<()> {
        if self.vectors_taken.swap(true, Ordering::AcqRel) {
            let text = format!("the interrupts of PCI device {} are taken in this process", self.address);
            return Err(Error::new(ErrorKind::InUse, text));
        }
        Ok(())
    }
}

fn check_inside(part: &Part, off: u64, len: usize) -> Result<()> {
    let end = off.checked_add(len as u64);
    if end.is_some_and(|end| end <= part.size_bytes) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidArgument, format!("there are {} bytes", part.size_bytes)))
}
