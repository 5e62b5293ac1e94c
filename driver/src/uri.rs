//! Region URIs: `shm:NAME?size=1G&slot=3`.
//!
//! `SCHEME:NAME[?OPTION=VALUE[&...]]`, names and values percent-encoded. An option is of one of three
//! sorts, and says so in [`OPTIONS`]: it shapes a new region and is refused at open (create), it shapes a
//! new region and is checked at open if given (checked), or it concerns this opening alone (per open).
//! An unknown option is an error, and so is one given twice: a typo must not silently do nothing.

mod options;

use std::fmt;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

pub use options::{OPTIONS, Scheme, Sort};

use crate::error::{Error, ErrorKind, Result};
use crate::units::parse_size;

const NAME_BYTES_MAX: usize = 200;
const PATH_BYTES_MAX: usize = 1000;
const ESCAPED_IN_PATHS: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'?').add(b'&').add(b'=').add(b'#');
const ESCAPED: &AsciiSet = &ESCAPED_IN_PATHS.add(b'/');

/// A parsed URI. Values are kept as text until they are asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct Uri {
    scheme: Scheme,
    name: String,
    options: Vec<(&'static str, String)>,
}

fn bad(text: &str, why: impl fmt::Display) -> Error {
    Error::new(ErrorKind::BadUri, format!("region {text:?}: {why}"))
}

fn decode(text: &str, part: &str) -> Result<String> {
    let decoded =
        percent_decode_str(part).decode_utf8().map_err(|_| bad(text, "it does not decode to UTF-8"))?;
    Ok(decoded.into_owned())
}

/// The name and the options of a URI `text`, whose part behind the scheme is `rest`, decoded.
pub(crate) fn split<'a>(text: &str, rest: &'a str) -> Result<(String, Vec<(&'a str, String)>)> {
    let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| match pair.split_once('=') {
        Some((key, value)) => Ok((key, decode(text, value)?)),
        None => Err(bad(text, format_args!("option {pair:?} has no value; write {pair}=VALUE"))),
    });
    Ok((decode(text, name)?, pairs.collect::<Result<_>>()?))
}

