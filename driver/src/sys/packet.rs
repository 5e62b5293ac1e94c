//! Packets between processes of one host, each with at most one descriptor beside its bytes.
//!
//! Sockets of the kind SOCK_SEQPACKET: a packet arrives whole or not at all, and the end of the other process is seen.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr,
    UnixCredentials, accept4, bind, connect, getsockopt, listen, recvmsg, sendmsg, socket,
};
use nix::sys::stat::{Mode, fchmod};

use crate::error::{Error, Result};

fn failed(call: &str, path: &Path, errno: Errno) -> Error {
    Error::system(format_args!("{call}({})", path.display()), errno as i32)
}

fn new(path: &Path, flags: SockFlag) -> Result<(OwnedFd, UnixAddr)> {
    let address = UnixAddr::new(path).map_err(|e| failed("socket address", path, e))?;
    let fd = socket(AddressFamily::Unix, SockType::SeqPacket, flags | SockFlag::SOCK_CLOEXEC, None)
        .map_err(|e| Error::system("socket(AF_UNIX, SOCK_SEQPACKET)", e as i32))?;
    Ok((fd, address))
}

/// Listens at `path`, where only this user may connect until the path's mode says otherwise.
pub(crate) fn listen_at(path: &Path) -> Result<OwnedFd> {
    let (fd, address) = new(path, SockFlag::SOCK_NONBLOCK)?;
    // Linux makes the path with the mode of the socket: there is no moment in which others may connect.
    fchmod(&fd, Mode::S_IRUSR | Mode::S_IWUSR).map_err(|e| failed("fchmod", path, e))?;
    bind(fd.as_raw_fd(), &address).map_err(|e| failed("bind", path, e))?;
    listen(&fd, Backlog::MAXCONN).map_err(|e| failed("listen", path, e))?;
    Ok(fd)
}

/// The next connection, which never blocks; None when nobody waits.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
    match accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK) {
        // SAFETY: a new descriptor that nobody else has.
        Ok(fd) => Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) })),
        Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNABORTED) => Ok(None),
        Err(e) => Err(Error::system("accept4", e as i32)),
    }
}

/// Connects to whoever listens at `path`.
pub(crate) fn connect_to(path: &Path) -> Result<OwnedFd> {
    let (fd, address) = new(path, SockFlag::empty())?;
    connect(fd.as_raw_fd(), &address).map_err(|e| failed("connect", path, e))?;
    Ok(fd)
}

/// Who is at the other end, as it was when it connected or listened.
pub(crate) fn peer(fd: BorrowedFd<'_>) -> Result<UnixCredentials> {
    getsockopt(&fd, PeerCredentials).map_err(|e| Error::system("getsockopt(SO_PEERCRED)", e as i32))
}

/// Sends a packet.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> Result<()> {
    let fds = descriptor.map(|fd| [fd.as_raw_fd()]);
    let rights = fds.as_ref().map(|fds| [ControlMessage::ScmRights(fds)]);
    let beside = rights.as_ref().map_or(&[][..], |rights| &rights[..]);
    loop {
        let iov = [IoSlice::new(bytes)];
        // A peer that is gone is an error here, no SIGPIPE.
        match sendmsg::<UnixAddr>(socket.as_raw_fd(), &iov, beside, MsgFlags::MSG_NOSIGNAL, None) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(Error::system("sendmsg(SOCK_SEQPACKET)", e as i32)),
        }
    }
}

/// Receives a packet, and what came beside it; no bytes when the other end is gone. What does not fit is cut off.
pub(crate) fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<(usize, Option<OwnedFd>)> {
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 1]);
    loop {
        let mut iov = [IoSliceMut::new(bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        match recvmsg::<UnixAddr>(socket.as_fd().as_raw_fd(), &mut iov, Some(&mut space), flags) {
            Ok(message) => {
                let mut received = Vec::new();
                let beside = message.cmsgs().map_err(|e| Error::system("recvmsg(SCM_RIGHTS)", e as i32))?;
                for control in beside {
                    if let ControlMessageOwned::ScmRights(fds) = control {
                        // SAFETY: new descriptors that nobody else has.
                        received.extend(fds.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
                    }
                }
                return Ok((message.bytes, received.pop()));
            }
            Err(Errno::EINTR) => {}
            Err(e) => return Err(Error::system("recvmsg(SOCK_SEQPACKET)", e as i32)),
        }
    }
}
