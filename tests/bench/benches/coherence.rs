//! What software coherence costs, on this machine's own memory with real cache instructions (`coherence=lc`): a bulk
//! copy with publish beside the bare loop, opening a large table, and the way from publish to the first value.
#![allow(unsafe_code, clippy::cast_ptr_alignment, reason = "the bare loop, and a value read as C would")]
#![allow(clippy::expect_used, reason = "a benchmark stops at the first error")]

use std::hint::black_box;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, RecordBatch};
use csm::{Context, OpenOptions, PublishOptions, Region};
use csm_bench::{Scratch, median, micros, row, timed};

const GIB: i64 = 1 << 30;
const REPLACE: PublishOptions = PublishOptions { replace: true, seal: false };
const LC: &str = "coherence=lc&hugepages=thp";

fn publish(region: &Region, name: &str, batch: &RecordBatch) {
    let batches = std::slice::from_ref(batch);
    region.publish_record_batches(name, batch.schema(), batches, &REPLACE).expect("publish");
}

fn columns(columns: usize, rows: i64) -> RecordBatch {
    let column = || Arc::new(Int64Array::from_iter_values(0..rows)) as _;
    RecordBatch::try_from_iter((0..columns).map(|i| (format!("c{i}"), column()))).expect("batch")
}

/// Copies with stores that go past the caches, by two threads, as the library does.
#[cfg(target_arch = "x86_64")]
fn bare_copy(from: &[u8], to: *mut u8) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};
    let half = from.len() / 2;
    let to = to as usize;
    let part = |start: usize, end: usize| {
        for off in (start..end).step_by(16) {
            // SAFETY: inside both, which are of that length and aligned to 16 bytes at every step.
            unsafe {
                let bytes = _mm_loadu_si128(from.as_ptr().add(off).cast::<__m128i>());
                _mm_stream_si128(
                    std::ptr::with_exposed_provenance_mut::<u8>(to + off).cast::<__m128i>(),
                    bytes,
                );
            }
        }
        // SAFETY: orders stores, and changes nothing.
        unsafe { _mm_sfence() };
    };
    std::thread::scope(|scope| {
        scope.spawn(|| part(half, from.len()));
        part(0, half);
    });
}

#[cfg(target_arch = "x86_64")]
fn bulk_copy() {
    let scratch = Scratch::new("bulk", &format!("size=2300M&{LC}"));
    let region = scratch.region();
    let batch = columns(1, GIB / 8);
    let values = batch.column(0).as_primitive::<Int64Type>().values().inner().clone();
    let extent = region.alloc(GIB.cast_unsigned(), 64).expect("room");
    let mut ratios = Vec::new();
    let (mut ours, mut bare) = (Duration::MAX, Duration::MAX);
    for run in 0..9 {
        let loop_time = timed(1, || bare_copy(values.as_slice(), extent.as_ptr()))[0];
        let publish_time = timed(1, || publish(region, "t", &batch))[0];
        region.remove("t").expect("remove");
        if run >= 2 {
            ratios.push(publish_time.as_secs_f64() / loop_time.as_secs_f64());
            (ours, bare) = (ours.min(publish_time), bare.min(loop_time));
        }
    }
    ratios.sort_by(f64::total_cmp);
    row("bare non-temporal copy of 1 GiB", micros(bare) / 1e3, "ms", None);
    row("the same into the region, published", micros(ours) / 1e3, "ms", None);
    row("ratio", ratios[ratios.len() / 2], "x", Some(1.10));
    // SAFETY: nobody uses it any more.
    unsafe { region.free(extent, None) }.expect("free");
}

/// The reader's process on node 1: milliseconds to open and invalidate everything, and one of ten columns.
fn open_large(uri: &str) {
    let region = Context::new().and_then(|c| c.open(uri)).expect("open");
    let read = |select: bool| {
        let table = region.open_table("t", &OpenOptions::default()).expect("table");
        let table = if select { table.select(&[3]).expect("column") } else { table };
        black_box(table.batch(0).expect("batch"));
    };
    read(false);
    let all = median(&timed(9, || read(false)));
    let one = median(&timed(9, || read(true)));
    println!("{} {}", micros(all) / 1e3, micros(one) / 1e3);
}

