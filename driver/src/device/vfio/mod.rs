//! `vfio:0000:01:00.0?bar=2`: a PCI device's BAR through the kernel's VFIO, which gives devices to programs safely.
//!
//! Holds the device (`open`), and for programs that want more of it than a window [`Device`], its [`Interrupts`] and
//! [`Doorbell`]; [`Holder`] shares a device among the processes of a host. A window is a BAR (or what of it can be mapped) in
//! the device's file; mapping it is the map room's. Nothing here binds a device: the messages say how.
//!
//! vfio-pci maps every BAR uncached, so a store is home when a load that followed it has come back, and nothing is ever old.
//! On POWER and ARM atomic instructions fail on such memory and no region is kept in it. The write-combining route to the same BAR is
//! `file:/sys/bus/pci/devices/ADDRESS/resource2_wc` (for root; needs no group); cached routes are those of devices made
//! for it: `dax:` for CXL, `thymesisflow:`. A variant driver may map a BAR cached, and the kernel does not tell: its BARs
//! are no windows here, since a read-back would not bring a cached store home.

mod address;
mod function;
mod group;
mod holder;
mod interrupts;
mod ivshmem;
mod lend;
mod sysfs;
mod uapi;
mod users;

use std::ops::Range;
use std::sync::Arc;

pub use self::address::PciAddress;
pub use self::holder::Holder;
pub use self::interrupts::Interrupts;
pub use self::ivshmem::Doorbell;
pub use self::lend::Borrower;

use self::function::Function;
use self::sysfs::Roots;
use super::window::{Place, Window};
use super::{CoherenceReport, MemoryType};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::mem;
use crate::units::format_size;
use crate::uri::{Scheme, Uri};

const BARS: u32 = 6;
const BAR_DEFAULT: u64 = 2;

/// A BAR of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Its number, 0 to 5.
    pub index: u32,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// What of it can be mapped: offsets in bytes, in order. The pages of the MSI-X table may be left out.
    pub mappable: Vec<Range<u64>>,
}

/// A PCI device, open in this process: for its interrupts and doorbell, beside the window that `vfio:` regions map.
#[derive(Clone, Debug)]
pub struct Device(Arc<Function>);

impl Device {
    /// Opens the device that `uri` names (`vfio:0000:01:00.0`, options are not looked at), or shares it with what has it
    /// open in this process, or with the process that holds it.
    ///
    /// # Errors
    /// As for [`Holder::open`].
    pub fn open(uri: &str) -> Result<Self> {
        function::open(&Roots::of_this_machine(), parse(uri)?).map(Self)
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> PciAddress {
        self.0.address
    }

    /// Its BARs: those that are not empty.
    ///
    /// # Errors
    /// Where the device is gone.
    pub fn bars(&self) -> Result<Vec<Bar>> {
        bars_of(&self.0)
    }

    /// MSI-X vectors it has.
    ///
    /// # Errors
    /// Where the device is gone.
    pub fn vectors(&self) -> Result<u32> {
        uapi::vectors(&self.0.file)
    }

    /// Turns the first `vectors` of them on.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] where there are fewer, [`ErrorKind::InUse`] where this process has them already.
    pub fn interrupts(&self, vectors: u32) -> Result<Interrupts> {
        Interrupts::new(self.0.clone(), vectors)
    }

    /// Its doorbell, where it is an ivshmem device.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where it is something else.
    pub fn doorbell(&self) -> Result<Doorbell> {
        Doorbell::new(self.0.clone())
    }
}

/// The device a URI names.
fn parse(uri: &str) -> Result<PciAddress> {
    let uri = Uri::parse(uri)?;
    if uri.scheme() != Scheme::Vfio {
        let text = format!("{:?} is no PCI device; write it as vfio:0000:01:00.0", uri.label());
        return Err(Error::new(ErrorKind::BadUri, text));
    }
    address_of(&uri)
}

fn address_of(uri: &Uri) -> Result<PciAddress> {
    uri.name().parse().map_err(|e: Error| e.context(format_args!("region {:?}", uri.label())))
}

fn bars_of(function: &Function) -> Result<Vec<Bar>> {
    let bar = |index| {
        let part = function.bar(index)?;
        Ok(Bar { index, size_bytes: part.size_bytes, mappable: part.mappable })
    };
    let bars: Result<Vec<_>> = (0..BARS).map(bar).collect();
    Ok(bars?.into_iter().filter(|bar| bar.size_bytes > 0).collect())
}

/// Opens the window that `uri` names.
pub(super) fn open(uri: &Uri) -> Result<Window> {
    let about = |e: Error| e.context(format_args!("region {:?}", uri.label()));
    let address = address_of(uri)?;
    let index = uri.number("bar")?.unwrap_or(BAR_DEFAULT);
    let Some(index) = u32::try_from(index).ok().filter(|index| *index < BARS) else {
        return Err(uri.invalid("bar", "a PCI device has BARs 0 to 5"));
    };
    let roots = Roots::of_this_machine();
    let function = function::open(&roots, address).map_err(about)?;
    if let Some(driver) = &function.variant {
        let text = format!(
            "PCI device {address} is bound to {driver}, and how that maps a BAR is not known: bind it to vfio-pci itself (driver_override)"
        );
        return Err(about(Error::new(ErrorKind::Unsupported, text)));
    }
    let part = function.bar(index).map_err(about)?;
    let off = uri.size("off")?.unwrap_or(0);
    let area = window_area(part.size_bytes, &part.mappable, off)
        .map_err(|what| Error::new(ErrorKind::BadSize, format!("BAR {index} of PCI device {address} {what}")))
        .map_err(about)?;
    let place = Place {
        file: function.open_beside(address).map_err(about)?.into(),
        path: format!("BAR {index} of PCI device {address}").into(),
        file_off: part.file_off,
        device_bytes: Some(area.end),
        page_bytes: mem::page_bytes(),
        report: CoherenceReport::not_cached(MemoryType::Uncached),
        sync: false,
        keep: Some(Box::new(function)),
    };
    Window::new(uri, place)
}

/// The part of a BAR that can be mapped and has `off` in it; else what is wrong, as the rest of a sentence.
fn window_area(size_bytes: u64, mappable: &[Range<u64>], off: u64) -> Result<Range<u64>, String> {
    if size_bytes == 0 {
        return Err("is not there; choose another one with bar= (lspci -vv -s shows them)".to_owned());
    }
    if mappable.is_empty() {
        return Err(format!(
            "has {} and cannot be mapped: it has I/O ports, or less than a page",
            format_size(size_bytes)
        ));
    }
    mappable.iter().find(|area| area.contains(&off)).cloned().ok_or_else(|| {
        let areas: Vec<_> = mappable
            .iter()
            .map(|area| format!("off={:#x}&len={:#x}", area.start, area.end - area.start))
            .collect();
        format!("cannot be mapped at offset {off:#x}; what can be mapped: {}", areas.join(", "))
    })
}

#[cfg(test)]
mod tests;
