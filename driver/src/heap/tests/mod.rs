//! Tests of the heap on a region of plain memory, with members that are told whether they live.

mod basic;
#[cfg(feature = "test-hooks")]
mod crash;
mod damage;
mod model;
mod published;
mod trace;

use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::report::{HeapStats, stats, verify};
use super::{Heap, Process};
use crate::arch::{CacheOps, Coherent};
use crate::coherence::Coherence;
use crate::device::{CoherenceReport, Device};
use crate::error::{Error, Result};
use crate::map::{DEFAULT_BASE, Mapping, Part};
use crate::member::Stat;
use crate::region::layout::{LINE_BYTES, Layout, MEMBER_STAT_SHARDS, Shape};
use crate::region::lock::Holder;
use crate::region::space::{Control, Space};
use crate::region::word::Word;
use crate::sys::file::memory_file;
use crate::units::{MIB, TIB};

const MEMBERS: usize = 4;

/// A region of plain memory.
struct Region {
    space: Arc<Space>,
    alive: Arc<[AtomicBool; MEMBERS]>,
}

struct Memory(File);

impl Device for Memory {
    fn coherence(&self) -> CoherenceReport {
        CoherenceReport::GLOBAL
    }
    fn cache_ops(&self, _: *const u8) -> Result<Box<dyn CacheOps>> {
        Ok(Box::new(Coherent))
    }
    fn file(&self) -> (&File, u64) {
        (&self.0, 0)
    }
    fn len_bytes(&self) -> Result<u64> {
        Ok(u64::MAX)
    }
    fn owner_uid(&self) -> Result<Option<u32>> {
        Ok(None)
    }
    fn mode(&self) -> Result<u32> {
        Ok(0o600)
    }
    fn page_bytes(&self) -> u64 {
        4096
    }
    fn extend(&self, _: u64, _: &[Range<u64>], _: bool) -> Result<()> {
        Ok(())
    }
    fn commit(&self) -> Result<()> {
        Ok(())
    }
    fn is_one_host(&self) -> bool {
        true
    }

    fn boot(&self) -> Result<u64> {
        Ok(1)
    }

    fn control_paths(&self, _: &uuid::Uuid) -> Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }

    fn control_path(&self, _: &uuid::Uuid, _: u64) -> PathBuf {
        PathBuf::new()
    }
    fn remove(&self, _: u64) -> Result<()> {
        Ok(())
    }
}

impl Region {
    /// A region with `data_mib` MiB of data that can grow to `max_mib`.
    fn new(data_mib: u64, max_mib: u64) -> Self {
        static WINDOWS: AtomicU64 = AtomicU64::new(0);
        let overhead = 4 * MIB;
        let shape = Shape {
            size_bytes: data_mib * MIB + overhead,
            max_bytes: max_mib * MIB + overhead,
            nodes: 1,
            members: MEMBERS as u64,
            leases: 8,
            names: 8,
            protect: false,
        };
        let layout = Layout::new(shape).expect("layout");
        let window = layout.window_bytes(shape.max_bytes);
        let device = Arc::new(Memory(memory_file(window)));
        let base = DEFAULT_BASE + 20 * TIB + WINDOWS.fetch_add(1, Ordering::Relaxed) % 512 * (2 << 30);
        let mapping = Mapping::new(
            base,
            &crate::map::Source { file: &device.0, off: 0, sync: false },
            &[Part { range: 0..window, writable: true }],
        )
        .expect("map");
        let coherence = Coherence::new(device.clone(), &device.coherence(), mapping.base(), 0, 0);
        let space = Space::new(Arc::new(mapping), layout, device, coherence.expect("coherence"), 0, 0);
        space.control(Control::Size).store(shape.size_bytes);
        Self { space: Arc::new(space), alive: Arc::new([const { AtomicBool::new(true) }; MEMBERS]) }
    }

    /// The heap of the member in `slot`.
    fn heap(&self, slot: u16) -> Heap {
        let member = Tester { space: self.space.clone(), slot, alive: self.alive.clone() };
        Heap::new(self.space.clone(), Arc::new(member)).expect("heap")
    }

    fn live_bytes(&self, slot: u16) -> u64 {
        let shards = (0..MEMBER_STAT_SHARDS).map(|shard| stat_line(&self.space, slot, shard));
        shards.fold(0u64, |sum, line| sum.wrapping_add(line[Stat::LiveBytes as usize].load()))
    }

    fn stats(&self) -> HeapStats {
        let living = (0..4).filter(|&slot| self.alive[usize::from(slot)].load(Ordering::Relaxed));
        stats(
            &self.space,
            self.space.news().region_owned_bytes,
            living.map(|slot| self.live_bytes(slot)).sum(),
        )
    }

    /// Everything that `verify` finds wrong.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let is_member =
            |slot: u16| self.alive.get(usize::from(slot)).is_some_and(|alive| alive.load(Ordering::Relaxed));
        verify(&self.space, &is_member, &mut |fault| faults.push(fault));
        faults
    }

    #[track_caller]
    fn assert_sound(&self) {
        let faults = self.faults();
        assert!(faults.is_empty(), "{faults:#?}");
    }

    /// The `len` bytes at `off`.
    #[expect(clippy::mut_from_ref, reason = "memory of the region that the test has allocated")]
    fn bytes(&self, off: u64, len: u64) -> &mut [u8] {
        // SAFETY: inside the mapping; the test uses what it allocated, from one thread at a time.
        unsafe { std::slice::from_raw_parts_mut(self.space.ptr(off), usize::try_from(len).expect("length")) }
    }
}

/// Whether all bytes are `byte`: quick even in a build without optimization.
fn is_filled(bytes: &[u8], byte: u8) -> bool {
    bytes.is_empty() || bytes[0] == byte && bytes[1..] == bytes[..bytes.len() - 1]
}

fn stat_line(space: &Space, slot: u16, shard: u64) -> &[Word] {
    let off = space.layout().member_off(0, slot.into()) + (2 + shard) * LINE_BYTES;
    space.words(off, LINE_BYTES / 8)
}

struct Tester {
    space: Arc<Space>,
    slot: u16,
    alive: Arc<[AtomicBool; MEMBERS]>,
}

impl Holder for Tester {
    fn identity(&self) -> (u16, u32) {
        (self.slot, 1)
    }
    fn is_alive(&self, slot: u16, _: u32) -> bool {
        self.alive.get(usize::from(slot)).is_some_and(|alive| alive.load(Ordering::Relaxed))
    }
    fn describe(&self, slot: u16) -> String {
        format!("member {slot}")
    }
}

impl Process for Tester {
    fn shard(&self, shard: u64) -> &[Word] {
        stat_line(&self.space, self.slot, shard)
    }
}

/// Random numbers that are the same every time (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A size as Arrow asks for: any magnitude from 1 byte to `most`.
    fn size(&mut self, most: u64) -> u64 {
        let magnitude = self.below(u64::from(most.ilog2()) + 1);
        (1 + self.below(2 << magnitude)).min(most)
    }
}

#[track_caller]
fn kind_of<T: std::fmt::Debug>(result: Result<T>) -> crate::error::ErrorKind {
    result.map_err(|e: Error| e.kind()).expect_err("must fail")
}
