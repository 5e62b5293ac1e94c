//! The cache instructions of a simulated node: started now, done until the fence of the same thread.
//!
//! What a thread started and did not fence stays undone, as it may on a real machine, so that a missing fence shows.
#![allow(unsafe_code, reason = "a copy between addresses that the caller vouches for")]

use std::cell::RefCell;
use std::ops::Range;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Weak};

use super::adversary::{Adversary, Timing};
use super::opening::{Op, Opening, What};
use crate::arch::CacheOps;
use crate::units::index;

/// The instructions of one opening, for a window mapped at `base`.
pub(super) struct SimulatedCache {
    opening: Arc<Opening>,
    base: u64,
}

/// What one thread has started on one opening.
struct Lane {
    opening: Weak<Opening>,
    adversary: Option<Adversary>,
    queue: Vec<Op>,
}

thread_local! {
    static LANES: RefCell<Vec<Lane>> = const { RefCell::new(Vec::new()) };
}

/// The lane of this thread; None when the thread is ending.
fn with_lane<T>(opening: &Arc<Opening>, work: impl FnOnce(&mut Lane) -> T) -> Option<T> {
    let in_lanes = |lanes: &mut Vec<Lane>| {
        let mine = |lane: &Lane| std::ptr::eq(lane.opening.as_ptr(), Arc::as_ptr(opening));
        if let Some(lane) = lanes.iter_mut().find(|lane| mine(lane)) {
            return Some(work(lane));
        }
        lanes.retain(|lane| lane.opening.strong_count() > 0);
        let adversary = Adversary::new(opening.seed, opening.node, opening.next_stream());
        lanes.push(Lane { opening: Arc::downgrade(opening), adversary, queue: Vec::new() });
        lanes.last_mut().map(work)
    };
    LANES.try_with(|lanes| in_lanes(&mut *lanes.try_borrow_mut().ok()?)).ok().flatten()
}

impl SimulatedCache {
    pub(super) fn new(opening: Arc<Opening>, base: *const u8) -> Self {
        Self { opening, base: base as u64 }
    }

    fn start(&self, what: What, address: *const u8, len: u64) {
        let line = self.opening.line_bytes();
        let off = (address as u64).wrapping_sub(self.base);
        if len == 0 || off > off.wrapping_add(len + line) {
            // Nothing, or not in the window.
            return;
        }
        let op =
            Op { what, range: Range { start: off / line * line, end: (off + len).next_multiple_of(line) } };
        let now = with_lane(&self.opening, |lane| lane.start(op.clone(), &self.opening));
        self.opening.perform(&now.unwrap_or_else(|| vec![op]));
    }
}

impl Lane {
    /// Queues an instruction, and says what is done at once.
    fn start(&mut self, op: Op, opening: &Opening) -> Vec<Op> {
        let Some(adversary) = &mut self.adversary else {
            self.queue.push(op);
            return Vec::new();
        };
        let mut now = Vec::new();
        match adversary.timing(&op.range, opening.line_bytes()) {
            Timing::AtOnce => now.push(op),
            Timing::AtTheFence => self.queue.push(op),
            Timing::Partly(cut, first) => {
                let (head, tail) = (op.range.start..cut, cut..op.range.end);
                let (early, late) = if first { (head, tail) } else { (tail, head) };
                now.push(Op { what: op.what, range: early });
                self.queue.push(Op { what: op.what, range: late });
            }
        }
        let unasked = adversary.unasked(false);
        self.add_unasked(unasked, opening, &mut now);
        now
    }

    /// What is to be done at the fence, and whether any of it was asked for.
    fn complete(&mut self, opening: &Opening) -> (Vec<Op>, bool) {
        let mut ops = std::mem::take(&mut self.queue);
        let asked = !ops.is_empty();
        if let Some(unasked) = self.adversary.as_mut().map(|adversary| adversary.unasked(!asked)) {
            self.add_unasked(unasked, opening, &mut ops);
        }
        if let Some(adversary) = &mut self.adversary {
            adversary.shuffle(&mut ops);
        }
        (ops, asked)
    }

    fn add_unasked(&mut self, count: u64, opening: &Opening, ops: &mut Vec<Op>) {
        let Some(adversary) = self.adversary.as_mut().filter(|_| count > 0) else { return };
        let (line, metadata) = (opening.line_bytes(), opening.metadata_bytes());
        if metadata == 0 {
            // It is not known yet who writes what: an eviction could overwrite what another node wrote.
            return;
        }
        for _ in 0..count {
            let start = adversary.line(metadata, line);
            // Touching what has no memory behind it would take memory that nobody set aside.
            if opening.link.backed().any(|range| range.start <= start && start + line <= range.end) {
                ops.push(Op { what: What::Invalidate, range: start..start + line });
            }
        }
    }
}

impl CacheOps for SimulatedCache {
    fn line_bytes(&self) -> u64 {
        self.opening.line_bytes()
    }

    fn write_back(&self, address: *const u8, len: u64) {
        self.start(What::WriteBack, address, len);
    }

    fn invalidate(&self, address: *const u8, len: u64) {
        self.start(What::Invalidate, address, len);
    }

    fn fence(&self) {
        fence(Ordering::SeqCst);
        let (ops, asked) = with_lane(&self.opening, |lane| lane.complete(&self.opening)).unwrap_or_default();
        if ops.is_empty() {
            return;
        }
        if asked && !self.opening.delay.is_zero() && !self.opening.is_lost() {
            std::thread::sleep(self.opening.delay);
        }
        self.opening.perform(&ops);
        fence(Ordering::SeqCst);
    }

    unsafe fn copy_home(&self, from: *const u8, to: *mut u8, len: u64) {
        // SAFETY: the caller's contract.
        unsafe { std::ptr::copy_nonoverlapping(from, to, index(len)) };
        self.write_back(to, len);
    }
}
