//! Lending: how a process that holds a group gives its devices to other processes of the host.
//!
//! The kernel opens a group for one process alone, and a device's descriptor works in any. So the holder listens at
//! RUN/vfio-group-N.socket; whoever connects asks for a device by its address, gets a duplicate of its descriptor, and
//! keeps the connection as long as it uses the device: the holder sees who does, and sees it end however it ends.
//! Who may ask is who may connect, which the kernel decides by the socket's mode: that of /dev/vfio/N.

use std::collections::HashMap;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::Gid;

use super::address::PciAddress;
use crate::error::{Error, ErrorKind, Result};
use crate::sys::{file, packet, process};

/// What a request begins with; the address follows.
const REQUEST: &str = "csm-vfio-1 ";
/// What an answer with a descriptor says; any other is the reason why there is none.
const GIVEN: &[u8] = b"given";
const PACKET_BYTES_MAX: usize = 4096;
/// Processes that one holder lends to.
const BORROWERS_MAX: usize = 1000;
/// How long a holder may take to answer: it does nothing else.
const ANSWER: Duration = Duration::from_secs(5);

/// Where the holder of a group listens.
pub(super) fn socket_path(run: &Path, group: u32) -> PathBuf {
    run.join(format!("vfio-group-{group}.socket"))
}

/// A process that was lent a device and has not ended or closed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Borrower {
    /// Its process id.
    pub pid: i32,
    /// Its user id.
    pub uid: u32,
    /// The device it has; None before it asked.
    pub device: Option<PciAddress>,
}

/// Opens a device for a borrower.
pub(super) type Opener = Box<dyn Fn(PciAddress) -> Result<OwnedFd> + Send>;

/// Lends until it is dropped. What was lent stays with the borrowers.
#[derive(Debug)]
pub(super) struct Lender {
    path: PathBuf,
    wake: Arc<EventFd>,
    borrowers: Arc<Mutex<HashMap<u64, Borrower>>>,
    thread: Option<JoinHandle<()>>,
    forks: u32,
}

impl Lender {
    /// Listens at `path`. `like`: the file whose mode and group the socket gets. The caller has the group, so a socket that
    /// is there already was left by a process that died.
    pub(super) fn start(path: PathBuf, like: &Path, opener: Opener) -> Result<Self> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(|e| {
                let e = super::sysfs::failed("mkdir", dir, &e);
                e.hint("run as root, or set CSM_RUN_DIR to a directory that all users of the device agree on")
            })?;
        }
        if path.symlink_metadata().is_ok() {
            file::unlink(&path)?;
        }
        let wake = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|e| Error::system("eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)", e as i32))?;
        let listener = packet::listen_at(&path)?;
        // From here on, dropping it removes the socket.
        let (wake, forks) = (Arc::new(wake), process::fork_count());
        let mut this = Self { path, wake, borrowers: Arc::default(), thread: None, forks };
        share(&this.path, like);
        let server = Server { listener, wake: this.wake.clone(), borrowers: this.borrowers.clone(), opener };
        let thread = std::thread::Builder::new().name("csm-vfio-lender".to_owned()).spawn(|| server.run());
        this.thread =
            Some(thread.map_err(|e| Error::system("clone(lender thread)", e.raw_os_error().unwrap_or(0)))?);
        Ok(this)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn borrowers(&self) -> Vec<Borrower> {
        let mut all: Vec<_> = locked(&self.borrowers).values().cloned().collect();
        all.sort_by_key(|borrower| borrower.pid);
        all
    }
}

