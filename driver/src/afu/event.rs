//! Events of an AFU as `read` of its device file delivers them: a header, and for the one kind there is a body.

use std::fmt;

use crate::afu::uapi::{EVENT_BYTES, EVENT_LAST, EVENT_XSL_FAULT, EventHeader, XslFault};
use crate::error::{Error, ErrorKind, Result};

/// The AFU used an address that the attached process has not mapped, or not as the access needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TranslationFault {
    /// The effective address.
    pub address: u64,
    /// POWER's reason register; 0 on other machines.
    pub dsisr: u64,
    /// How many faults since the last one that was reported; the address is the last one's.
    pub count: u64,
}

impl fmt::Display for TranslationFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the AFU could not translate address {:#x} (dsisr {:#x}, {} faults since the last report)",
            self.address, self.dsisr, self.count
        )
    }
}

impl TranslationFault {
    /// The fault as an error.
    #[must_use]
    pub fn into_error(self) -> Error {
        Error::new(
            ErrorKind::System,
            format!("{self}; the borrower's section and address must lie in what is mapped here"),
        )
    }
}

/// What one `read` delivered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    Fault(TranslationFault),
    /// A kind that this build does not know, and whether it was the last one that waited.
    Unknown {
        last: bool,
    },
    /// The kernel has closed the context: nothing will come any more.
    Closed,
}

/// Takes an event apart.
pub(super) fn parse(bytes: &[u8]) -> Result<Event> {
    let word =
        |off: usize| -> Option<u64> { Some(u64::from_ne_bytes(bytes.get(off..off + 8)?.try_into().ok()?)) };
    let half =
        |off: usize| -> Option<u16> { Some(u16::from_ne_bytes(bytes.get(off..off + 2)?.try_into().ok()?)) };
    let short = || {
        let text = format!("an AFU event of {} bytes: the kernel's are {EVENT_BYTES}", bytes.len());
        Error::new(ErrorKind::System, text)
    };
    if bytes.len() < size_of::<EventHeader>() {
        return Err(short());
    }
    let (kind, flags) = (half(0).ok_or_else(short)?, half(2).ok_or_else(short)?);
    if kind != EVENT_XSL_FAULT {
        return Ok(Event::Unknown { last: flags & EVENT_LAST != 0 });
    }
    let body = size_of::<EventHeader>();
    // A closed context answers with a bare header, whose kind is 0 as well.
    if bytes.len() == body {
        return Ok(Event::Closed);
    }
    let fault = XslFault {
        addr: word(body).ok_or_else(short)?,
        dsisr: word(body + 8).ok_or_else(short)?,
        count: word(body + 16).ok_or_else(short)?,
        reserved: 0,
    };
    Ok(Event::Fault(TranslationFault { address: fault.addr, dsisr: fault.dsisr, count: fault.count }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u16, flags: u16, body: &[u64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 4]);
        body.iter().for_each(|word| bytes.extend(word.to_ne_bytes()));
        bytes
    }

    #[test]
    fn events_parse() {
        let fault = TranslationFault { address: 0x4000_0010_0080, dsisr: 0x4000_0000, count: 3 };
        assert_eq!(parse(&event(0, 1, &[0x4000_0010_0080, 0x4000_0000, 3, 0])).unwrap(), Event::Fault(fault));
        assert!(fault.to_string().contains("0x400000100080 (dsisr 0x40000000, 3 faults"), "{fault}");
        assert_eq!(parse(&event(7, 0, &[])).unwrap(), Event::Unknown { last: false });
        assert_eq!(parse(&event(7, 1, &[1])).unwrap(), Event::Unknown { last: true });
        assert_eq!(parse(&event(0, 1, &[])).unwrap(), Event::Closed);
        assert!(parse(&event(0, 1, &[1, 2])).is_err());
        assert!(parse(&[0; 7]).is_err());
    }
}
