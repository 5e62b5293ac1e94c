//! What a `thymesisflow:` URI asks for, checked: the bring-up's view of one end of a link.

use std::path::PathBuf;

use csm::afu::Selector;
use csm::afu::thymesisflow::{BLOCK_BYTES, CharDevice, Ports, Section, ZONE_BYTES};
use csm::units::{TIB, format_size, parse_size};
use csm::uri::Uri;
use csm::{Error, ErrorKind, Result};

use crate::hold::state::name_of;

/// Where the lender's windows are.
const SHM: &str = "/dev/shm";
const FILE_PREFIX: &str = "csm-tf.";
const CHAR_DEVICE: &str = "/dev/tfshmem";
const DEFAULT_BASE: u64 = 0x4000_0000_0000;

/// One end of a link.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) afu: Selector,
    pub(crate) ports: Ports,
    /// Where the lender maps the window: its effective address.
    pub(crate) ea: u64,
    /// Bytes of the window, the link zone included.
    pub(crate) window_bytes: u64,
    pub(crate) end: End,
}

/// What is particular to one end.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// The lender makes this file.
    Memory { file: PathBuf },
    /// The borrower reaches the window through this device.
    Compute { section: Section, device: CharDevice, hotplug: bool },
}

impl Link {
    /// # Errors
    /// For what is missing or makes no sense.
    pub(crate) fn of(uri: &Uri) -> Result<Self> {
        let bad = |option: &str, why: String| {
            let text = format!("{}: {option}={}: {why}", uri.label(), uri.get(option).unwrap_or_default());
            Error::new(ErrorKind::InvalidArgument, text)
        };
        let number = |option: &str| {
            uri.get(option)
                .map(|text| number(text).ok_or_else(|| bad(option, "not a whole number".into())))
                .transpose()
        };
        let size = |option: &str| {
            uri.get(option)
                .map(parse_size)
                .transpose()
                .map_err(|e| e.context(format_args!("{}: {option}", uri.label())))
        };
        let missing = |option: &str, why: &str| {
            Error::new(ErrorKind::InvalidArgument, format!("{}: {option}= is missing: {why}", uri.label()))
        };

        let ports: Ports = uri.get("port").unwrap_or("0").parse()?;
        let len = match size("len")?.or(size("max")?).or(size("size")?) {
            Some(len) => len,
            None => return Err(missing("size", "say how much memory is lent, as in size=4G")),
        };
        let Some(window_bytes) = len
            .checked_add(ZONE_BYTES)
            .filter(|window| len > 0 && len.is_multiple_of(ZONE_BYTES) && *window <= TIB)
        else {
            let text = format!(
                "{}: {len} bytes: use a multiple of 2 MiB, that with the link's {} fits a section of 1 TiB",
                uri.label(),
                format_size(ZONE_BYTES)
            );
            return Err(Error::new(ErrorKind::BadSize, text));
        };
        let address = || -> Result<u64> {
            let slot = number("slot")?
                .ok_or_else(|| missing("slot", "the region's address must be known before it is lent"))?;
            let base = number("base")?.unwrap_or(DEFAULT_BASE);
            slot.checked_mul(TIB)
                .and_then(|off| off.checked_add(base))
                .ok_or_else(|| bad("slot", "beyond the last address".into()))
        };
        let name = name_of(uri)?;
        let (ea, end) = match uri.get("role") {
            Some("memory") => {
                let file = PathBuf::from(SHM).join(format!("{FILE_PREFIX}{name}"));
                (address()?, End::Memory { file })
            }
            Some("compute") => {
                let section = Section::new(number("section")?.unwrap_or(0))?;
                let ea = match number("ea")? {
                    Some(ea) => ea,
                    None => address().map_err(|_| {
                        missing("ea", "the lender's attach prints it; or give the region's slot=")
                    })?,
                };
                let hotplug = uri.get("via") == Some("hotplug");
                let path = uri.get("via").filter(|_| !hotplug).unwrap_or(CHAR_DEVICE);
                let device = CharDevice {
                    path: PathBuf::from(path),
                    off_bytes: size("off")?.unwrap_or(section.start_off()),
                    len_bytes: window_bytes,
                };
                if hotplug
                    && (!window_bytes.is_multiple_of(BLOCK_BYTES)
                        || window_bytes < 2 * BLOCK_BYTES
                        || !device.off_bytes.is_multiple_of(BLOCK_BYTES))
                {
                    let text = format!(
                        "{}: via=hotplug adds blocks of 256 MiB and keeps the last one for the link: with len={}M there are blocks to add (on both ends)",
                        uri.label(),
                        window_bytes.next_multiple_of(BLOCK_BYTES).max(2 * BLOCK_BYTES) / (1 << 20) - 2
                    );
                    return Err(Error::new(ErrorKind::BadSize, text));
                }
                (ea, End::Compute { section, device, hotplug })
            }
            Some(_) => return Err(bad("role", "memory lends, compute borrows".into())),
            None => return Err(missing("role", "role=memory lends, role=compute borrows")),
        };
        Ok(Self { afu: uri.name().parse()?, ports, ea, window_bytes, end })
    }
}

/// Decimal, or with 0x.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}
