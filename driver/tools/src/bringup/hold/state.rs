//! State files: `/run/csm/NAME.json`, one for each device that an attach process holds.
//!
//! The process has the file locked as long as it lives, so that a file whose process died is known from a live one
//! without asking whether some process has that number. The lock is the truth, the text is for people and for
//! the library, which reads where a window is. `$CSM_RUN_DIR` is another directory.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use csm::uri::{Scheme, Uri};
use csm::{Error, ErrorKind, Result};
use csm_tools::fail::system;
use nix::fcntl::{Flock, FlockArg};
use serde_json::{Value, json};

use crate::failure::Done;
use crate::run::Run;
use crate::wait;

/// How long somebody who only looks may have the lock.
const LOOK: Duration = Duration::from_millis(200);

/// What a device is called in the run directory: ThymesisFlow's windows have names, others are found by their device.
pub(crate) fn name_of(uri: &Uri) -> Result<String> {
    let name = match uri.scheme() {
        Scheme::ThymesisFlow => uri.get("name").unwrap_or("0").to_owned(),
        scheme => format!("{}-{}", scheme.as_str(), uri.name().trim_start_matches('/')).replace('/', "-"),
    };
    check_name(&name)?;
    Ok(name)
}

/// The name that an operator means: that of a state file, or of the device that a URI says.
pub(crate) fn name_given(run: &Run, text: &str) -> Result<String> {
    let is_name = check_name(text).is_ok() && run.run_dir().join(format!("{text}.json")).exists();
    if is_name || !text.contains(':') { Ok(text.to_owned()) } else { name_of(&csm::cluster::uri(text)?) }
}

fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:,".contains(c);
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(plain) {
        let text =
            format!("name {name:?}: use 1 to 100 letters, digits and any of . _ - : , with no dot in front");
        return Err(Error::new(ErrorKind::BadName, text));
    }
    Ok(())
}

/// This process's state file.
pub(crate) struct Entry {
    name: String,
    path: PathBuf,
    file: Flock<File>,
    /// What a process that died left in it.
    previous: Option<Value>,
}

impl Entry {
    /// Takes the name for this process.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] while another process has it.
    pub(crate) fn claim(run: &Run, uri: &Uri) -> Done<Self> {
        let name = name_of(uri)?;
        let dir = run.run_dir();
        fs::DirBuilder::new().recursive(true).mode(0o755).create(dir).map_err(|e| {
            system(format_args!("mkdir({dir:?}, 0755)"), &e).hint("run as root, or set CSM_RUN_DIR")
        })?;
        let path = dir.join(format!("{name}.json"));
        let claimed = wait::until(&format!("{path:?}"), LOOK, run.interrupt(), || Ok(try_claim(&path)?));
        let mut file = match claimed {
            Ok(file) => file,
            Err(_) if !run.interrupt().raised() => return Err(in_use(&path, &name).into()),
            Err(e) => return Err(e),
        };
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|e| system(format_args!("read {path:?}"), &e))?;
        let previous = serde_json::from_str(&text).ok();
        let entry = Self { name, path, file, previous };
        entry.write(&uri.to_string(), "attaching", &json!({}))?;
        Ok(entry)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where this process listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path.with_extension("sock")
    }

    /// What the process that had the name before, and died, said that it had set up.
    pub(crate) fn left_behind(&self) -> Option<&Value> {
        self.previous.as_ref()
    }

    /// Writes down what there is now.
    pub(crate) fn write(&self, uri: &str, state: &str, device: &Value) -> Result<()> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let json = json!({
            "name": self.name,
            "uri": uri,
            "pid": std::process::id(),
            "state": state,
            "since_unix_s": since.as_secs(),
            "device": device,
        });
        let text = format!("{json:#}\n");
        let mut file: &File = &self.file;
        let failed = |e| system(format_args!("write {:?}", self.path), &e);
        file.rewind().map_err(failed)?;
        file.set_len(0).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // The name goes while the lock is held: nobody can have it in between.
        let _ = fs::remove_file(&self.path);
    }
}

/// The locked file, or None while somebody else has the lock.
fn try_claim(path: &Path) -> Result<Option<Flock<File>>> {
    let file = File::options().read(true).write(true).create(true).truncate(false).mode(0o644).open(path);
    let file = file.map_err(|e| {
        system(format_args!("open({path:?}, O_RDWR | O_CREAT)"), &e).hint("run as root, or set CSM_RUN_DIR")
    })?;
    let Ok(file) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else { return Ok(None) };
    // Whoever had it before may have removed the name meanwhile.
    let inode = |meta: fs::Metadata| (meta.dev(), meta.ino());
    let (ours, there) = (file.metadata().map(inode).ok(), fs::metadata(path).map(inode).ok());
    Ok((ours == there).then_some(file))
}

fn in_use(path: &Path, name: &str) -> Error {
    let json = fs::read_to_string(path).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let pid = json.as_ref().and_then(|json| json["pid"].as_u64()).unwrap_or(0);
    let text = format!(
        "{name:?} is attached already, by process {pid}; csm-bringup status {name} shows it, csm-bringup detach {name} ends it"
    );
    Error::new(ErrorKind::InUse, text)
}

/// A state file as others see it.
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// Its process lives.
    pub(crate) live: bool,
    /// What it says; null if that is no JSON.
    pub(crate) json: Value,
}

impl Found {
    /// Where its process listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path.with_extension("sock")
    }

    /// Its URI.
    pub(crate) fn uri(&self) -> &str {
        self.json["uri"].as_str().unwrap_or_default()
    }

    fn read(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(".json")?.to_owned();
        let mut file = File::open(&path).ok()?;
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        let live = Flock::lock(file, FlockArg::LockSharedNonblock).is_err();
        Some(Self { name, live, json: serde_json::from_str(&text).unwrap_or_default(), path })
    }
}

/// Every state file, by name.
pub(crate) fn list(run: &Run) -> Vec<Found> {
    let entries = fs::read_dir(run.run_dir()).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries.filter_map(|entry| Found::read(entry.path())).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// The state file of this name.
///
/// # Errors
/// [`ErrorKind::RegionNotFound`] with the names that there are.
pub(crate) fn find(run: &Run, name: &str) -> Result<Found> {
    check_name(name)?;
    Found::read(run.run_dir().join(format!("{name}.json"))).ok_or_else(|| {
        let names: Vec<_> = list(run).into_iter().map(|found| found.name).collect();
        let there = if names.is_empty() {
            "nothing is".to_owned()
        } else {
            format!("attached: {}", names.join(", "))
        };
        let text =
            format!("nothing is attached on this machine as {name:?} ({there}); csm-bringup attach does it");
        Error::new(ErrorKind::RegionNotFound, text)
    })
}
