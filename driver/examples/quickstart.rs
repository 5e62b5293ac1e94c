//! The shortest way through: fill memory of a region, publish it as a table, read it in place.
//!
//! In real life the last part is another process; the addresses are the same there.
//!
//! ```text
//! cargo run -p csm --features arrow --example quickstart
//! ```

use std::error::Error;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, cast::AsArray, types::Float64Type};
use csm::{Context, OpenOptions, PublishOptions, Region};

fn main() -> Result<(), Box<dyn Error>> {
    let uri = format!("shm:csm-quickstart-{}", std::process::id());
    let context = Context::new()?;
    let region = context.create(&format!("{uri}?size=16M"))?;
    let shown = publish_and_read(&region);
    drop(region);
    context.destroy(&uri)?;
    shown
}

fn publish_and_read(region: &Region) -> Result<(), Box<dyn Error>> {
    // Vectors that live in the region become arrow-rs arrays where they stand.
    let mut ids = region.vec::<i64>(1000)?;
    let mut prices = region.vec::<f64>(1000)?;
    for i in 0..1000 {
        ids.push(i)?;
        prices.push(f64::from(i32::try_from(i)?) / 4.0)?;
    }
    let columns: [(&str, ArrayRef); 2] = [
        ("id", Arc::new(Int64Array::new(ids.freeze(), None))),
        ("price", Arc::new(Float64Array::new(prices.freeze(), None))),
    ];
    let batch = RecordBatch::try_from_iter(columns)?;
    let published = region.publish_record_batches(
        "trades",
        batch.schema(),
        std::slice::from_ref(&batch),
        &PublishOptions::default(),
    )?;
    println!(
        "published {} rows, {} bytes in place, {} copied",
        published.rows, published.bytes_in_place, published.bytes_copied
    );

    let table = region.open_table("trades", &OpenOptions::default())?;
    let read = &table.record_batches()?[0];
    let (made, read) =
        (batch.column(1).as_primitive::<Float64Type>(), read.column(1).as_primitive::<Float64Type>());
    let sum: f64 = read.values().iter().sum();
    println!("read {} prices at {:p}, their sum is {sum}", read.len(), read.values().as_ptr());
    if read.values().as_ptr() != made.values().as_ptr() {
        return Err("the values moved".into());
    }
    Ok(())
}
