//! The context: what concerns a process as a whole.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::region::Region;
use super::registry::REGISTRY;
use crate::cluster;
use crate::device;
use crate::error::{Error, ErrorKind, Result};
use crate::heap::Heap;
use crate::lease::Leases;
use crate::map;
use crate::member::beat::Beat;
use crate::member::{ControlFile, Member};
use crate::region::open::{self, Opened};
use crate::sys::{file, process};
use crate::table::LastPublished;
use crate::table::NodeState;
use crate::table::tables::Tables;
use crate::uri::Uri;

const DEFAULT_PATIENCE: Duration = Duration::from_secs(10);
/// How long the address of a region that this process is closing may still be taken.
const CLOSING: Duration = Duration::from_millis(200);

/// How a process uses regions.
#[derive(Clone, Copy, Debug)]
pub struct ContextOptions {
    /// Survive the loss of a region's memory: install a SIGBUS handler that puts zeroes in place of the
    /// window, after which every call on the region answers [`ErrorKind::RegionLost`]. Without it a
    /// truncated region file ends the process, as for any mapped file.
    pub survive_region_loss: bool,
    /// The longest to wait for another process of the node (a lock it holds). A region's `wait=` overrides it.
    pub patience: Duration,
}

impl Default for ContextOptions {
    fn default() -> Self {
        Self { survive_region_loss: false, patience: DEFAULT_PATIENCE }
    }
}

/// Opens regions. Cheap to clone; any thread may use it.
#[derive(Clone, Debug)]
pub struct Context {
    options: ContextOptions,
}

impl Context {
    /// A context with the default options.
    ///
    /// # Errors
    /// None today; options may fail.
    pub fn new() -> Result<Self> {
        Self::with_options(ContextOptions::default())
    }

    /// A context.
    ///
    /// # Errors
    /// When the fault handler cannot be installed.
    pub fn with_options(options: ContextOptions) -> Result<Self> {
        if options.survive_region_loss {
            map::install_fault_handler()?;
        }
        process::fork_count();
        Ok(Self { options })
    }

    /// Creates the region that `uri` describes, with its memory, and opens it.
    ///
    /// # Errors
    /// [`ErrorKind::BadUri`], [`ErrorKind::BadSize`], [`ErrorKind::RegionExists`], [`ErrorKind::NoMemory`],
    /// [`ErrorKind::AddressTaken`], ... Nothing is left behind.
    pub fn create(&self, uri: &str) -> Result<Region> {
        let uri = cluster::uri(uri)?;
        let patience = self.patience(&uri)?;
        let _creating = device::creation_lock();
        let mut registry = REGISTRY.lock();
        let opened = open::create(&uri)?;
        let uuid = opened.superblock.uuid;
        let control_path = opened.device.control_path(&uuid, opened.node);
        let control = ControlFile::create(&control_path, opened.device.mode()?, opened.device.is_one_host())?;
        let made = self.join(&uri, opened, patience).and_then(|tables| {
            prefault(&uri, &tables)?;
            tables.opened.write_superblock();
            tables.opened.device.commit()?;
            control.created()?;
            Ok(tables)
        });
        let tables = match made {
            Ok(tables) => Arc::new(tables),
            Err(e) => {
                file::unlink(&control_path)?;
                return Err(e);
            }
        };
        registry.add(&tables);
        drop(registry);
        start(&tables);
        Ok(Region::new(tables))
    }

    /// Opens the region that `uri` names. Opening it again in this process shares the mapping.
    ///
    /// Whoever opens a region trusts its publishers to keep Arrow's rules: structure is checked, values in
    /// buffers are their word (see [`OpenOptions::validate`](crate::OpenOptions)).
    ///
    /// # Errors
    /// [`ErrorKind::RegionNotFound`], [`ErrorKind::PermissionDenied`], [`ErrorKind::NotARegion`],
    /// [`ErrorKind::LayoutMismatch`], [`ErrorKind::OptionMismatch`], [`ErrorKind::Truncated`],
    /// [`ErrorKind::AddressTaken`], ...
    pub fn open(&self, uri: &str) -> Result<Region> {
        let uri = cluster::uri(uri)?;
        let patience = self.patience(&uri)?;
        let mut registry = REGISTRY.lock();
        if let Some(tables) = open::find(&uri)?.and_then(|uuid| registry.get(uuid.as_bytes())) {
            open::check_again(&uri, &tables.opened)?;
            return Ok(Region::new(tables));
        }
        let opened = open_when_free(&uri)?;
        let tables = self
            .join(&uri, opened, patience)
            .map_err(|e| e.context(format_args!("region {:?}", uri.label())))?;
        let tables = Arc::new(tables);
        registry.add(&tables);
        drop(registry);
        start(&tables);
        prefault(&uri, &tables)?;
        Ok(Region::new(tables))
    }

