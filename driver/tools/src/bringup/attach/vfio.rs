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
    let bars = holder.bars()?;
    Ok(Lender { holder: Some(holder), bars: json_of(&bars) })
}

fn json_of(bars: &[csm::vfio::Bar]) -> Value {
    let bar = |bar: &csm::vfio::Bar| {
        let areas: Vec<_> = bar
            .mappable
            .iter()
            .map(|area| json!({ "off": area.start, "len": area.end - area.start }))
            .collect();
        json!({ "bar": bar.index, "size_bytes": bar.size_bytes, "mappable": areas })
    };
    bars.iter().map(bar).collect()
}

/// A device that is lent.
pub(super) struct Lender {
    /// Until it is detached.
    holder: Option<Holder>,
    bars: Value,
}

impl Lender {
    fn borrowers(&self) -> Vec<csm::vfio::Borrower> {
        self.holder.as_ref().map(Holder::borrowers).unwrap_or_default()
    }
}

impl Held for Lender {
    fn describe(&self) -> Value {
        let holder = self.holder.as_ref();
        json!({
            "device": holder.map(|holder| holder.address().to_string()),
            "group": holder.map(Holder::group),
            "socket": holder.map(Holder::socket),
            "bars": self.bars,
        })
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
