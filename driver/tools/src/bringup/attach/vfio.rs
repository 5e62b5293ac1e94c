//! A PCI device's BAR: the process that holds the IOMMU group hands its descriptors to those that map the BAR.
//!
//! To be written: [`attach`] opens container and group, and what it returns gives the descriptors out in
//! [`Held::share`](crate::hold::Held::share), for the request `open` on the control socket.

use csm::uri::Uri;

use crate::failure::{Done, Failure};
use crate::hold::Held;
use crate::run::Run;

/// Looks whether the device is there and bound to vfio-pci.
pub(super) fn check(run: &Run, uri: &Uri) -> Done {
    let device = run.path("/sys/bus/pci/devices").join(uri.name());
    if !device.exists() {
        return Err(Failure::missing(format!(
            "{}: no PCI device {} ({}); csm-bringup probe --all lists them",
            uri.label(),
            uri.name(),
            device.display()
        )));
    }
    Ok(())
}

/// Opens the group and holds it.
pub(super) fn attach(_run: &Run, uri: &Uri) -> Done<Box<dyn Held>> {
    Err(Failure::missing(format!("{}: this build cannot hold VFIO devices yet", uri.label())))
}
