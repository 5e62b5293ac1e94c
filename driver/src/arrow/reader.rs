//! A table as arrow-rs's iterator of batches.

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};

use crate::Table;

/// Reads a table's batches in place, one after the other. It and every batch hold the table's lease.
pub struct TableReader {
    table: Table,
    schema: SchemaRef,
    next: usize,
}

impl TableReader {
    pub(super) fn new(table: Table, schema: SchemaRef) -> Self {
        Self { table, schema, next: 0 }
    }
}

impl Iterator for TableReader {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let i = self.next;
        if i >= self.table.batches() {
            return None;
        }
        self.next += 1;
        Some(self.table.record_batch(i, &self.schema).map_err(|e| ArrowError::ExternalError(Box::new(e))))
    }
}

impl RecordBatchReader for TableReader {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}
