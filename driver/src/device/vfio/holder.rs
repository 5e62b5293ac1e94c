//! The process that holds a group for the others of its host: what `csm-bringup attach vfio:...` is.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use super::address::PciAddress;
use super::function::{self, Function};
use super::lend::{Borrower, Lender, socket_path};
use super::sysfs::{Facts, Roots};
use super::{Bar, bars_of, parse};
use crate::error::{Error, ErrorKind, Result};

/// Holds the IOMMU group of a PCI device, and lends the group's devices to the other processes of this host, as long as it
/// lives: the kernel opens a group for one process alone. The library's `vfio:` asks the holder by itself.
///
/// It listens at `/run/csm/vfio-group-N.socket` (`CSM_RUN_DIR` is another directory), which gets the mode and group of
/// `/dev/vfio/N`: who may open the one may use the other. A thread of its own answers; it takes no signals of the caller's
/// but those that any thread may.
///
/// Dropping it ends the lending. What was lent stays with the borrowers, and so does the group, until they end.
pub struct Holder {
    // Nobody is lent anything once the function may be closed.
    lender: Lender,
    function: Arc<Function>,
}

impl Holder {
    /// Opens the group of the device that `uri` names (`vfio:0000:01:00.0`, options are not looked at) and begins to lend.
    ///
    /// # Errors
    /// [`ErrorKind::BadUri`], [`ErrorKind::RegionNotFound`] without such a device, [`ErrorKind::Unsupported`] without an
    /// IOMMU or module, [`ErrorKind::PermissionDenied`], and [`ErrorKind::InUse`] where another driver or process has it:
    /// each says what to do.
    pub fn open(uri: &str) -> Result<Self> {
        let (roots, address) = (Roots::of_this_machine(), parse(uri)?);
        let facts = Facts::read(&roots, address)?;
        let function = function::open(&roots, address)?;
        if !function.is_own() {
            let text = format!("another process holds and lends IOMMU group {} already", facts.group);
            return Err(Error::new(ErrorKind::InUse, text));
        }
        let own = function.clone();
        let opener = move |other: PciAddress| -> Result<OwnedFd> {
            if !facts.has(other) {
                let text = format!("PCI device {other} is not in group {}", facts.group);
                return Err(Error::new(ErrorKind::InvalidArgument, text));
            }
            own.open_beside(other)
        };
        let path = socket_path(&roots.run, function.group);
        let like = roots.dev.join("vfio").join(function.group.to_string());
        let lender = Lender::start(path, &like, Box::new(opener))?;
        Ok(Self { lender, function })
    }

    /// The device that was asked for.
    #[must_use]
    pub fn address(&self) -> PciAddress {
        self.function.address
    }

    /// The number of its IOMMU group.
    #[must_use]
    pub fn group(&self) -> u32 {
        self.function.group
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        self.lender.path()
    }

    /// Who has what was lent, by process id.
    #[must_use]
    pub fn borrowers(&self) -> Vec<Borrower> {
        self.lender.borrowers()
    }

    /// The device's BARs.
    ///
    /// # Errors
    /// Where the device is gone.
    pub fn bars(&self) -> Result<Vec<Bar>> {
        bars_of(&self.function)
    }
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Holder({}, group {})", self.address(), self.group())
    }
}
