//! What the benchmarks share: what they print, a region of their own, and other processes.
#![allow(clippy::expect_used, reason = "a benchmark stops at the first error")]

pub mod peer;
pub mod series;

use csm::{Context, Region};

/// Bytes that are free where regions of shared memory lie.
#[must_use]
#[allow(unsafe_code, reason = "a system call")]
pub fn free_shm_bytes() -> u64 {
    // SAFETY: plain numbers, for which zeroes are a value.
    let mut space: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: a path that ends in a zero, and fills the struct.
    let done = unsafe { libc::statvfs(c"/dev/shm".as_ptr(), &raw mut space) };
    assert_eq!(done, 0, "/dev/shm: {}", std::io::Error::last_os_error());
    space.f_bavail * space.f_frsize
}

/// A region of a benchmark's own, destroyed with it.
pub struct Scratch {
    context: Context,
    uri: String,
    /// The region.
    pub region: Option<Region>,
}

impl Scratch {
    /// Creates a region.
    #[must_use]
    pub fn new(name: &str, options: &str) -> Self {
        let uri = format!("shm:bench-{name}-{}", std::process::id());
        let context = Context::new().expect("context");
        let region = context.create(&format!("{uri}?{options}")).expect("region");
        Self { context, uri, region: Some(region) }
    }

    /// The region.
    #[must_use]
    pub fn region(&self) -> &Region {
        self.region.as_ref().expect("open")
    }

    /// The region's URI, without options.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.region = None;
        if let Err(e) = self.context.destroy(&self.uri) {
            eprintln!("leaving {}: {e}", self.uri);
        }
    }
}
