//! A PCI device's BAR: the kernel gives an IOMMU group to one process alone, so this one holds it and lends the device.
//!
//! The library does both: its holder answers at a socket of its own, where its `vfio:` asks by itself.

use csm::uri::Uri;
use csm::vfio::Holder;
use csm::{Error, ErrorKind, Result};
use serde_json::{Value, json};

use crate::failure::{Done, Failure};
use crate::hold::{Held, Left};
use crate::run::Run;

/// Looks whether the device is there; what else it lacks, opening it tells.
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

/// Opens the group and lends its devices.
pub(super) fn attach(uri: &Uri) -> Done<Lender> {
    let holder = Holder::open(&uri.label())?;
    let mut described = json!({
        "device": holder.address().to_string(),
        "group": holder.group(),
        "socket": holder.socket(),
    });
    for bar in holder.bars()? {
        described[format!("bar{}_bytes", bar.index)] = json!(bar.size_bytes);
    }
    Ok(Lender { holder: Some(holder), described })
}

/// A device that is lent.
pub(super) struct Lender {
    /// Until it is detached.
    holder: Option<Holder>,
    described: Value,
}

impl Lender {
    fn borrowers(&self) -> Vec<csm::vfio::Borrower> {
        self.holder.as_ref().map(Holder::borrowers).unwrap_or_default()
    }
}

impl Held for Lender {
    fn describe(&self) -> Value {
        self.described.clone()
    }

    fn status(&mut self) -> Result<Value> {
        let borrower = |borrower: csm::vfio::Borrower| {
            let device = borrower.device.map(|device| device.to_string());
            json!({ "pid": borrower.pid, "uid": borrower.uid, "device": device })
        };
        Ok(json!({ "borrowers": self.borrowers().into_iter().map(borrower).collect::<Vec<_>>() }))
    }

    fn detach(&mut self, force: bool) -> Result<Left> {
        let using = self.borrowers();
        if !using.is_empty() && !force {
            let pids: Vec<_> = using.iter().map(|borrower| borrower.pid.to_string()).collect();
            let text = format!(
                "processes {} use it (close their regions first); forced, they keep what they have mapped, and the group is not free until they end",
                pids.join(", ")
            );
            return Ok(Left::Refused(Error::new(ErrorKind::InUse, text)));
        }
        self.holder = None;
        Ok(Left::Gone)
    }
}
