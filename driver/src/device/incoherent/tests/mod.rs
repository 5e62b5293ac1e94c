//! Nodes of one link in one process: each has its own view, mapped where there is room.
#![allow(unsafe_code, reason = "programs store to the views")]
#![expect(clippy::single_range_in_vec_init, reason = "one part of a window has memory behind it")]

mod life;
mod moving;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use memmap2::MmapRaw;

use super::*;
use crate::units::KIB;

const SIZE: u64 = 256 * KIB;
/// Up to here node 0 writes, from here on node 1.
const OF_NODE_1: u64 = 128 * KIB;

/// A link with a name of its own, removed with it.
struct Region {
    uri: String,
    made: Option<Incoherent>,
}

impl Region {
    fn new(options: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("unit-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let uri = format!("incoherent:{name}");
        let device = Incoherent::create(&parse(&uri, &format!("nodes=4&{options}"))).expect("create");
        device.extend(SIZE, &[0..SIZE], false).expect("extend");
        device.commit().expect("commit");
        Self { uri, made: Some(device) }
    }

    fn open(&self, options: &str) -> Incoherent {
        Incoherent::open(&parse(&self.uri, options), true).expect("open")
    }

    fn node(&self, node: u64) -> Node {
        self.node_with(node, "")
    }

    fn node_with(&self, node: u64, options: &str) -> Node {
        Node::new(self.open(&format!("node={node}&{options}")))
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        self.made.take().expect("made").remove(0).expect("remove");
    }
}

fn parse(uri: &str, options: &str) -> Uri {
    Uri::parse(&format!("{uri}?{options}")).expect("uri")
}

/// A program on a node.
struct Node {
    device: Incoherent,
    ops: Box<dyn CacheOps>,
    view: MmapRaw,
}

impl Node {
    fn new(device: Incoherent) -> Self {
        let view = MmapRaw::map_raw(device.file().0).expect("map");
        let ops = device.cache_ops(view.as_ptr()).expect("ops");
        device.set_writers(&[(0..OF_NODE_1, 0), (OF_NODE_1..SIZE, 1)]);
        Self { device, ops, view }
    }

    fn at(&self, off: u64) -> *const u8 {
        self.view.as_ptr().wrapping_add(usize::try_from(off).expect("offset"))
    }

    fn word(&self, off: u64) -> &AtomicU64 {
        assert!(off + 8 <= self.view.len() as u64);
        #[expect(clippy::cast_ptr_alignment, reason = "callers name words")]
        // SAFETY: inside the mapping, aligned, and only used as an atomic.
        unsafe {
            &*self.at(off).cast::<AtomicU64>()
        }
    }

    fn load(&self, off: u64) -> u64 {
        self.word(off).load(Ordering::Acquire)
    }

    fn store(&self, off: u64, value: u64) {
        self.word(off).store(value, Ordering::Release);
    }

    fn write_home(&self, off: u64) {
        self.ops.write_back(self.at(off), 8);
        self.ops.fence();
    }

    fn fetch(&self, off: u64) {
        self.ops.invalidate(self.at(off), 8);
        self.ops.fence();
    }
}
