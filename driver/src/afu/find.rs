//! Which AFUs there are, and which one is meant.
//!
//! The kernel names an AFU `NAME.DOMAIN:BUS:DEVICE.FUNCTION.INDEX`, as in `IBM,RMEM.0006:00:00.1.0`: a device file under
//! `/dev/ocxl`, a directory of facts under `/sys/class/ocxl`. Both roots can be pointed elsewhere. A selector that fits
//! several AFUs is an error that lists them: a link must not depend on which one is found first.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::afu::selector::{Selector, is_function};
use crate::error::{Error, ErrorKind, Result};

/// Where the kernel's device files and facts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    dev: PathBuf,
    sys: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { dev: PathBuf::from("/dev/ocxl"), sys: PathBuf::from("/sys/class/ocxl") }
    }
}

impl Roots {
    /// This machine's, unless `CSM_OCXL_DEV` or `CSM_OCXL_SYS` names another directory.
    #[must_use]
    pub fn from_env() -> Self {
        let given = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
        let this = Self::default();
        Self {
            dev: given("CSM_OCXL_DEV").map_or(this.dev, PathBuf::from),
            sys: given("CSM_OCXL_SYS").map_or(this.sys, PathBuf::from),
        }
    }

    /// The same with another directory of device files.
    #[must_use]
    pub fn with_dev(self, dev: impl Into<PathBuf>) -> Self {
        Self { dev: dev.into(), ..self }
    }

    /// The same with another directory of facts.
    #[must_use]
    pub fn with_sys(self, sys: impl Into<PathBuf>) -> Self {
        Self { sys: sys.into(), ..self }
    }

    /// The directory of device files.
    #[must_use]
    pub fn dev(&self) -> &Path {
        &self.dev
    }

    /// The directory of facts.
    #[must_use]
    pub fn sys(&self) -> &Path {
        &self.sys
    }

    /// All AFUs that the kernel knows, by name. None where the ocxl driver is not loaded.
    ///
    /// # Errors
    /// Where a directory cannot be read or a fact does not parse.
    pub fn list(&self) -> Result<Vec<AfuInfo>> {
        let entries = match fs::read_dir(&self.sys) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(failed("opendir", &self.sys, &e)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| failed("readdir", &self.sys, &e))?;
            if let Some(id) = entry.file_name().to_str().and_then(AfuId::parse) {
                found.push(AfuInfo::read(self, id)?);
            }
        }
        found.sort_by_key(AfuInfo::file_name);
        Ok(found)
    }

    /// The one AFU that `selector` means.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where there is none, [`ErrorKind::InvalidArgument`] where there are several.
    pub fn find(&self, selector: &Selector) -> Result<AfuInfo> {
        let all = self.list()?;
        let names = |list: &[AfuInfo]| list.iter().map(AfuInfo::file_name).collect::<Vec<_>>().join(", ");
        let present = match all.len() {
            0 => self.why_none(),
            _ => format!("this machine has {}", names(&all)),
        };
        let mut fitting = Vec::new();
        for info in all {
            if selector.fits(&info)? {
                fitting.push(info);
            }
        }
        match fitting.len() {
            1 => Ok(fitting.remove(0)),
            0 => Err(Error::new(ErrorKind::Unsupported, format!("there is no AFU {selector}: {present}"))),
            _ => {
                let text = format!(
                    "AFU {selector} fits several: {}; name one by its whole name or its function",
                    names(&fitting)
                );
                Err(Error::new(ErrorKind::InvalidArgument, text))
            }
        }
    }

    fn why_none(&self) -> String {
        if self.sys.is_dir() {
            format!("{} is empty: no OpenCAPI card was found; see dmesg and lspci", self.sys.display())
        } else {
            format!(
                "{} is not there: the kernel's ocxl driver is not loaded (modprobe ocxl; it exists on POWER alone), \
                 or there is no OpenCAPI card",
                self.sys.display()
            )
        }
    }
}

pub(super) fn failed(call: &str, path: &Path, error: &io::Error) -> Error {
    Error::system(format_args!("{call}({})", path.display()), error.raw_os_error().unwrap_or(0))
}

/// The parts of the name that the kernel gives an AFU.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AfuId {
    name: String,
    function: String,
    index: u32,
}

impl AfuId {
    /// From the right, since an AFU's own name is any text.
    fn parse(text: &str) -> Option<Self> {
        let (rest, index) = text.rsplit_once('.')?;
        let (rest, number) = rest.rsplit_once('.')?;
        let (name, slot) = rest.rsplit_once('.')?;
        let function = format!("{slot}.{number}");
        (is_function(&function) && !name.is_empty())
            .then_some(())
            .and_then(|()| Some(Self { name: name.to_owned(), function, index: index.parse().ok()? }))
    }
}

/// What the kernel says of an AFU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AfuInfo {
    /// What the AFU calls itself, as in `IBM,RMEM`.
    pub name: String,
    /// The PCI function it is on, as in `0006:00:00.1`.
    pub function: String,
    /// Which of the function's AFUs it is, from 0.
    pub index: u32,
    /// Its version, major and minor.
    pub version: (u8, u8),
    /// Contexts in use.
    pub contexts_used: u64,
    /// The most contexts there can be.
    pub contexts_max: u64,
    /// Bytes of its global MMIO area.
    pub global_mmio_bytes: u64,
    /// Bytes of each context's own MMIO area.
    pub per_pasid_mmio_bytes: u64,
    /// Its device file.
    pub dev_path: PathBuf,
    /// Its directory of facts.
    pub sys_path: PathBuf,
    /// Whether the device file is there.
    pub has_dev: bool,
}

