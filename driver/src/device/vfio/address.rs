//! Where a PCI function is, as `lspci -D` writes it.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// A PCI function's place: `0000:01:00.0`, which is domain, bus, device and function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PciAddress {
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

impl FromStr for PciAddress {
    type Err = Error;

    /// # Errors
    /// [`ErrorKind::BadUri`] where the text is no such address.
    fn from_str(text: &str) -> Result<Self> {
        parse(text).ok_or_else(|| {
            // The short form leaves the domain out. It is not guessed: a cluster's machines may have several.
            let hint = match parse(&format!("0000:{text}")) {
                Some(whole) => format!("it lacks the domain: {whole}, unless lspci -D says otherwise"),
                None => "write it as lspci -D does: 0000:01:00.0".to_owned(),
            };
            Error::new(ErrorKind::BadUri, format!("{text:?} is not the address of a PCI device; {hint}"))
        })
    }
}

fn parse(text: &str) -> Option<PciAddress> {
    let hex = |text: &str, digits: std::ops::RangeInclusive<usize>| {
        let plain = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        plain.then(|| u32::from_str_radix(text, 16).ok()).flatten()
    };
    let (domain, rest) = text.split_once(':')?;
    let (bus, rest) = rest.split_once(':')?;
    let (device, function) = rest.split_once('.')?;
    // Domains beyond 16 bits exist, behind some storage controllers.
    let domain = hex(domain, 4..=8)?;
    let byte = |text, digits, most: u32| {
        hex(text, digits).filter(|value| *value <= most).and_then(|value| u8::try_from(value).ok())
    };
    Some(PciAddress {
        domain,
        bus: byte(bus, 2..=2, 0xff)?,
        device: byte(device, 2..=2, 0x1f)?,
        function: byte(function, 1..=1, 7)?,
    })
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.device, self.function)
    }
}

impl fmt::Debug for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_round_trip_in_the_kernel_s_spelling() {
        for (text, spelled) in [
            ("0000:01:00.0", "0000:01:00.0"),
            ("0006:00:1F.7", "0006:00:1f.7"),
            ("10000:E1:00.0", "10000:e1:00.0"),
        ] {
            let address: PciAddress = text.parse().expect(text);
            assert_eq!(address.to_string(), spelled);
            assert_eq!(spelled.parse::<PciAddress>().expect(spelled), address);
        }
    }

    #[test]
    fn what_is_no_address_is_named_and_the_short_form_completed() {
        for text in
            ["", "01", "0000:01:20.0", "0000:01:00.8", "0000:01:00", "000:01:00.0", "0000:+1:00.0", "0:1:0.0"]
        {
            let e = text.parse::<PciAddress>().expect_err(text);
            assert_eq!(e.kind(), ErrorKind::BadUri);
            assert!(e.message().contains("lspci -D does"), "{e}");
        }
        let e = "01:00.0".parse::<PciAddress>().expect_err("short");
        assert!(e.message().contains("it lacks the domain: 0000:01:00.0"), "{e}");
    }
}
