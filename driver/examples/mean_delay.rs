//! Reads a published table of flights where it lies: the mean departure delay by carrier.
//!
//! `mean_delay URI NAME` also prints `address COLUMN CHUNK BUFFER 0x...` for every buffer of every column, so
//! that they can be compared with what other processes see. Without arguments it tests itself: it publishes
//! four flights and reads them in a process of its own.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use arrow_array::ffi::FFI_ArrowArray;
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use csm::{Context, OpenOptions, PublishOptions, Region, Table};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => test(),
        [uri, name] => show(uri, name),
        _ => Err("usage: mean_delay URI NAME".into()),
    }
}

fn show(uri: &str, name: &str) -> Result<(), Box<dyn Error>> {
    let region = Context::new()?.open(uri)?;
    let start = Instant::now();
    let table = region.open_table(name, &OpenOptions::default())?;
    let open_time = start.elapsed();
    let start = Instant::now();
    let batches = table.record_batches()?;
    let delays = mean_delays(&batches)?;
    let compute_time = start.elapsed();

    println!("opened {:?} in {open_time:.1?}: {} rows, {} columns", name, table.rows(), table.columns());
    print_addresses(&table)?;
    println!("carrier  flights  mean departure delay in minutes");
    for (carrier, flights, mean) in &delays {
        println!("{carrier:7}  {flights:7}  {mean:.2}");
    }
    println!("computed in {compute_time:.1?}");
    Ok(())
}

/// A carrier, its flights that departed, and their mean delay.
type Mean<'a> = (&'a str, u64, f64);

/// The means of all carriers, the least delayed first.
fn mean_delays(batches: &[RecordBatch]) -> Result<Vec<Mean<'_>>, Box<dyn Error>> {
    let mut sums: BTreeMap<&str, (u64, f64)> = BTreeMap::new();
    for batch in batches {
        let carriers = column::<StringArray>(batch, "carrier")?;
        let delays = batch.column_by_name("dep_delay").ok_or("the table has no column dep_delay")?;
        for (carrier, delay) in carriers.iter().zip(numbers(delays)?) {
            if let (Some(carrier), Some(delay)) = (carrier, delay) {
                let (flights, sum) = sums.entry(carrier).or_default();
                *flights += 1;
                *sum += delay;
            }
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^53 flights")]
    let mut means: Vec<_> = sums.into_iter().map(|(name, (n, sum))| (name, n, sum / n as f64)).collect();
    means.sort_by(|a, b| a.2.total_cmp(&b.2));
    Ok(means)
}

fn column<'a, A: 'static>(batch: &'a RecordBatch, name: &str) -> Result<&'a A, Box<dyn Error>> {
    let column = batch.column_by_name(name).ok_or_else(|| format!("the table has no column {name}"))?;
    column.as_any().downcast_ref().ok_or_else(|| format!("column {name} is {}", column.data_type()).into())
}

/// The values of a column of whole or of floating-point numbers.
fn numbers(column: &ArrayRef) -> Result<Box<dyn Iterator<Item = Option<f64>> + '_>, Box<dyn Error>> {
    #[expect(clippy::cast_precision_loss, reason = "delays are small")]
    if let Some(whole) = column.as_any().downcast_ref::<Int64Array>() {
        return Ok(Box::new(whole.iter().map(|value| value.map(|value| value as f64))));
    }
    let floats = column.as_any().downcast_ref::<Float64Array>();
    Ok(Box::new(floats.ok_or_else(|| format!("dep_delay is {}, not a number", column.data_type()))?.iter()))
}

fn print_addresses(table: &Table) -> Result<(), Box<dyn Error>> {
    let schema = table.arrow_schema()?;
    for (i, field) in schema.fields().iter().enumerate() {
        for chunk in 0..table.batches() {
            let batch = FFI_ArrowArray::from(table.batch(chunk)?);
            let column = batch.child(i);
            for k in (0..column.num_buffers()).filter(|&k| !column.buffer(k).is_null()) {
                println!("address {} {chunk} {k} {:p}", field.name(), column.buffer(k));
            }
        }
    }
    Ok(())
}

fn test() -> Result<(), Box<dyn Error>> {
    let uri = format!("shm:csm-mean-delay-{}", std::process::id());
    let context = Context::new()?;
    let region = context.create(&format!("{uri}?size=16M"))?;
    let tested = test_in(&region, &uri);
    drop(region);
    context.destroy(&uri)?;
    tested
}

fn test_in(region: &Region, uri: &str) -> Result<(), Box<dyn Error>> {
    let columns: [(&str, ArrayRef); 2] = [
        ("carrier", Arc::new(StringArray::from(vec!["AA", "UA", "AA", "UA"]))),
        ("dep_delay", Arc::new(Int64Array::from(vec![Some(5), Some(1), Some(10), None]))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))?;
    region.publish_record_batches("flights", batch.schema(), &[batch], &PublishOptions::default())?;
    let shown = Command::new(std::env::current_exe()?).args([uri, "flights"]).output()?;
    let text = String::from_utf8(shown.stdout)?;
    // Two columns of offsets and text, and of validity and values.
    let addresses = text.lines().filter(|line| line.starts_with("address ")).count();
    if !shown.status.success()
        || addresses != 4
        || !text.contains("UA             1  1.00\nAA             2  7.50\n")
    {
        return Err(format!(
            "unexpected output ({}):\n{text}{}",
            shown.status,
            String::from_utf8_lossy(&shown.stderr)
        )
        .into());
    }
    println!("mean_delay works: {addresses} buffers read in place by another process");
    Ok(())
}
