//! Arrival: a reader's view of a table's bytes is made new when it is about to look at them, and not before.
//!
//! The lease keeps the bytes as they are, so each column of each batch has to arrive once for a table opened, and a
//! column that nobody asks for never does: invalidating costs by the byte. Where pages without a lease are protected,
//! those of a column are readable from its arrival until the lease ends. Where hardware keeps memory coherent and nothing
//! is protected everything is there from the start.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::descriptor::Descriptor;
use super::tables::Tables;
use crate::coherence::{Bytes, Step};
use crate::error::Result;
use crate::map::Admission;

/// What an export asks before it shows bytes.
pub trait Arrive: Send + Sync + 'static {
    /// Makes the bytes of batch `batch` new: of these columns, or of all.
    ///
    /// # Errors
    /// When the link failed, and where a simulated one finds bytes old or not home.
    fn arrive(&self, _descriptor: &Descriptor, _batch: usize, _columns: Option<&[usize]>) -> Result<()> {
        Ok(())
    }
}

/// Memory that needs nothing.
impl Arrive for () {}

/// What of an open table has arrived.
pub(super) struct Arrivals {
    /// The regions of the descriptor, in its order.
    regions: Vec<Arc<Tables>>,
    /// Batches, each with its columns and, last, the batch's own buffers; empty where nothing needs to arrive.
    arrived: Vec<AtomicBool>,
    /// What keeps the pages of all that arrived readable.
    admissions: Mutex<Vec<Admission>>,
}

impl Arrivals {
    pub(super) fn new(descriptor: &Descriptor, regions: Vec<Arc<Tables>>) -> Self {
        let needed = regions
            .iter()
            .any(|tables| tables.space.coherence().must_invalidate() || tables.space.mapping().is_guarded());
        let places = if needed { descriptor.n_batches() * (descriptor.schema().n_columns() + 1) } else { 0 };
        let arrived = (0..places).map(|_| AtomicBool::new(false)).collect();
        Self { regions, arrived, admissions: Mutex::default() }
    }

    /// Makes columns of a batch new, those that are not yet.
    pub(super) fn arrive(
        &self,
        descriptor: &Descriptor,
        batch: usize,
        columns: Option<&[usize]>,
    ) -> Result<()> {
        let (schema, n_columns) = (descriptor.schema(), descriptor.schema().n_columns());
        let Some(shape) = descriptor.batch(batch).filter(|_| !self.arrived.is_empty()) else { return Ok(()) };
        let places = &self.arrived[batch * (n_columns + 1)..][..n_columns + 1];
        let is_old = |&column: &usize| !places[column].load(Ordering::Acquire);
        let mut wanted: Vec<usize> = match columns {
            Some(columns) => columns.iter().copied().filter(is_old).collect(),
            None => (0..n_columns).filter(is_old).collect(),
        };
        wanted.extend([n_columns].iter().filter(|column| is_old(column)));
        if wanted.is_empty() {
            return Ok(());
        }
        let mut ranges: Vec<Vec<Bytes>> = vec![Vec::new(); self.regions.len()];
        let nodes = wanted.iter().flat_map(|column| schema.column_nodes(*column).unwrap_or(0..1));
        for (region, offset, len_bytes) in nodes.flat_map(|node| shape.located(shape.node(node).buffers())) {
            let region = region as usize;
            ranges[region].push(self.regions[region].space.range(offset, len_bytes));
        }
        for (tables, ranges) in self.regions.iter().zip(ranges) {
            let space = &tables.space;
            if let Some(admission) = space.mapping().admit(&ranges)? {
                self.admissions.lock().unwrap_or_else(PoisonError::into_inner).push(admission);
            }
            space.coherence().acquire(Step::DataIn, space.owner(), &ranges);
            space.check_alive()?;
            space
                .coherence()
                .audit(format_args!("table \"{}\"", descriptor.name().escape_debug()), ranges)?;
        }
        for column in wanted {
            places[column].store(true, Ordering::Release);
        }
        Ok(())
    }
}
