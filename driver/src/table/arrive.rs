//! Arrival: a reader's view of a table's bytes is made new when it is about to look at them, and not before.
//!
//! The lease keeps the bytes as they are, so each column of each batch has to arrive once for a table opened, and a
//! column that nobody asks for never does: invalidating costs by the byte. Where hardware keeps memory coherent
//! everything is there from the start.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::descriptor::Descriptor;
use super::shape::BufferRef;
use super::tables::Tables;
use crate::coherence::{Bytes, Step};
use crate::error::Result;

/// What an export asks before it shows bytes.
pub trait Arrive: Send + Sync + 'static {
    /// Makes the bytes of nodes of batch `batch` new.
    ///
    /// # Errors
    /// Where a simulated link finds them old or not home.
    fn arrive(&self, _descriptor: &Descriptor, _batch: usize) -> Result<()> {
        Ok(())
    }
}

/// Memory that needs nothing.
impl Arrive for () {}

/// What of an open table has arrived.
pub(super) struct Arrivals {
    /// The regions of the descriptor, in its order.
    regions: Vec<Arc<Tables>>,
    /// Batches, each of its columns; empty where nothing needs to arrive.
    arrived: Vec<AtomicBool>,
    columns: usize,
}

impl Arrivals {
    pub(super) fn new(descriptor: &Descriptor, regions: Vec<Arc<Tables>>) -> Self {
        let columns = descriptor.schema().n_columns();
        let places = descriptor.n_batches() * (columns + 1);
        let arrived = (0..places).map(|_| AtomicBool::new(false)).collect();
        Self { regions, arrived, columns }
    }

    /// Makes column `column` of batch `batch` new.
    pub(super) fn arrive(&self, descriptor: &Descriptor, batch: usize) -> Result<()> {
        if self
            .regions
            .iter()
            .all(|tables| tables.space.sees_owner() && !tables.space.coherence().must_invalidate())
        {
            return Ok(());
        }
        let done = &self.arrived[batch * (self.columns + 1)];
        if done.load(Ordering::Acquire) {
            return Ok(());
        }
        let Some(shape) = descriptor.batch(batch) else { return Ok(()) };
        let mut ranges: Vec<Vec<Bytes>> = vec![Vec::new(); self.regions.len()];
        for k in 0..shape.n_buffers() {
            if let BufferRef::At { region, offset, len_bytes } = shape.buffer(k) {
                let region = region as usize;
                ranges[region].push(self.regions[region].space.range(offset, len_bytes));
            }
        }
        for (tables, ranges) in self.regions.iter().zip(ranges) {
            let space = &tables.space;
            space.coherence().acquire(Step::DataIn, space.owner(), &ranges);
            space.coherence().audit(&format!("table \"{}\"", descriptor.name().escape_debug()), ranges)?;
            space.check_alive()?;
        }
        done.store(true, Ordering::Release);
        Ok(())
    }
}
