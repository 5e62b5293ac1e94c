//! One opening of a simulated link by one node: what its cache instructions do when they are done.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::super::Flaw;
use super::held::Way;
use super::link::Link;
use super::writers::Writers;
use crate::error::{Error, Result};
use crate::units::KIB;

/// The lock of the link is not held for more than this at once.
const BATCH_BYTES: u64 = 64 * KIB;

/// A cache instruction on a range of whole lines, by offsets in the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Op {
    pub(super) what: What,
    pub(super) range: Range<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    WriteBack,
    /// Also what moves unasked: one's own lines are evicted, those of others fetched.
    Invalidate,
}

pub(super) struct Opening {
    pub(super) link: Arc<Link>,
    pub(super) node: u64,
    pub(super) seed: u64,
    pub(super) delay: Duration,
    /// Lines after which the link fails.
    pub(super) loss: Option<u64>,
    writers: RwLock<Writers>,
    moved: AtomicU64,
    lost: AtomicBool,
    threads: AtomicU64,
    number: u64,
}

impl Opening {
    pub(super) fn new(link: Arc<Link>, node: u64, seed: u64, delay: Duration, loss: Option<u64>) -> Self {
        let number = link.count_opening();
        Self {
            link,
            node,
            seed,
            delay,
            loss,
            writers: RwLock::default(),
            moved: AtomicU64::new(0),
            lost: AtomicBool::new(false),
            threads: AtomicU64::new(0),
            number,
        }
    }

    pub(super) fn set_writers(&self, writers: &[(Range<u64>, u64)]) {
        *self.writers.write().unwrap_or_else(PoisonError::into_inner) = Writers::new(writers);
    }

    pub(super) fn metadata_bytes(&self) -> u64 {
        self.writers.read().unwrap_or_else(PoisonError::into_inner).metadata_bytes()
    }

    pub(super) fn line_bytes(&self) -> u64 {
        self.link.shape.line_bytes
    }

    /// Whether this node has anything to write back or to invalidate.
    pub(super) fn has_cache(&self) -> bool {
        self.link.shape.has_cache(self.node)
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Another number for each thread of each opening, the same ones in each run.
    pub(super) fn next_stream(&self) -> u64 {
        self.number << 8 ^ self.threads.fetch_add(1, Ordering::Relaxed)
    }

    /// Does what instructions asked for.
    pub(super) fn perform(&self, ops: &[Op]) {
        if !ops.is_empty()
            && !self.is_lost()
            && let Err(e) = self.try_perform(ops)
        {
            self.fail(&e);
        }
    }

    fn try_perform(&self, ops: &[Op]) -> Result<()> {
        let writers = self.writers.read().unwrap_or_else(PoisonError::into_inner);
        let (mut held, mut room) = (None, 0);
        for op in ops {
            for (range, writer) in writers.split(op.range.clone()) {
                let way = match op.what {
                    // Nobody else can have changed one's own line, so dropping it is writing it back.
                    _ if writer == self.node => Way::Home,
                    What::Invalidate => Way::Fetch,
                    // A line of another node's: whatever is in this cache must not get home.
                    What::WriteBack => continue,
                };
                for piece in pieces(range, BATCH_BYTES) {
                    let piece = self.before_loss(piece);
                    let bytes = piece.end - piece.start;
                    let mut lock = match held.take().filter(|_| bytes <= room) {
                        Some(lock) => lock,
                        None => {
                            room = BATCH_BYTES;
                            self.link.lock()?
                        }
                    };
                    lock.transfer(self.node, way, piece)?;
                    room -= bytes;
                    held = Some(lock);
                    if self.is_lost() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// As much of a range as the link still moves.
    fn before_loss(&self, range: Range<u64>) -> Range<u64> {
        let Some(limit) = self.loss else { return range };
        let lines = (range.end - range.start) / self.line_bytes();
        let before = self.moved.fetch_add(lines, Ordering::Relaxed);
        let left = limit.saturating_sub(before).min(lines);
        if left < lines {
            self.lost.store(true, Ordering::Release);
        }
        range.start..range.start + left * self.line_bytes()
    }

    /// A link that cannot be worked is lost: what is loaded from now on means nothing.
    fn fail(&self, e: &Error) {
        if !self.lost.swap(true, Ordering::AcqRel) {
            log::error!("the simulated link of {} is lost: {e}", self.link.names.home().display());
        }
    }

    /// Compares the writers' caches with home, then this node's cache with home.
    pub(super) fn audit(&self, range: &Range<u64>) -> Option<Flaw> {
        if self.is_lost() {
            // What a lost link did not move says nothing about the program.
            return None;
        }
        let found = self.try_audit(range, true).and_then(|not_home| match not_home {
            Some(flaw) => Ok(Some(flaw)),
            None => self.try_audit(range, false),
        });
        found.unwrap_or_else(|e| {
            self.fail(&e);
            None
        })
    }

    fn try_audit(&self, range: &Range<u64>, not_home: bool) -> Result<Option<Flaw>> {
        let writers = self.writers.read().unwrap_or_else(PoisonError::into_inner);
        for (part, writer) in writers.split(range.clone()) {
            let node = if not_home { writer } else { self.node };
            for piece in pieces(part, BATCH_BYTES) {
                if let Some(off) = self.link.lock()?.difference(node, piece)? {
                    return Ok(Some(Flaw { off, writer, not_home }));
                }
            }
        }
        Ok(None)
    }
}

fn pieces(range: Range<u64>, bytes: u64) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    range.step_by(crate::units::index(bytes)).map(move |start| start..(start + bytes).min(end))
}
