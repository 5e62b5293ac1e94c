//! By the kernel: a pipe each way, and a UNIX stream socket. The reader sleeps until there is something.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;

use super::{Entry, Link, Means, Side};

/// The four ends of two pipes.
pub(crate) fn pipes() -> Vec<i32> {
    let mut fds = [-1; 4];
    for pair in fds.chunks_exact_mut(2) {
        // SAFETY: room for two. Not closed on exec: the far process uses them.
        let done = unsafe { libc::pipe(pair.as_mut_ptr()) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }
    fds.to_vec()
}

/// The two ends of a socket.
pub(crate) fn sockets() -> Vec<i32> {
    let mut fds = [-1; 2];
    // SAFETY: room for two.
    let done = unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, fds.as_mut_ptr()) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    fds.to_vec()
}

struct Stream {
    to: File,
    from: File,
}

impl Stream {
    fn link(to: i32, from: i32) -> Box<dyn Link> {
        // Copies: the ends belong to the whole process.
        // SAFETY: a descriptor that nobody else has.
        let own = |fd| unsafe { File::from_raw_fd(libc::dup(fd)) };
        Box::new(Self { to: own(to), from: own(from) })
    }
}

impl Link for Stream {
    fn send(&mut self, bytes: &[u8]) {
        self.to.write_all(bytes).expect("write");
    }

    fn receive(&mut self, into: &mut [u8]) {
        self.from.read_exact(into).expect("read");
    }
}

pub(crate) fn pipe(means: &Means) -> Entry {
    let [read_far, write_near, read_near, write_far] = means.fds[1..5] else { panic!("four ends") };
    let (to, from) = if means.side == Side::Near { (write_near, read_near) } else { (write_far, read_far) };
    Entry {
        who: "pipe",
        how: "waited for",
        limit: false,
        answers: true,
        includes: "write by the sender, read by a receiver who sleeps in it",
        link: Stream::link(to, from),
    }
}

pub(crate) fn socket(means: &Means) -> Entry {
    let end = means.fds[5 + means.side.sends_by()];
    Entry {
        who: "UNIX socket",
        how: "waited for",
        limit: false,
        answers: true,
        includes: "write by the sender, read by a receiver who sleeps in it",
        link: Stream::link(end, end),
    }
}
