//! Fixtures: what the suite needs to know of a device, and a region for the length of one case.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use csm::{Context, ContextOptions, Region, Result};

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

    /// The file behind a region, for cases that damage it; `None` where there is none.
    fn file(&self, uri: &str) -> Option<PathBuf>;

    /// How many nodes this machine can play.
    fn nodes(&self) -> u64;

    /// Whether a region can grow.
    fn grows(&self) -> bool;
}

/// `shm:`, shared memory of one host, with the coherence report of this word.
pub struct Shm(pub &'static str);

/// `shm:` as it is without asking.
pub const SHM: Shm = Shm("coherence=gc");

impl Fixture for Shm {
    fn name(&self) -> &'static str {
        match self.0 {
            "coherence=gc" => "shm",
            "coherence=lender" => "shm-lender",
            _ => "shm-lc",
        }
    }

    fn create_options(&self) -> &str {
        self.0
    }

    fn checked(&self) -> &[(&'static str, &'static str, &'static str)] {
        &[("hugepages", "none", "thp"), ("coherence", "lender", "gc")]
    }

    fn uri(&self, name: &str) -> String {
        format!("shm:{name}")
    }

    fn file(&self, uri: &str) -> Option<PathBuf> {
        Some(format!("/dev/shm/csm.{}", uri.strip_prefix("shm:")?).into())
    }

    fn nodes(&self) -> u64 {
        8
    }

    fn grows(&self) -> bool {
        true
    }
}

/// `incoherent:`, the simulated link.
pub struct Incoherent {
    /// Name in the list of tests.
    pub name: &'static str,
    /// Profile and line.
    pub options: &'static str,
    /// Whether the owner has a cache.
    pub owner_caches: bool,
}

impl Fixture for Incoherent {
    fn name(&self) -> &'static str {
        self.name
    }

    fn uri(&self, name: &str) -> String {
        format!("incoherent:{name}")
    }

    fn create_options(&self) -> &str {
        self.options
    }

    fn checked(&self) -> &[(&'static str, &'static str, &'static str)] {
        &[("profile", "lender", "gc"), ("line", "64", "128")]
    }

    /// What node 0 maps: its cache, or home.
    fn file(&self, uri: &str) -> Option<PathBuf> {
        let name = uri.strip_prefix("incoherent:")?;
        Some(if self.owner_caches {
            format!("/dev/shm/csm-sim-node.{name}.0").into()
        } else {
            format!("/dev/shm/csm-sim.{name}").into()
        })
    }

    fn nodes(&self) -> u64 {
        8
    }

    fn grows(&self) -> bool {
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
}

impl<'a> Scratch<'a> {
    /// A name that nobody has; there is no region of it yet.
    #[must_use]
    pub fn new(fixture: &'a dyn Fixture) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("conformance-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self { fixture, context: Context::new().expect("context"), uri: fixture.uri(&name) }
    }

    /// The URI with options.
    #[must_use]
    pub fn with(&self, options: &str) -> String {
        if options.is_empty() { self.uri.clone() } else { format!("{}?{options}", self.uri) }
    }

    /// The URI with options and those the device needs to create.
    #[must_use]
    pub fn to_create(&self, options: &str) -> String {
        let own = self.fixture.create_options();
        if own.is_empty() { self.with(options) } else { self.with(&format!("{options}&{own}")) }
    }

    /// Creates the region.
    ///
    /// # Errors
    /// Those of [`Context::create`].
    pub fn try_create(&self, options: &str) -> Result<Region> {
        self.context.create(&self.to_create(options))
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
        if self.context.destroy(&self.uri).is_err()
            && let Some(path) = self.fixture.file(&self.uri)
        {
            // Not there, or a case failed and left it in use or not ours.
            let _ = std::fs::remove_file(path);
        }
    }
}