    /// Removes the region that `uri` names.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] while any process, this one included, has it open; [`ErrorKind::NotYours`].
    pub fn destroy(&self, uri: &str) -> Result<()> {
        let uri = cluster::uri(uri)?;
        let device = device::open(&uri, true)?;
        if let Some(uid) = device.owner_uid()?.filter(|uid| *uid != process::effective_uid()) {
            let text = format!("region {:?} belongs to user {uid}; only that user removes it", uri.label());
            return Err(Error::new(ErrorKind::NotYours, text));
        }
        // Even a damaged region can be removed, whether or not it can say which one it is.
        let found = match open::peek(&*device, false) {
            Ok(found) => Some(found),
            // What is damaged can be removed; what shows in no way that it ever was a region is somebody's data.
            Err(e) if !device.is_marked() && e.kind() == ErrorKind::NotARegion => {
                return Err(open::not_found(&uri, &*device, e));
            }
            Err(_) => None,
        };
        if let Some((superblock, _)) = &found {
            open::check_window(&uri, &*device, superblock)?;
            let owner = superblock.owner_node;
            if uri.node(superblock.shape.nodes)? != owner {
                return Err(
                    uri.invalid("node", format_args!("a region is removed on its owner's node, {owner}"))
                );
            }
        }
        let uuid = found.as_ref().map_or(Uuid::nil(), |(superblock, _)| superblock.uuid);
        let paths = device.control_paths(&uuid)?;
        let held = REGISTRY.lock().get(uuid.as_bytes()).is_some();
        let in_use = |path: &PathBuf| ControlFile::open(path, 0, true).is_ok_and(|control| control.in_use());
        if held || paths.iter().any(in_use) {
            let user = if held { "this process" } else { "another process" };
            let text =
                format!("region {0:?} is in use by {user}; csm stat {0} shows who has it open", uri.label());
            return Err(Error::new(ErrorKind::InUse, text));
        }
        if found.is_some() && !device.is_new() {
            self.check_nodes_gone(&uri)?;
        }
        let bytes = found.map_or_else(
            || device.page_bytes(),
            |(superblock, layout)| layout.window_bytes(superblock.shape.max_bytes),
        );
        device.remove(bytes)?;
        paths.iter().try_for_each(|path| match file::unlink(path) {
            Err(e) if e.errno() != libc::ENOENT => Err(e),
            _ => Ok(()),
        })
    }

    /// A window that is no file can be open on hosts whose kernels this one does not know: their nodes say so in it.
    fn check_nodes_gone(&self, uri: &Uri) -> Result<()> {
        let region = self.open(&uri.to_string())?;
        let own = region.info()?.node;
        for node in region.nodes()? {
            if node.node != own && node.members > 0 && node.state != NodeState::Fenced {
                let text = format!(
                    "region {:?}: node {} has it open, in {} processes (last sign of life {} s ago): close it there, or, if that node is                      off, say so first with: csm fence '{uri}' {}",
                    uri.label(),
                    node.node,
                    node.members,
                    node.silent_ns / 1_000_000_000,
                    node.node
                );
                return Err(Error::new(ErrorKind::InUse, text));
            }
        }
        Ok(())
    }

    fn patience(&self, uri: &Uri) -> Result<Duration> {
        Ok(uri.duration("wait")?.unwrap_or(self.options.patience))
    }

    /// Becomes a member of a mapped region.
    fn join(&self, uri: &Uri, opened: Opened, patience: Duration) -> Result<Tables> {
        let uuid: Uuid = opened.superblock.uuid;
        let space = opened.space.clone();
        let device = &opened.device;
        let path = device.control_path(&uuid, opened.node);
        let control = ControlFile::open(&path, device.mode()?, device.is_one_host())?;
        let member = Arc::new(Member::join(space.clone(), control.clone(), device.boot()?, patience)?);
        let heap =
            opened.writable.then(|| Heap::new(space.clone(), member.clone())).transpose()?.map(Arc::new);
        let leases = Leases::new(space.clone(), member.clone());
        if member.took_over() {
            leases.reap(member.slot());
            if let Some(heap) = &heap {
                heap.reap(member.slot())?;
            }
        }
        let beat = (!device.is_one_host()).then(|| Beat::start(member.clone())).transpose()?;
        Ok(Tables {
            last: LastPublished::default(),
            beat,
            label: uri.label(),
            uuid,
            leases,
            forks: process::fork_count(),
            regions: &REGISTRY,
            opened,
            space,
            control,
            member,
            heap,
            patience,
        })
    }
}

/// Opens a region whose last handle another thread may be dropping at this moment.
fn open_when_free(uri: &Uri) -> Result<Opened> {
    let deadline = Instant::now() + CLOSING;
    loop {
        match open::open(uri) {
            Err(e) if e.kind() == ErrorKind::AddressTaken && Instant::now() < deadline => {
                std::thread::yield_now()
            }
            result => return result,
        }
    }
}

/// Clears up after the dead, and lets the heap ask for space when it is full.
fn start(tables: &Arc<Tables>) {
    if let Err(e) = tables.reap() {
        log::warn!("region {}: clearing up after dead processes: {e}", tables.label);
    }
    if let Some(heap) = &tables.heap {
        let weak = Arc::downgrade(tables);
        heap.set_reclaim(move || weak.upgrade().is_some_and(|tables| tables.make_room()));
    }
}

fn prefault(uri: &Uri, tables: &Tables) -> Result<()> {
    if uri.choice("prefault", &[("no", false), ("yes", true)])?.unwrap_or(false) {
        let start = tables.space.layout().data_off;
        let range = start..start + tables.space.data_bytes();
        tables.space.mapping().prefault(range, tables.opened.writable)?;
    }
    Ok(())
}
