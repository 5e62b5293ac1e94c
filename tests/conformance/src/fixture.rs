//! Fixtures: what the suite needs to know of a device, and a region for the length of one case.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use csm::uri::{Scheme, Uri};
use csm::{Context, ContextOptions, ErrorKind, Region, Result};

/// How much less of large numbers is made where they are not the point.
pub(crate) const SCALE: u64 = 20;

/// A device under test.
pub trait Fixture: Send + Sync {
    /// Its name in the list of tests.
    fn name(&self) -> &'static str;

    /// The URI of region `name`, without options.
    fn uri(&self, name: &str) -> String;

    /// Options that every creation needs besides the case's own, as `seed=7`.
    fn create_options(&self) -> &str {
        ""
    }

    /// Checked options of this device alone: what a region is created with, and another value.
    fn checked(&self) -> &[(&'static str, &'static str, &'static str)] {
        &[]
    }

    /// The file that node 0 maps, for cases that damage it; `None` where there is none.
    fn file(&self, uri: &str) -> Option<PathBuf>;

    /// The file whose owner is the region's, as far as the system is asked.
    fn home(&self, uri: &str) -> Option<PathBuf> {
        self.file(uri)
    }

    /// Every file with a copy of the region's bytes that is there at the moment.
    fn copies(&self, uri: &str) -> Vec<PathBuf> {
        self.file(uri).into_iter().collect()
    }

    /// Whether one kernel sees the processes of all nodes: then a borrower's death is known to the owner.
    fn is_one_host(&self) -> bool {
        true
    }

    /// Bytes of the lines that are counted as moving: the CPU's, whatever the region is laid out for.
    fn line_bytes(&self) -> u64 {
        if cfg!(target_arch = "powerpc64") { 128 } else { 64 }
    }

    /// How many of `most` things a case that is about large numbers makes here: they are counted out on one device.
    fn scaled(&self, most: u64) -> u64 {
        most / SCALE
    }

    /// How many nodes this machine can play.
    fn nodes(&self) -> u64 {
        8
    }

    /// Whether a region can grow.
    fn grows(&self) -> bool {
        true
    }

    /// Whether windows are made with their regions; else they are there, and keep length and mode.
    fn makes_windows(&self) -> bool {
        true
    }
}

/// Small counts, so that a region is made in no time: 2 MiB of data unless more is asked for.
pub const SMALL: &str = "catalog=64&nodes=2&members=8&leases=560";
/// The size of a small region with `data_mib` MiB of data; its metadata takes 4 MiB of address space.
#[must_use]
pub fn small(data_mib: u64) -> String {
    format!("size={}M&{SMALL}", data_mib + 4)
}

/// The name of a region for one case, gone with it.
pub struct Scratch<'a> {
    /// The device.
    pub fixture: &'a dyn Fixture,
    /// A context with the default options.
    pub context: Context,
    /// The URI without options.
    pub uri: String,
    /// Of the regions that were made here: in windows, control files bear these names.
    uuids: Mutex<Vec<String>>,
}

impl<'a> Scratch<'a> {
    /// A name that nobody has; there is no region of it yet.
    #[must_use]
    pub fn new(fixture: &'a dyn Fixture) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("conformance-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let context = Context::new().expect("context");
        Self { fixture, context, uri: fixture.uri(&name), uuids: Mutex::default() }
    }

    /// The URI with options.
    #[must_use]
    pub fn with(&self, options: &str) -> String {
        let joint = if self.uri.contains('?') { '&' } else { '?' };
        if options.is_empty() { self.uri.clone() } else { format!("{}{joint}{options}", self.uri) }
    }

    /// What messages call it.
    #[must_use]
    pub fn label(&self) -> &str {
        self.uri.split('?').next().unwrap_or_default()
    }

    /// The URI with options and those the device needs to create.
    #[must_use]
    pub fn to_create(&self, options: &str) -> String {
        let own = self.fixture.create_options();
        if own.is_empty() { self.with(options) } else { self.with(&format!("{options}&{own}")) }
    }

    /// Whether regions of this kind have `option`.
    #[must_use]
    pub fn has(&self, option: &str) -> bool {
        self.scheme().has(option)
    }

    fn scheme(&self) -> Scheme {
        Uri::parse(&self.uri).expect("a URI").scheme()
    }

    /// The error that `options` deserve: `kind` where they are this kind of region's, else that they are not.
    #[must_use]
    pub fn deserved(&self, options: &str, kind: ErrorKind) -> ErrorKind {
        let known = |name| csm::uri::OPTIONS.iter().any(|(known, ..)| *known == name);
        let mut names = options.split('&').filter_map(|pair| Some(pair.split_once('=')?.0));
        if names.any(|name| known(name) && !self.has(name)) { ErrorKind::BadUri } else { kind }
    }

    /// Creates the region.
    ///
    /// # Errors
    /// Those of [`Context::create`].
    pub fn try_create(&self, options: &str) -> Result<Region> {
        let region = self.context.create(&self.to_create(options))?;
        self.uuids.lock().expect("no panic").push(region.info()?.uuid);
        Ok(region)
    }

    /// Creates the region.
    #[must_use]
    pub fn create(&self, options: &str) -> Region {
        self.try_create(options).expect("create")
    }

    /// Opens the region.
    ///
    /// # Errors
    /// Those of [`Context::open`].
    pub fn try_open(&self, options: &str) -> Result<Region> {
        self.context.open(&self.with(options))
    }

    /// Opens the region.
    #[must_use]
    pub fn open(&self, options: &str) -> Region {
        self.try_open(options).expect("open")
    }

    /// A context that survives the loss of a region's memory.
    #[must_use]
    pub fn surviving() -> Context {
        let options = ContextOptions { survive_region_loss: true, ..ContextOptions::default() };
        Context::with_options(options).expect("context")
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        // Not there, or a case failed and left it in use, damaged or not ours.
        let gone = self.context.destroy(&self.uri).is_ok() && self.fixture.makes_windows();
        if !gone && let Some(path) = self.fixture.file(&self.uri) {
            let _ = std::fs::remove_file(path);
        }
        // What was removed by hand just now, or too damaged to say whose it is, leaves its control files.
        let uuids = self.uuids.lock().map(|uuids| uuids.clone()).unwrap_or_default();
        let left = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten();
        left.filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.strip_prefix("csm-members.")
                .is_some_and(|rest| uuids.iter().any(|uuid| rest.starts_with(uuid.as_str())))
        })
        .for_each(|entry| drop(std::fs::remove_file(entry.path())));
    }
}
