//! What an attach does, step by step, in words: `plan` and `attach --dry-run` print the same.
//!
//! Register numbers and values come from the library's own types, so that what is said is what is done.

use csm::Result;
use csm::afu::thymesisflow::{BLOCK_BYTES, REAL_BASE, Register, ZONE_BYTES, section_value};
use csm::units::format_size;
use csm::uri::{Scheme, Uri};

use crate::link::{End, Link};

/// Bit 0 of the control register.
const TEST_ENABLE: u64 = 1;

/// The steps of attaching `uri`.
pub(crate) fn attach(uri: &Uri) -> Result<Vec<String>> {
    match uri.scheme() {
        Scheme::ThymesisFlow => Link::of(uri).and_then(|link| thymesisflow(&link)),
        Scheme::Vfio => Ok(vec![
            format!("open the IOMMU group of {}, which must be bound to vfio-pci", uri.name()),
            format!("lend it to this host's processes, which map BAR {}", uri.get("bar").unwrap_or("2")),
        ]),
        _ => Ok(vec![format!("nothing: {} has nothing to set up or hold", uri.label())]),
    }
}

/// The steps of detaching it.
pub(crate) fn detach(uri: &Uri) -> Result<Vec<String>> {
    match uri.scheme() {
        Scheme::ThymesisFlow => {}
        Scheme::Vfio => return Ok(vec!["refuse while processes use the device; close the group".into()]),
        _ => return Ok(Vec::new()),
    }
    let link = Link::of(uri)?;
    let reset = format!("write {} = 0x0: the Aurora channels in reset", register(Register::AuroraReset));
    Ok(match link.end {
        End::Memory { file } => vec![
            "refuse while the borrower's line in the link zone says that it is attached".into(),
            "write \"detached\" to the lender's line".into(),
            reset,
            format!("write {} = 0x0", register(Register::Control)),
            format!("close the AFU, remove {}", file.display()),
        ],
        End::Compute { section, hotplug, .. } => {
            let mut steps = Vec::new();
            if hotplug {
                steps.push("take the memory blocks offline; refuse while they are in use".into());
            }
            steps.push("write \"detached\" to the borrower's line, through the link".into());
            steps.push(format!(
                "write {} = 0x0: section {section} leads nowhere",
                register(Register::Section(section))
            ));
            steps.push(reset);
            steps.push("close the AFU".into());
            steps
        }
    })
}

fn register(register: Register) -> String {
    format!("{:#04x}", register.off())
}

fn thymesisflow(link: &Link) -> Result<Vec<String>> {
    let zone_off = link.window_bytes - ZONE_BYTES;
    let channels = format!(
        "write {} = {:#x}: Aurora channels of port {} out of reset",
        register(Register::AuroraReset),
        link.ports.bits(),
        link.ports
    );
    let open = format!("open AFU {}, map its global MMIO", link.afu);
    Ok(match &link.end {
        End::Memory { file } => vec![
            format!(
                "make {}: {} and the link zone of {}; map it at {:#x}, lock it",
                file.display(),
                format_size(zone_off),
                format_size(ZONE_BYTES),
                link.ea
            ),
            format!(
                "open AFU {}, attach this process's address space (PASID), map global and per-PASID MMIO",
                link.afu
            ),
            format!(
                "write {} = {TEST_ENABLE:#x}: initialise the tag FIFO, send ACTAG",
                register(Register::Control)
            ),
            channels,
            format!("write \"attached\" to the lender's line in the link zone, at {:#x}", link.ea + zone_off),
        ],
        End::Compute { section, device, hotplug } => {
            let value = section_value(*section, link.ea, link.window_bytes, link.ports)?;
            let mut steps = vec![
                open,
                channels,
                format!(
                    "write {} = {value:#x}: section {section} leads to {:#x} through port {}",
                    register(Register::Section(*section)),
                    link.ea,
                    link.ports
                ),
                format!(
                    "train: ask the link zone through {} at offset {:#x} until its known answers come back",
                    device.path.display(),
                    device.off_bytes + zone_off
                ),
                "write \"attached\" to the borrower's line, through the link".into(),
            ];
            if *hotplug {
                let blocks = link.window_bytes / BLOCK_BYTES - 1;
                steps.push(format!(
                    "add {blocks} memory blocks of {} at real address {:#x}, online them as movable",
                    format_size(BLOCK_BYTES),
                    REAL_BASE + device.off_bytes
                ));
            }
            steps
        }
    })
}
