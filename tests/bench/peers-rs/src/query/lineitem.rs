//! The columns of TPC-H's lineitem that its queries 1 and 6 read, with the distributions of its specification (4.2.3),
//! drawn from a seed: nothing has to be fetched.

use std::sync::Arc;

use csm_bench::series::quick;
use datafusion::arrow::array::{ArrayRef, Date32Array, Float64Array, RecordBatch, StringArray};

const BATCH: usize = 1 << 17;
/// Days since 1970: the first order, the last one, and the specification's current date.
const FIRST_ORDER: i32 = 8035;
const LAST_ORDER: i32 = 10440;
const TODAY: i32 = 9298;

/// Scale 1 has 6 001 215 rows; this is as many, or a tenth.
pub(crate) fn rows() -> usize {
    if quick() { 600_000 } else { 6_000_000 }
}

struct Random(u64);

impl Random {
    /// From `least` to `most`, both included.
    fn between(&mut self, least: i32, most: i32) -> i32 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        least + i32::try_from(number % u64::from((most - least + 1).cast_unsigned())).expect("small")
    }
}

pub(crate) fn batches() -> Vec<RecordBatch> {
    let mut random = Random(42);
    let mut left = rows();
    let mut batches = Vec::new();
    while left > 0 {
        batches.push(batch(&mut random, left.min(BATCH)));
        left -= left.min(BATCH);
    }
    batches
}

fn batch(random: &mut Random, rows: usize) -> RecordBatch {
    let mut quantity = Vec::with_capacity(rows);
    let (mut price, mut discount, mut tax) = (quantity.clone(), quantity.clone(), quantity.clone());
    let (mut flag, mut status, mut ship) = (Vec::new(), Vec::new(), Vec::with_capacity(rows));
    for _ in 0..rows {
        let count = random.between(1, 50);
        let part = random.between(1, 200_000);
        let retail = 90_000 + (part / 10) % 20_001 + 100 * (part % 1000);
        let shipped = random.between(FIRST_ORDER, LAST_ORDER) + random.between(1, 121);
        let received = shipped + random.between(1, 30);
        quantity.push(f64::from(count));
        price.push(f64::from(count) * f64::from(retail) / 100.0);
        discount.push(f64::from(random.between(0, 10)) / 100.0);
        tax.push(f64::from(random.between(0, 8)) / 100.0);
        flag.push(if received > TODAY { "N" } else { ["R", "A"][usize::from(random.between(0, 1) == 0)] });
        status.push(if shipped > TODAY { "O" } else { "F" });
        ship.push(shipped);
    }
    let numbers = |values| Arc::new(Float64Array::from(values)) as ArrayRef;
    RecordBatch::try_from_iter([
        ("l_quantity", numbers(quantity)),
        ("l_extendedprice", numbers(price)),
        ("l_discount", numbers(discount)),
        ("l_tax", numbers(tax)),
        ("l_returnflag", Arc::new(StringArray::from(flag)) as ArrayRef),
        ("l_linestatus", Arc::new(StringArray::from(status)) as ArrayRef),
        ("l_shipdate", Arc::new(Date32Array::from(ship)) as ArrayRef),
    ])
    .expect("batch")
}