impl AfuInfo {
    /// The kernel's name of it, as in `IBM,RMEM.0006:00:00.1.0`.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.{}.{}", self.name, self.function, self.index)
    }

    fn read(roots: &Roots, id: AfuId) -> Result<Self> {
        let file_name = format!("{}.{}.{}", id.name, id.function, id.index);
        let (dev_path, sys_path) = (roots.dev.join(&file_name), roots.sys.join(&file_name));
        let (major, minor) = fact(&sys_path.join("afu_version"), "MAJOR:MINOR", |text| {
            let (major, minor) = text.split_once(':')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        })?;
        let (contexts_used, contexts_max) = fact(&sys_path.join("contexts"), "USED/MOST", |text| {
            let (used, most) = text.split_once('/')?;
            Some((used.parse().ok()?, most.parse().ok()?))
        })?;
        let size = |file: &str| fact(&sys_path.join(file), "a number of bytes", |text| text.parse().ok());
        Ok(Self {
            version: (major, minor),
            contexts_used,
            contexts_max,
            global_mmio_bytes: size("global_mmio_size")?,
            per_pasid_mmio_bytes: size("pp_mmio_size")?,
            has_dev: dev_path.exists(),
            name: id.name,
            function: id.function,
            index: id.index,
            dev_path,
            sys_path,
        })
    }
}

fn fact<T>(path: &Path, form: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T> {
    let text = fs::read_to_string(path).map_err(|e| failed("read", path, &e))?;
    parse(text.trim()).ok_or_else(|| {
        let text = format!("{} says {:?}, which is not {form}", path.display(), text.trim());
        Error::new(ErrorKind::BadFile, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tree(PathBuf);

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn tree(name: &str, afus: &[&str]) -> (Tree, Roots) {
        let root = std::env::temp_dir().join(format!("csm-find-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let roots = Roots::default().with_dev(root.join("dev")).with_sys(root.join("sys"));
        fs::create_dir_all(roots.dev()).unwrap();
        for afu in afus {
            let sys = roots.sys().join(afu);
            fs::create_dir_all(&sys).unwrap();
            fs::write(roots.dev().join(afu), "").unwrap();
            let facts = [
                ("afu_version", "1:2\n"),
                ("contexts", "0/1\n"),
                ("global_mmio_size", "524288\n"),
                ("pp_mmio_size", "65536\n"),
            ];
            for (file, text) in facts {
                fs::write(sys.join(file), text).unwrap();
            }
        }
        (Tree(root), roots)
    }

    #[test]
    fn names_come_apart_from_the_right() {
        let id = AfuId::parse("IBM,RMEM.0006:00:00.1.0").unwrap();
        assert_eq!((id.name.as_str(), id.function.as_str(), id.index), ("IBM,RMEM", "0006:00:00.1", 0));
        let id = AfuId::parse("A.B.000a:01:1f.7.12").unwrap();
        assert_eq!((id.name.as_str(), id.function.as_str(), id.index), ("A.B", "000a:01:1f.7", 12));
        for text in
            ["", "IBM,RMEM", "IBM,RMEM.0006:00:00.1", "X.0006:00.00.1.0", ".0006:00:00.1.0", "a.b.c.d"]
        {
            assert_eq!(AfuId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_afu_is_found_by_name_function_and_path() {
        let names = ["IBM,MEMCPY3.0004:00:00.1.0", "IBM,RMEM.0006:00:00.1.0"];
        let (_tree, roots) = tree("by", &names);
        let all = roots.list().unwrap();
        assert_eq!(all.iter().map(AfuInfo::file_name).collect::<Vec<_>>(), names);
        let info = &all[1];
        assert_eq!((info.version, info.contexts_used, info.contexts_max, info.has_dev), ((1, 2), 0, 1, true));
        assert_eq!((info.global_mmio_bytes, info.per_pasid_mmio_bytes), (512 << 10, 64 << 10));
        let path = roots.dev().join(names[1]);
        for text in ["IBM,RMEM", names[1], "0006:00:00.1", "0006:00:00.1.0", path.to_str().unwrap()] {
            assert_eq!(roots.find(&text.parse().unwrap()).unwrap(), *info, "{text}");
        }
        let error = roots.find(&"0006:00:00.1.1".parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains(&names.join(", ")), "{error}");
    }

    #[test]
    fn a_name_that_fits_several_is_refused_with_all_of_them() {
        let names = ["IBM,RMEM.0004:00:00.1.0", "IBM,RMEM.0006:00:00.1.0"];
        let (_tree, roots) = tree("several", &names);
        let error = roots.find(&"IBM,RMEM".parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains(&names.join(", ")), "{error}");
        assert!(roots.find(&names[0].parse().unwrap()).is_ok());
    }

    #[test]
    fn no_driver_and_no_card_are_told_apart() {
        let (_tree, roots) = tree("none", &[]);
        let selector: Selector = "IBM,RMEM".parse().unwrap();
        assert_eq!(roots.list().unwrap(), []);
        assert!(roots.find(&selector).unwrap_err().message().contains("driver is not loaded"));
        fs::create_dir_all(roots.sys()).unwrap();
        assert!(roots.find(&selector).unwrap_err().message().contains("no OpenCAPI card was found"));
    }

    #[test]
    fn a_fact_that_does_not_parse_is_quoted() {
        let (_tree, roots) = tree("fact", &["IBM,RMEM.0006:00:00.1.0"]);
        fs::write(roots.sys().join("IBM,RMEM.0006:00:00.1.0/contexts"), "many\n").unwrap();
        let error = roots.list().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadFile);
        assert!(error.message().contains("contexts says \"many\", which is not USED/MOST"), "{error}");
    }
}
