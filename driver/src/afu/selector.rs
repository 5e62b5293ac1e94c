//! How a user says which AFU is meant: by name, by PCI function, by path.

use std::fmt;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;
use std::str::FromStr;

use crate::afu::find::{AfuInfo, failed};
use crate::error::{Error, ErrorKind, Result};

/// How a user says which AFU is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// By what the AFU calls itself (`IBM,RMEM`), or by the whole name the kernel gives it.
    Name(String),
    /// By PCI function (`0006:00:00.1`), and by index where the function has several.
    Function(String, Option<u32>),
    /// By the path of its device file, or of another name for the same device.
    Path(PathBuf),
}

impl FromStr for Selector {
    type Err = Error;

    /// A path begins with `/`; a function has colons, and may be followed by `.INDEX`; all else is a name.
    fn from_str(text: &str) -> Result<Self> {
        if text.is_empty() {
            let text = "an empty name selects no AFU; write one as in IBM,RMEM or 0006:00:00.1";
            return Err(Error::new(ErrorKind::BadName, text));
        }
        if text.starts_with('/') {
            return Ok(Self::Path(PathBuf::from(text)));
        }
        if is_function(text) {
            return Ok(Self::Function(text.to_ascii_lowercase(), None));
        }
        if let Some((function, index)) = text.rsplit_once('.')
            && is_function(function)
            && let Ok(index) = index.parse()
        {
            return Ok(Self::Function(function.to_ascii_lowercase(), Some(index)));
        }
        Ok(Self::Name(text.to_owned()))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::Name(name) => f.write_str(name),
            Selector::Function(function, None) => f.write_str(function),
            Selector::Function(function, Some(index)) => write!(f, "{function}.{index}"),
            Selector::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Selector {
    pub(super) fn fits(&self, info: &AfuInfo) -> Result<bool> {
        Ok(match self {
            Selector::Name(name) => *name == info.name || *name == info.file_name(),
            Selector::Function(function, index) => {
                function.eq_ignore_ascii_case(&info.function) && index.is_none_or(|index| index == info.index)
            }
            Selector::Path(path) if *path == info.dev_path => true,
            Selector::Path(path) => {
                let given = fs::metadata(path).map_err(|e| failed("stat", path, &e))?;
                let here = fs::metadata(&info.dev_path).ok().filter(|m| m.file_type().is_char_device());
                here.is_some_and(|here| here.rdev() == given.rdev() && given.file_type().is_char_device())
            }
        })
    }
}

/// Whether `text` is a PCI function, as in `0006:00:00.1`.
pub(super) fn is_function(text: &str) -> bool {
    let hex = |part: &str, digits: usize| part.len() == digits && part.chars().all(|c| c.is_ascii_hexdigit());
    let parts: Vec<&str> = text.split([':', '.']).collect();
    matches!(parts[..], [domain, bus, device, function]
        if hex(domain, 4) && hex(bus, 2) && hex(device, 2) && hex(function, 1))
        && text.matches(':').count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_parse() {
        let parse = |text: &str| text.parse::<Selector>().unwrap();
        assert_eq!(parse("IBM,RMEM"), Selector::Name("IBM,RMEM".into()));
        assert_eq!(parse("0006:00:00.1"), Selector::Function("0006:00:00.1".into(), None));
        assert_eq!(parse("000A:00:00.1.2"), Selector::Function("000a:00:00.1".into(), Some(2)));
        assert_eq!(parse("/dev/ocxl/x"), Selector::Path("/dev/ocxl/x".into()));
        assert_eq!("".parse::<Selector>().unwrap_err().kind(), ErrorKind::BadName);
    }
}