fn opening() {
    let scratch = Scratch::new("open", &format!("size=1200M&{LC}"));
    publish(scratch.region(), "t", &columns(10, GIB / 80));
    let out = Command::new(std::env::current_exe().expect("self"))
        .env("CSM_BENCH_OPEN", format!("{}?node=1", scratch.uri()))
        .output()
        .expect("reader");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let numbers: Vec<f64> = text.split_whitespace().map(|n| n.parse().expect("number")).collect();
    assert_eq!(numbers.len(), 2, "{}", String::from_utf8_lossy(&out.stderr));
    row("open 1 GiB and invalidate all ten columns", numbers[0], "ms", None);
    row("open 1 GiB and invalidate one of ten columns", numbers[1], "ms", None);
    row("ratio", numbers[1] / numbers[0], "x", Some(0.15));
}

fn now_ns() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills the struct.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// The first fields of the C Data Interface's `ArrowArray`, for buffers of 64-bit integers.
#[repr(C)]
struct CArray {
    _length: i64,
    _null_count: i64,
    _offset: i64,
    _n_buffers: i64,
    _n_children: i64,
    buffers: *const *const i64,
    children: *const *const CArray,
}

/// The reader's process on node 1: the time in each table it finds, beside the time when it read it.
fn read_times(uri: &str) {
    let region = Context::new().and_then(|c| c.open(uri)).expect("open");
    let (mut taken, mut last) = (Vec::new(), 0);
    println!("ready");
    let mut open: Option<csm::Table> = None;
    loop {
        // What a reader does who follows a name: as long as it stands for what he has, one word is looked at.
        if open.as_ref().is_some_and(|table| table.is_current().expect("a region")) {
            continue;
        }
        let Ok(table) = region.open_table("t", &OpenOptions::default()) else { continue };
        let batch = table.batch(0).expect("batch");
        // SAFETY: the struct of the C Data Interface; three columns of 64-bit integers, kept by `batch`.
        let sent = unsafe {
            let batch = &*(&raw const batch).cast::<CArray>();
            (*(**batch.children.add(2)).buffers.add(1)).read()
        };
        let now = now_ns();
        match sent {
            0 => break,
            sent if sent != last => taken.push(Duration::from_nanos(now.abs_diff(sent))),
            _ => {}
        }
        last = sent;
        open = Some(table);
    }
    taken.sort_unstable();
    println!("{} {} {}", micros(median(&taken)), micros(taken[taken.len() * 99 / 100]), taken.len());
}

fn latency() {
    use std::io::{BufRead, BufReader};
    let scratch = Scratch::new("latency", "size=64M&coherence=lc");
    let region = scratch.region();
    let send = |time: &dyn Fn() -> i64| {
        // Three columns of 16 rows, built in the region; the last thing before publishing is the time.
        let column = |value: i64| {
            let mut values = region.vec::<i64>(16).expect("room");
            values.extend([value; 16]).expect("room");
            Int64Array::new(values.freeze(), None)
        };
        let columns = [column(1), column(2), column(3)];
        let sent = columns[2].values().as_ptr().cast_mut();
        let columns = ["a", "b", "sent"].into_iter().zip(columns.map(|column| Arc::new(column) as _));
        let batch = RecordBatch::try_from_iter(columns).expect("batch");
        // SAFETY: an extent of this process, not published yet; nobody looks at the array meanwhile.
        unsafe { sent.write_volatile(time()) };
        publish(region, "t", &batch);
    };
    let mut reader = Command::new(std::env::current_exe().expect("self"))
        .env("CSM_BENCH_TIMES", format!("{}?node=1", scratch.uri()))
        .stdout(Stdio::piped())
        .spawn()
        .expect("reader");
    let mut lines = BufReader::new(reader.stdout.take().expect("pipe")).lines();
    lines.next();
    for _ in 0..5000 {
        send(&now_ns);
        let until = Instant::now() + Duration::from_micros(100);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
    }
    send(&|| 0);
    let text = lines.next().expect("an answer").expect("text");
    let numbers: Vec<f64> = text.split_whitespace().map(|n| n.parse().expect("number")).collect();
    reader.wait().expect("wait");
    row("publish 3 small columns to first value read on node 1, p50", numbers[0], "us", Some(10.0));
    row("the same, p99", numbers[1], "us", None);
    row("tables seen of 5000", numbers[2], "", None);
}

fn main() {
    for (variable, role) in [("CSM_BENCH_OPEN", open_large as fn(&str)), ("CSM_BENCH_TIMES", read_times)] {
        if let Ok(uri) = std::env::var(variable) {
            return role(&uri);
        }
    }
    println!("coherence by software on one machine: coherence=lc");
    #[cfg(target_arch = "x86_64")]
    bulk_copy();
    opening();
    latency();
}
