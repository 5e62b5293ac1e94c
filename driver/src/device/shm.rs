//! `shm:NAME`: shared memory of one host, a file in /dev/shm (or in a hugetlbfs for `hugepages=2M`).
//!
//! Every node is on this host, so hardware keeps everything coherent, and one kernel knows who lives.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::shm_file::{self, HUGE_PAGE_BYTES, SHM_DIR, ShmFile};
use super::{CoherenceReport, Device, flush_of};
use uuid::Uuid;

use crate::arch::{self, CacheOps};
use crate::error::{ErrorKind, Result};
use crate::sys::{file, mem};
use crate::uri::Uri;

pub(super) use super::shm_file::creation_lock;

const FILE_PREFIX: &str = "csm.";
const NUMA_NODES: &str = "/sys/devices/system/node";
const HUGE_POOL: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

pub(crate) struct Shm {
    window: ShmFile,
    huge: bool,
    /// The NUMA node whose memory a new region gets.
    numa: Option<u64>,
    /// The cache instruction asked for.
    flush: Option<String>,
}

impl Shm {
    pub(crate) fn create(uri: &Uri) -> Result<Self> {
        let huge = uri.get("hugepages") == Some("2M");
        let path = path_of(uri, huge)?;
        if let Some(taken) = existing(uri) {
            return Err(shm_file::exists(&uri.label(), &taken));
        }
        let numa = match uri.get("numa") {
            None | Some("any") => None,
            Some(_) => uri.number("numa")?,
        };
        if numa.is_some_and(|node| !Path::new(&format!("{NUMA_NODES}/node{node}")).exists()) {
            return Err(uri.invalid(
                "numa",
                format_args!("this machine has no such node, see {NUMA_NODES}; or use any"),
            ));
        }
        Ok(Self { window: ShmFile::create(uri, path)?, huge, numa, flush: flush_of(uri)? })
    }

    pub(crate) fn open(uri: &Uri, writable: bool) -> Result<Self> {
        let Some(path) = existing(uri) else { return Err(shm_file::not_there(uri, &shm_path(uri))) };
        let huge = !path.starts_with(SHM_DIR);
        let window = ShmFile::open(uri, path, writable)?;
        Ok(Self { window, huge, numa: None, flush: flush_of(uri)? })
    }
}

/// Every region of this host that can be read.
pub(crate) fn neighbours() -> impl Iterator<Item = Shm> {
    windows(FILE_PREFIX)
}

/// Every window of this host whose file's name begins with `prefix`, as plain shared memory to look at.
pub(super) fn windows(prefix: &'static str) -> impl Iterator<Item = Shm> {
    shm_file::with_prefix(prefix).map(|window| Shm { window, huge: false, numa: None, flush: None })
}

impl Device for Shm {
    fn coherence(&self) -> CoherenceReport {
        CoherenceReport::GLOBAL
    }

    fn cache_ops(&self, _base: *const u8) -> Result<Box<dyn CacheOps>> {
        arch::native(self.flush.as_deref())
    }

    fn file(&self) -> (&File, u64) {
        (&self.window.file, 0)
    }

    fn len_bytes(&self) -> Result<u64> {
        self.window.len_bytes()
    }

    fn owner_uid(&self) -> Result<Option<u32>> {
        self.window.owner_uid().map(Some)
    }

    fn mode(&self) -> Result<u32> {
        self.window.mode()
    }

    fn page_bytes(&self) -> u64 {
        if self.huge { HUGE_PAGE_BYTES } else { mem::page_bytes() }
    }

    fn extend(&self, len_bytes: u64, backed: &[Range<u64>], huge: bool) -> Result<()> {
        let wanted = backed.iter().map(|range| range.end - range.start).sum::<u64>();
        let huge = huge && wanted < shm_file::free_bytes();
        let populate = |range: Range<u64>| {
            if huge && let Err(e) = mem::populate_huge(&self.window.file, range) {
                // Allocating says what memory is missing, if any; without huge pages it works all the same.
                log::warn!("{}: not everything is on huge pages: {e}", self.window.label);
            }
        };
        let extend = || self.window.extend(len_bytes, backed, self.page_bytes(), populate);
        let extended = match self.numa {
            Some(node) => mem::on_numa_node(node, extend),
            None => extend(),
        };
        extended.map_err(|e| match e.kind() {
            ErrorKind::NoMemory if self.huge => {
                let pages = len_bytes.div_ceil(HUGE_PAGE_BYTES);
                e.hint(format_args!(
                    "reserve huge pages first: echo {pages} > {HUGE_POOL} (as root), or use hugepages=thp"
                ))
            }
            ErrorKind::NoMemory => e.hint(shm_file::no_memory_hint()),
            _ => e,
        })
    }

    fn commit(&self) -> Result<()> {
        self.window.commit()
    }

    fn control_paths(&self, uuid: &Uuid) -> Result<Vec<PathBuf>> {
        Ok(vec![self.control_path(uuid, 0)])
    }

    fn control_path(&self, _uuid: &Uuid, _node: u64) -> PathBuf {
        // Named like the region, so that what a killed creation left is found by the next one.
        let name = self.window.path.file_name().unwrap_or_default().to_string_lossy();
        shm_file::control_path(name.strip_prefix(FILE_PREFIX).unwrap_or(&name))
    }

    fn is_one_host(&self) -> bool {
        true
    }

    fn boot(&self) -> Result<u64> {
        shm_file::host_boot()
    }

    fn remove(&self, _len_bytes: u64) -> Result<()> {
        file::unlink(&self.window.path)
    }
}

fn shm_path(uri: &Uri) -> PathBuf {
    Path::new(SHM_DIR).join(format!("{FILE_PREFIX}{}", uri.encoded_name()))
}

/// The hugetlbfs of 2 MiB pages, if one is mounted.
fn huge_dir() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (dir, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        let other_size = options.split(',').any(|o| o.starts_with("pagesize=") && o != "pagesize=2M");
        (kind == "hugetlbfs" && !other_size).then(|| PathBuf::from(dir))
    })
}

fn path_of(uri: &Uri, huge: bool) -> Result<PathBuf> {
    if !huge {
        return Ok(shm_path(uri));
    }
    let Some(dir) = huge_dir() else {
        return Err(uri.invalid(
            "hugepages",
            format_args!(
                "no hugetlbfs of 2 MiB pages is mounted; as root: mkdir -p /dev/hugepages && mount -t hugetlbfs none /dev/hugepages, \
                 and reserve pages in {HUGE_POOL}; or use hugepages=thp"
            ),
        ));
    };
    Ok(dir.join(format!("{FILE_PREFIX}{}", uri.encoded_name())))
}

/// Where the region is, in either place.
fn existing(uri: &Uri) -> Option<PathBuf> {
    let huge = huge_dir().map(|dir| dir.join(format!("{FILE_PREFIX}{}", uri.encoded_name())));
    [Some(shm_path(uri)), huge].into_iter().flatten().find(|path| path.symlink_metadata().is_ok())
}
