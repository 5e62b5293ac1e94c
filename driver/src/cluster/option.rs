//! Whether an option's value means something: what a creation or an opening would say, said before.
//!
//! The rules are those of the rooms that use the options, and their own code where that takes no device. Not
//! looked at is `flush`, which depends on the processor of the node.

use crate::device::CoherenceReport;
use crate::error::{ErrorKind, Result};
use crate::region::layout::{Layout, SLOT_BYTES, Shape};
use crate::uri::Uri;

const YES: &[(&str, ())] = &[("no", ()), ("yes", ())];

/// Checks the value that `uri` has for `option`.
pub(super) fn check(uri: &Uri, option: &str) -> Result<()> {
    match option {
        "members" | "leases" | "catalog" => count(uri, option),
        "coherence" | "profile" => uri.choice(option, CoherenceReport::NAMED).map(drop),
        "protect" | "prefault" | "fixed" => uri.choice(option, YES).map(drop),
        "access" => uri.choice(option, &[("rw", ()), ("ro", ())]).map(drop),
        "hugepages" => uri.choice(option, &[("none", ()), ("thp", ()), ("2M", ())]).map(drop),
        "line" => uri.choice(option, &[("64", ()), ("128", ())]).map(drop),
        "loss" if uri.get(option) == Some("never") => Ok(()),
        "boot" if uri.get(option) == Some("last") => Ok(()),
        "owner" | "seed" | "boot" | "loss" => uri.number(option).map(drop),
        "bar" => match uri.number(option)? {
            Some(6..) => Err(uri.invalid(option, "a PCI device has BARs 0 to 5")),
            _ => Ok(()),
        },
        "wait" | "delay" => uri.duration(option).map(drop),
        "off" | "len" => uri.size(option).map(drop),
        _ => Ok(()),
    }
}

/// A count of which a region has so many at most: the layout knows how many.
fn count(uri: &Uri, option: &str) -> Result<()> {
    let Some(value) = uri.number(option)? else { return Ok(()) };
    let least = Shape {
        size_bytes: SLOT_BYTES,
        max_bytes: SLOT_BYTES,
        nodes: 1,
        members: 1,
        leases: 1,
        names: 1,
        protect: false,
    };
    let shape = match option {
        "members" => Shape { members: value, ..least },
        "leases" => Shape { leases: value, ..least },
        _ => Shape { names: value, ..least },
    };
    // Whether the memory suffices is another question.
    match Layout::new(shape) {
        Err(e) if e.kind() == ErrorKind::InvalidArgument => Err(e),
        _ => Ok(()),
    }
}