impl Drop for Lender {
    fn drop(&mut self) {
        // What a child inherited is the parent's: the thread, and the socket's name.
        if self.forks != process::fork_count() {
            return;
        }
        if let Err(e) = self.wake.write(1) {
            log::error!("write(eventfd of a VFIO lender): {e}");
            return;
        }
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("a VFIO lender's thread ended unexpectedly");
        }
        if let Err(e) = file::unlink(&self.path) {
            log::warn!("{e}");
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets those connect who may open `like`: its group, then its mode, so that no other group ever may.
fn share(path: &Path, like: &Path) {
    let Ok(meta) = like.metadata() else { return };
    let mode = meta.mode() & 0o666 | 0o600;
    if mode == 0o600 {
        return;
    }
    let shared =
        nix::unistd::chown(path, None, Some(Gid::from_raw(meta.gid()))).map_err(|e| e.to_string()).and_then(
            |()| fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|e| e.to_string()),
        );
    if let Err(e) = shared {
        log::warn!(
            "{} stays this user's alone: chgrp {} and chmod {mode:o}: {e}",
            path.display(),
            meta.gid()
        );
    }
}

/// The thread's side.
struct Server {
    listener: OwnedFd,
    wake: Arc<EventFd>,
    borrowers: Arc<Mutex<HashMap<u64, Borrower>>>,
    opener: Opener,
}

impl Server {
    fn run(self) {
        let mut clients: Vec<(u64, OwnedFd)> = Vec::new();
        let mut next = 0;
        loop {
            let mut fds = vec![
                PollFd::new(self.wake.as_fd(), PollFlags::POLLIN),
                // Those who come when there are enough wait until another one goes.
                PollFd::new(
                    self.listener.as_fd(),
                    if clients.len() < BORROWERS_MAX { PollFlags::POLLIN } else { PollFlags::empty() },
                ),
            ];
            fds.extend(clients.iter().map(|(_, fd)| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(e) => {
                    log::error!("poll(VFIO lender): {e}; it lends no more");
                    return;
                }
            }
            let ready: Vec<_> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
            drop(fds);
            if ready[0] {
                return;
            }
            let (waiting, mut ready) = (ready[1], ready[2..].iter());
            clients.retain(|(id, fd)| {
                if !ready.next().copied().unwrap_or(false) || self.answer(*id, fd.as_fd()) {
                    return true;
                }
                locked(&self.borrowers).remove(id);
                false
            });
            if !waiting {
                continue;
            }
            match self.accept() {
                Ok(None) => {}
                Ok(Some((client, borrower))) => {
                    locked(&self.borrowers).insert(next, borrower);
                    clients.push((next, client));
                    next += 1;
                }
                Err(e) => log::warn!("a VFIO lender: {e}"),
            }
        }
    }

    fn accept(&self) -> Result<Option<(OwnedFd, Borrower)>> {
        let Some(client) = packet::accept(self.listener.as_fd())? else { return Ok(None) };
        let peer = packet::peer(client.as_fd())?;
        Ok(Some((client, Borrower { pid: peer.pid(), uid: peer.uid(), device: None })))
    }

    /// Answers a packet; whether the connection goes on.
    fn answer(&self, id: u64, client: BorrowedFd<'_>) -> bool {
        let mut bytes = [0; PACKET_BYTES_MAX];
        let request = match packet::receive(client, &mut bytes) {
            Ok((len, _)) if len > 0 => String::from_utf8_lossy(&bytes[..len]),
            _ => return false,
        };
        let opened = request.strip_prefix(REQUEST).map_or_else(
            || Err(Error::new(ErrorKind::InvalidArgument, "this holder is of another version")),
            |address| {
                let address = address.parse()?;
                Ok((address, (self.opener)(address)?))
            },
        );
        match opened {
            Ok((address, fd)) => {
                if let Some(borrower) = locked(&self.borrowers).get_mut(&id) {
                    borrower.device = Some(address);
                }
                packet::send(client, GIVEN, Some(fd.as_fd())).is_ok()
            }
            Err(e) => packet::send(client, e.message().as_bytes(), None).is_ok(),
        }
    }
}

/// Asks the holder that listens at `path`, if one does, for a device: its descriptor, and the connection to be kept
/// as long as it is used.
pub(super) fn borrow(path: &Path, address: PciAddress) -> Result<Option<(OwnedFd, OwnedFd)>> {
    let holder = match packet::connect_to(path) {
        Err(e) if matches!(e.errno(), libc::ENOENT | libc::ECONNREFUSED) => return Ok(None),
        Err(e) if e.errno() == libc::EACCES => {
            return Err(e.hint("the process that holds the device lends it to those who may open its group"));
        }
        holder => holder?,
    };
    let peer = packet::peer(holder.as_fd())?;
    if peer.uid() != 0 && peer.uid() != process::effective_uid() {
        let text = format!(
            "process {}, which listens at {}, is user {}'s: neither this user's nor root's; a device is not taken from it",
            peer.pid(),
            path.display(),
            peer.uid()
        );
        return Err(Error::new(ErrorKind::PermissionDenied, text));
    }
    packet::send(holder.as_fd(), format!("{REQUEST}{address}").as_bytes(), None)?;
    await_packet(holder.as_fd(), Instant::now() + ANSWER).map_err(|e| {
        e.context(format_args!("process {} holds PCI device {address} and does not lend it", peer.pid()))
    })?;
    let mut bytes = [0; PACKET_BYTES_MAX];
    let (len, device) = packet::receive(holder.as_fd(), &mut bytes)?;
    match device {
        Some(device) if &bytes[..len] == GIVEN => Ok(Some((device, holder))),
        // It ended between the connection and the answer.
        None if len == 0 => Ok(None),
        _ => {
            let why = String::from_utf8_lossy(&bytes[..len]);
            let text = format!("process {} holds the group of PCI device {address}: {why}", peer.pid());
            Err(Error::new(ErrorKind::InUse, text))
        }
    }
}

fn await_packet(socket: BorrowedFd<'_>, deadline: Instant) -> Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::new(ErrorKind::TimedOut, format!("no answer within {ANSWER:?}")));
        }
        let mut fds = [PollFd::new(socket, PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(e) => return Err(Error::system("poll(holder's socket)", e as i32)),
        }
    }
}
