//! `shm:NAME`: shared memory of one host, a file in /dev/shm (or in a hugetlbfs for `hugepages=2M`).
//!
//! The file is filled before it gets its name, so a half-made region is never found. All memory is
//! allocated at creation: a full /dev/shm is an error then and not a SIGBUS later. Every node is on this
//! host, so hardware keeps everything coherent.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{CoherenceReport, Device};
use uuid::Uuid;

use crate::arch::{CacheOps, Coherent};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::{file, mem};
use crate::units::{MIB, format_size};
use crate::uri::Uri;

const SHM_DIR: &str = "/dev/shm";
const FILE_PREFIX: &str = "csm.";
const CONTROL_PREFIX: &str = "csm-members.";
const HUGE_PAGE_BYTES: u64 = 2 * MIB;
const CREATION_PATIENCE: Duration = Duration::from_secs(5);
const NUMA_NODES: &str = "/sys/devices/system/node";
const HUGE_POOL: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

pub(crate) struct Shm {
    label: String,
    path: PathBuf,
    file: File,
    mode: u32,
    huge: bool,
    /// The NUMA node whose memory a new region gets.
    numa: Option<u64>,
}

impl Shm {
    pub(crate) fn create(uri: &Uri) -> Result<Self> {
        let huge = uri.get("hugepages") == Some("2M");
        let path = path_of(uri, huge)?;
        if let Some(taken) = existing(uri) {
            return Err(exists(&uri.label(), &taken));
        }
        let mode = match uri.get("mode") {
            None => 0o600,
            Some(text) => match u32::from_str_radix(text, 8) {
                Ok(mode) if mode & 0o600 == 0o600 && mode <= 0o777 => mode,
                _ => {
                    return Err(
                        uri.invalid("mode", "use an octal mode that lets the owner read and write, as 0660")
                    );
                }
            },
        };
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
        let file = file::create_unnamed(path.parent().unwrap_or(Path::new(SHM_DIR)))?;
        Ok(Self { label: uri.label(), path, file, mode, huge, numa })
    }

    pub(crate) fn open(uri: &Uri, writable: bool) -> Result<Self> {
        let Some(path) = existing(uri) else {
            let text = format!(
                "region {:?} is not there (no {}); create it with: csm create '{}?size=1G'",
                uri.label(),
                shm_path(uri).display(),
                uri.label()
            );
            return Err(Error::new(ErrorKind::RegionNotFound, text));
        };
        let file = file::open(&path, writable).map_err(|e| {
            let right = if writable { "read and write" } else { "read" };
            let hint = format!(
                "its owner can let you {right} it with chmod, or create it with mode=0660 (leases are written into the region, so readers write too)"
            );
            e.context(format_args!("region {:?}", uri.label())).hint(hint)
        })?;
        let huge = !path.starts_with(SHM_DIR);
        Ok(Self { label: uri.label(), path, file, mode: 0, huge, numa: None })
    }
}

/// What /dev/shm can still take, as far as the machine has that much memory.
fn free_bytes() -> u64 {
    let in_shm = nix::sys::statvfs::statvfs(SHM_DIR).map_or(0, |s| s.blocks_available() * s.fragment_size());
    in_shm.min(mem::available_bytes())
}

/// Keeps two creations on this host from taking the same slot: held from the look at the neighbours until the
/// region has its name. Whoever holds it for long is not waited for; then two regions may share a slot.
pub(crate) fn creation_lock() -> Option<impl Drop> {
    file::lock_dir(Path::new(SHM_DIR), CREATION_PATIENCE)
}

/// Every region of this host that can be read.
pub(crate) fn neighbours() -> impl Iterator<Item = Shm> {
    let entries = std::fs::read_dir(SHM_DIR).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(FILE_PREFIX)).filter_map(|entry| {
        let path = entry.path();
        let file = file::open(&path, false).ok()?;
        Some(Shm { label: path.display().to_string(), path, file, mode: 0, huge: false, numa: None })
    })
}

impl Device for Shm {
    fn coherence(&self) -> CoherenceReport {
        CoherenceReport::GLOBAL
    }

    fn cache_ops(&self) -> Box<dyn CacheOps> {
        Box::new(Coherent)
    }

    fn file(&self) -> (&File, u64) {
        (&self.file, 0)
    }

    fn len_bytes(&self) -> Result<u64> {
        Ok(file::stat(&self.file, &self.path)?.0)
    }

    fn owner_uid(&self) -> Result<Option<u32>> {
        Ok(Some(file::stat(&self.file, &self.path)?.1))
    }

    fn mode(&self) -> u32 {
        self.mode
    }

    fn page_bytes(&self) -> u64 {
        if self.huge { HUGE_PAGE_BYTES } else { mem::page_bytes() }
    }

    fn extend(&self, len_bytes: u64, backed: &[Range<u64>], huge: bool) -> Result<()> {
        let old_len = self.len_bytes()?;
        file::set_len(&self.file, &self.path, len_bytes.max(old_len))?;
        // Touching more pages than there are ends the process; allocating them is an error.
        let wanted = backed.iter().map(|range| range.end - range.start).sum::<u64>();
        let huge = huge && wanted < free_bytes();
        let allocate = || {
            backed.iter().try_for_each(|range| {
                let page = self.page_bytes();
                let (start, end) =
                    (range.start / page * page, range.end.next_multiple_of(page).min(len_bytes));
                if huge && let Err(e) = mem::populate_huge(&self.file, start..end) {
                    // Allocating below says what memory is missing, if any; without huge pages it works all the same.
                    log::warn!("{}: not everything is on huge pages: {e}", self.label);
                }
                file::allocate(&self.file, &self.path, start, end)
            })
        };
        let allocated = match self.numa {
            Some(node) => mem::on_numa_node(node, allocate),
            None => allocate(),
        };
        allocated.map_err(|e| {
            // What was allocated of the new part goes back; the old part is as it was.
            let undone = file::set_len(&self.file, &self.path, old_len);
            let e = if e.kind() == ErrorKind::NoMemory { e.hint(self.no_memory_hint(len_bytes)) } else { e };
            undone.err().map_or_else(|| e, |undo| undo.context("undoing an allocation"))
        })
    }

    fn commit(&self) -> Result<()> {
        file::name_file(&self.file, self.mode, &self.path)
            .map_err(|e| if e.errno() == libc::EEXIST { exists(&self.label, &self.path) } else { e })
    }

    fn control_path(&self, _uuid: &Uuid) -> PathBuf {
        // Named like the region, so that what a killed creation left is found by the next one.
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        Path::new(SHM_DIR)
            .join(format!("{CONTROL_PREFIX}{}", name.strip_prefix(FILE_PREFIX).unwrap_or(&name)))
    }

    fn remove(&self) -> Result<()> {
        file::unlink(&self.path)
    }
}

impl Shm {
    fn no_memory_hint(&self, len_bytes: u64) -> String {
        if self.huge {
            let pages = len_bytes.div_ceil(HUGE_PAGE_BYTES);
            return format!(
                "reserve huge pages first: echo {pages} > {HUGE_POOL} (as root), or use hugepages=thp"
            );
        }
        format!(
            "{SHM_DIR} has {} free; choose a smaller size, remove what is not needed there, or enlarge it: mount -o remount,size=... {SHM_DIR}",
            format_size(free_bytes())
        )
    }
}

fn exists(label: &str, path: &Path) -> Error {
    let text = format!(
        "region {label:?} is there already ({}); open it, or remove it with: csm destroy {label}",
        path.display()
    );
    Error::new(ErrorKind::RegionExists, text)
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
