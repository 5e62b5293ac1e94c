//! A PCI device: the kernel opens its IOMMU group for one process, and that process lends the device to the others of
//! this host. All of it is the library's [`Holder`]; here it is held, shown and ended.

use csm::uri::Uri;
use csm::vfio::Holder;
use csm::{Error, ErrorKind, Result};
use serde_json::{Value, json};

use crate::hold::{Held, Left};

/// A group, and the device that was asked for.
pub(super) struct Group {
    /// None when it was detached.
    holder: Option<Holder>,
    bars: Value,
}

/// Opens the group and begins to lend.
pub(super) fn attach(uri: &Uri) -> Result<Group> {
    let holder = Holder::open(&uri.label())?;
    let bars = holder
        .bars()?
        .into_iter()
        .map(|bar| json!({ "bar": bar.index, "size_bytes": bar.size_bytes }))
        .collect();
    Ok(Group { holder: Some(holder), bars })
}

impl Group {
    /// Who has it: process id and user id.
    fn users(&self) -> Vec<(i32, u32)> {
        let users = self.holder.iter().flat_map(Holder::borrowers);
        users.map(|user| (user.pid, user.uid)).collect()
    }
}

impl Held for Group {
    fn describe(&self) -> Value {
        let Some(holder) = &self.holder else { return json!({}) };
        json!({
            "address": holder.address().to_string(),
            "group": holder.group(),
            "socket": holder.socket(),
            "bars": self.bars,
        })
    }

    fn status(&mut self, _link: bool) -> Result<Value> {
        let users = self.users().into_iter().map(|(pid, uid)| json!({ "pid": pid, "uid": uid }));
        Ok(json!({ "used_by": users.collect::<Vec<_>>() }))
    }

    fn detach(&mut self, force: bool) -> Result<Left> {
        let users: Vec<_> = self.users().into_iter().map(|(pid, _)| pid.to_string()).collect();
        if !users.is_empty() && !force {
            let text = format!(
                "processes {} use the device, and the group stays with them: end them first",
                users.join(", ")
            );
            return Ok(Left::Refused(Error::new(ErrorKind::InUse, text)));
        }
        self.holder = None;
        Ok(Left::Gone)
    }
}
