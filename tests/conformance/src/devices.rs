//! The devices under test that every machine can play, and windows that a machine may have.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use csm::Context;

use crate::Fixture;
use crate::fixture::SCALE;

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

    /// Large numbers are counted out once.
    fn scaled(&self, most: u64) -> u64 {
        if self.0 == SHM.0 { most } else { most / SCALE }
    }
}

/// `file:`, an ordinary file, which is made and removed with its region.
pub struct PlainFile;

impl Fixture for PlainFile {
    fn name(&self) -> &'static str {
        "file"
    }

    fn uri(&self, name: &str) -> String {
        format!("file:{}", std::env::temp_dir().join(name).display())
    }

    fn checked(&self) -> &[(&'static str, &'static str, &'static str)] {
        &[("coherence", "lender", "gc")]
    }

    fn file(&self, uri: &str) -> Option<PathBuf> {
        Some(uri.strip_prefix("file:")?.into())
    }
}

/// Files that are there already, used as windows: another host's memory as far as libcsm knows.
pub struct WindowFile(pub &'static str);

/// Bytes of a window: enough for every case.
const WINDOW_BYTES: u64 = 64 << 20;

impl Fixture for WindowFile {
    fn name(&self) -> &'static str {
        match self.0 {
            "coherence=gc" => "window-gc",
            "coherence=lender" => "window-lender",
            _ => "window-lc",
        }
    }

    fn uri(&self, name: &str) -> String {
        let path = format!("/dev/shm/{name}");
        std::fs::File::create(&path).and_then(|file| file.set_len(WINDOW_BYTES)).expect("a file");
        format!("file:{path}?fixed=yes")
    }

    fn create_options(&self) -> &str {
        self.0
    }

    fn checked(&self) -> &[(&'static str, &'static str, &'static str)] {
        &[("coherence", "lender", "gc")]
    }

    fn file(&self, uri: &str) -> Option<PathBuf> {
        Some(uri.strip_prefix("file:")?.split('?').next()?.into())
    }

    fn home(&self, _uri: &str) -> Option<PathBuf> {
        None
    }

    fn is_one_host(&self) -> bool {
        false
    }

    fn makes_windows(&self) -> bool {
        false
    }
}

/// A device's window, in parts that serve one after the other.
pub struct Window {
    uri: String,
    parts: u64,
    next: AtomicU32,
}

impl Window {
    /// The window that `uri` names, of `len_bytes`. What it holds is lost.
    #[must_use]
    pub fn new(uri: String, len_bytes: u64) -> Self {
        Self { uri, parts: len_bytes / WINDOW_BYTES, next: AtomicU32::new(0) }
    }
}

impl Fixture for Window {
    fn name(&self) -> &'static str {
        "window"
    }

    fn uri(&self, _name: &str) -> String {
        let part = u64::from(self.next.fetch_add(1, Ordering::Relaxed)) % self.parts;
        let joint = if self.uri.contains('?') { '&' } else { '?' };
        let uri = format!("{}{joint}off={}&len={WINDOW_BYTES}", self.uri, part * WINDOW_BYTES);
        // A case begins with a window that holds nothing, as removing a region leaves it.
        let context = Context::new().expect("context");
        if context.destroy(&uri).is_err() {
            drop(context.create(&format!("{uri}&size=6M&overwrite=yes")).expect("create"));
            context.destroy(&uri).expect("destroy");
        }
        uri
    }

    fn checked(&self) -> &[(&'static str, &'static str, &'static str)] {
        &[("coherence", "lender", "gc")]
    }

    fn file(&self, _uri: &str) -> Option<PathBuf> {
        None
    }

    fn is_one_host(&self) -> bool {
        false
    }

    fn makes_windows(&self) -> bool {
        false
    }
}

/// `incoherent:`, the simulated link.
pub struct Incoherent {
    /// Name in the list of tests.
    pub name: &'static str,
    /// Profile and line.
    pub options: &'static str,
    /// Bytes of a line.
    pub line_bytes: u64,
    /// Whether the owner has a cache.
    pub owner_caches: bool,
}

/// `incoherent:` where every node has a cache.
pub const LINK: Incoherent = Incoherent {
    name: "incoherent-lc-128",
    options: "profile=lc&line=128",
    line_bytes: 128,
    owner_caches: true,
};

impl Incoherent {
    fn path(uri: &str, before: &str, after: &str) -> Option<PathBuf> {
        Some(format!("/dev/shm/{before}.{}{after}", uri.strip_prefix("incoherent:")?).into())
    }
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

    /// Its cache, or home.
    fn file(&self, uri: &str) -> Option<PathBuf> {
        if self.owner_caches { Self::path(uri, "csm-sim-node", ".0") } else { self.home(uri) }
    }

    fn home(&self, uri: &str) -> Option<PathBuf> {
        Self::path(uri, "csm-sim", "")
    }

    fn copies(&self, uri: &str) -> Vec<PathBuf> {
        let caches =
            (0..self.nodes()).filter_map(|node| Self::path(uri, "csm-sim-node", &format!(".{node}")));
        self.home(uri).into_iter().chain(caches).filter(|path| path.exists()).collect()
    }

    fn is_one_host(&self) -> bool {
        false
    }

    fn line_bytes(&self) -> u64 {
        self.line_bytes
    }
}