impl Uri {
    /// Parses `text`.
    ///
    /// # Errors
    /// [`ErrorKind::BadUri`] that quotes the URI and says which part is wrong and what is known.
    pub fn parse(text: &str) -> Result<Self> {
        let known = || Scheme::ALL.map(|(name, _)| format!("{name}:")).join(", ") + ", cluster:";
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(bad(text, format_args!("no scheme; write SCHEME:NAME, with one of {}", known())));
        };
        let Some((_, scheme)) = Scheme::ALL.iter().find(|(name, _)| *name == scheme) else {
            return Err(bad(text, format_args!("unknown scheme {scheme:?}; known: {}", known())));
        };
        let (name, options) = split(text, rest)?;
        let most = if scheme.names_paths() { PATH_BYTES_MAX } else { NAME_BYTES_MAX };
        if name.is_empty() || name.len() > most || name.contains('\0') || name.starts_with('.') {
            return Err(bad(
                text,
                format_args!("a region's name has 1 to {most} bytes, no NUL and no dot in front"),
            ));
        }
        let mut uri = Self { scheme: *scheme, name, options: Vec::new() };
        for (key, value) in options {
            let Some((key, ..)) = OPTIONS.iter().find(|(name, ..)| *name == key) else {
                let names: Vec<_> = OPTIONS.iter().map(|(name, ..)| *name).collect();
                return Err(bad(text, format_args!("unknown option {key:?}; known: {}", names.join(", "))));
            };
            if uri.get(key).is_some() {
                return Err(bad(text, format_args!("option {key:?} is given twice")));
            }
            if let Some(schemes) = Scheme::with(key).filter(|schemes| !schemes.contains(scheme)) {
                let of = Scheme::list(schemes);
                return Err(bad(text, format_args!("option {key:?} is for {of} regions")));
            }
            uri.options.push((key, value));
        }
        Ok(uri)
    }

    /// The device's kind.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The name, decoded.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name as it stands in file names and URIs: percent-encoded.
    #[must_use]
    pub fn encoded_name(&self) -> String {
        let escaped = if self.scheme.names_paths() { ESCAPED_IN_PATHS } else { ESCAPED };
        utf8_percent_encode(&self.name, escaped).to_string()
    }

    /// The URI without its options: what the region is called in messages.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}:{}", self.scheme.as_str(), self.encoded_name())
    }

    /// The text of an option, if given.
    #[must_use]
    pub fn get(&self, option: &str) -> Option<&str> {
        self.options.iter().find(|(name, _)| *name == option).map(|(_, value)| value.as_str())
    }

    /// Gives an option this value, whatever it had.
    pub(crate) fn set(&mut self, option: &str, value: &str) -> Result<()> {
        let Some((name, ..)) = OPTIONS.iter().find(|(name, ..)| *name == option) else {
            return Err(bad(&self.label(), format_args!("unknown option {option:?}")));
        };
        if !self.scheme.has(name) {
            let scheme = self.scheme.as_str();
            return Err(bad(&self.label(), format_args!("{scheme}: regions have no option {option:?}")));
        }
        self.options.retain(|(given, _)| given != name);
        self.options.push((name, value.to_owned()));
        Ok(())
    }

    /// The options given that are of `sort`.
    pub(crate) fn given(&self, sort: Sort) -> impl Iterator<Item = &'static str> + '_ {
        let sort_of = |key| OPTIONS.iter().find(|(name, ..)| *name == key).map(|(_, sort, ..)| *sort);
        self.options.iter().map(|(name, _)| *name).filter(move |name| sort_of(*name) == Some(sort))
    }

    pub(crate) fn invalid(&self, option: &str, why: impl fmt::Display) -> Error {
        let value = self.get(option).unwrap_or_default();
        Error::new(ErrorKind::InvalidArgument, format!("region {:?}: {option}={value}: {why}", self.label()))
    }

    /// The error for an option whose value `given` is not what the region has.
    pub(crate) fn mismatch(&self, option: &str, given: impl fmt::Display, there: impl fmt::Display) -> Error {
        let text = format!(
            "region {:?}: {option}={given} was asked for, but the region has {option}={there}; leave the option out, or create the region anew",
            self.label()
        );
        Error::new(ErrorKind::OptionMismatch, text)
    }

    /// This process's node, of a region that has room for `nodes`.
    pub(crate) fn node(&self, nodes: u64) -> Result<u64> {
        let node = self.number("node")?.unwrap_or(0);
        if node >= nodes {
            let last = nodes - 1;
            return Err(self.invalid("node", format_args!("this region has room for nodes 0 to {last}")));
        }
        Ok(node)
    }

    /// An option that is a size in bytes.
    pub(crate) fn size(&self, option: &str) -> Result<Option<u64>> {
        let parse = |text| {
            parse_size(text).map_err(|e| e.context(format_args!("region {:?}: {option}", self.label())))
        };
        self.get(option).map(parse).transpose()
    }

    /// An option that is a count, decimal or with 0x.
    pub(crate) fn number(&self, option: &str) -> Result<Option<u64>> {
        let Some(text) = self.get(option) else { return Ok(None) };
        let parsed = match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => text.parse(),
        };
        parsed.map(Some).map_err(|_| self.invalid(option, "not a whole number"))
    }

    /// An option that is a time: `10s` or `500ms`.
    pub(crate) fn duration(&self, option: &str) -> Result<Option<Duration>> {
        let Some(text) = self.get(option) else { return Ok(None) };
        let (number, scale) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
            (Some(number), _) => (number, 1),
            (None, Some(number)) => (number, 1000),
            (None, None) => (text, 0),
        };
        match number.parse::<u64>() {
            Ok(number) if scale != 0 => Ok(Some(Duration::from_millis(number.saturating_mul(scale)))),
            _ => Err(self.invalid(option, "not a time; write it as 10s or 500ms")),
        }
    }

    /// An option that is one of a few words; the first is the default.
    pub(crate) fn choice<T: Copy>(&self, option: &str, choices: &[(&str, T)]) -> Result<Option<T>> {
        let Some(text) = self.get(option) else { return Ok(None) };
        let found = choices.iter().find(|(word, _)| *word == text);
        let words = || choices.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" or ");
        found
            .map(|(_, value)| Some(*value))
            .ok_or_else(|| self.invalid(option, format_args!("use {}", words())))
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label())?;
        for (i, (name, value)) in self.options.iter().enumerate() {
            let value = utf8_percent_encode(value, ESCAPED);
            write!(f, "{}{name}={value}", if i == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_round_trips() {
        for text in [
            "shm:trades",
            "shm:a%2Fb?size=1G&slot=3",
            "shm:caf%C3%A9?mode=0660",
            "dax:/dev/dax0.0?off=2M",
            "vfio:0000:01:00.0?bar=2",
        ] {
            let uri = Uri::parse(text).expect(text);
            assert_eq!(uri.to_string(), text);
            assert_eq!(Uri::parse(&uri.to_string()).expect("again"), uri);
        }
        let uri = Uri::parse("shm:a%2Fb?size=1G&node=2").expect("uri");
        assert_eq!((uri.name(), uri.encoded_name().as_str()), ("a/b", "a%2Fb"));
        assert_eq!(uri.size("size").expect("size"), Some(1 << 30));
        assert_eq!(uri.given(Sort::PerOpen).collect::<Vec<_>>(), ["node"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("trades", "no scheme"),
            ("rdma:x", "unknown scheme \"rdma\""),
            ("shm:", "1 to 200 bytes"),
            ("shm:..", "no dot in front"),
            ("shm:x?sise=1G", "unknown option \"sise\""),
            ("shm:x?size", "has no value"),
            ("shm:x?size=1G&size=2G", "given twice"),
            ("shm:%FF", "UTF-8"),
            ("shm:x?seed=1", "is for incoherent: regions"),
            ("incoherent:x?numa=0", "is for shm: regions"),
        ] {
            let e = Uri::parse(text).expect_err(text);
            assert_eq!(e.kind(), ErrorKind::BadUri);
            assert!(e.message().contains(part) && e.message().contains(text), "{e}");
        }
    }
}
