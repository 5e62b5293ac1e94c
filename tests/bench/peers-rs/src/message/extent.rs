//! libcsm's raw extents: two that stay, a sequence number before each message, release by the sender and acquire by the
//! receiver. What a program does that has its own protocol and wants the library's addresses and coherence. Lines are laid out
//! as the bare link's: a small message lies behind its number and moves with it.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use csm::{Context, Region};

use super::bare::{LARGE_AT, place};
use super::{Entry, Link, MOST, Means, Side};

/// Where the near side says where the extents are: their addresses are the same in both processes.
const NAMES: [&str; 2] = ["extent-there", "extent-back"];

struct Raw {
    region: Region,
    to: NonNull<u8>,
    from: NonNull<u8>,
    sent: u64,
    got: u64,
    releases: bool,
}

fn number<'a>(extent: NonNull<u8>) -> &'a AtomicU64 {
    // SAFETY: the first word of an extent that is never freed, of a region that stays open.
    unsafe { extent.cast::<AtomicU64>().as_ref() }
}

/// Bytes of the number and of what lies in its line, for a message of `len` bytes.
fn with_number(len: usize) -> u64 {
    (if place(len) == LARGE_AT { 8 } else { 8 + len }) as u64
}

impl Link for Raw {
    fn send(&mut self, bytes: &[u8]) {
        let at = place(bytes.len());
        // SAFETY: inside the extent; the other side reads it when it sees the number.
        let body = unsafe { self.to.add(at) }.as_ptr();
        // SAFETY: as above.
        unsafe { body.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        if self.releases && at == LARGE_AT {
            self.region.release(body, bytes.len() as u64).expect("release");
        }
        self.sent += 1;
        number(self.to).store(self.sent, Ordering::Release);
        if self.releases {
            self.region.release(self.to.as_ptr(), with_number(bytes.len())).expect("release");
        }
    }

    fn receive(&mut self, into: &mut [u8]) {
        self.got += 1;
        let at = place(into.len());
        loop {
            self.region.acquire(self.from.as_ptr(), with_number(into.len())).expect("acquire");
            if number(self.from).load(Ordering::Acquire) == self.got {
                break;
            }
            std::hint::spin_loop();
        }
        // SAFETY: inside the extent; the other side waits for the answer before it writes again.
        let body = unsafe { self.from.add(at) }.as_ptr();
        if at == LARGE_AT {
            self.region.acquire(body, into.len() as u64).expect("acquire");
        }
        // SAFETY: as above.
        unsafe { into.as_mut_ptr().copy_from_nonoverlapping(body, into.len()) };
    }
}

/// The extents: made by the near side, which writes their addresses into a file that both know.
fn link(uri: &str, side: Side) -> Raw {
    let region = Context::new().and_then(|context| context.open(uri)).expect("open");
    let file = |name: &str| {
        let uri = uri.split('?').next().expect("a URI").replace(':', "-");
        std::env::temp_dir().join(format!("{uri}-{name}"))
    };
    let extents = NAMES.map(|name| {
        if side == Side::Near {
            let extent = region.alloc((LARGE_AT + MOST) as u64, LARGE_AT as u64).expect("room");
            number(extent).store(0, Ordering::Relaxed);
            region.release(extent.as_ptr(), LARGE_AT as u64).expect("release");
            std::fs::write(file(name), extent.as_ptr().addr().to_string()).expect("a file");
            extent
        } else {
            let text = std::fs::read_to_string(file(name)).expect("the file of the other side");
            std::fs::remove_file(file(name)).expect("a file");
            let address = text.parse::<usize>().expect("an address");
            NonNull::new(std::ptr::with_exposed_provenance_mut(address)).expect("an address")
        }
    });
    let (to, from) = (extents[side.sends_by()], extents[1 - side.sends_by()]);
    // Only the owner's node has stored there, and only it can.
    let releases = region.info().expect("info").node == 0;
    Raw { region, to, from, sent: 0, got: 0, releases }
}

pub(crate) fn coherent(means: &Means) -> Entry {
    Entry {
        who: "libcsm, raw extent",
        how: "polled",
        limit: false,
        answers: true,
        includes: "store, Region::release, Region::acquire, load: on a link that needs neither they check their arguments",
        link: Box::new(link(&means.coherent, means.side)),
    }
}

pub(crate) fn across(means: &Means) -> Entry {
    Entry {
        who: "libcsm, raw extent",
        how: "between nodes",
        limit: false,
        answers: false,
        includes: "store, Region::release by node 0; Region::acquire by node 1, load, again until it is there",
        link: Box::new(link(&means.incoherent, means.side)),
    }
}
