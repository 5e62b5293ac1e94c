//! Arrow's own allocations, replayed on every allocator in turn.
//!
//! `calls` measures the allocators alone; `touched` also writes a byte to every new page, as whoever allocates does. Warm
//! replays come after one that is not counted; a cold one is the first of a process and measures page faults above all:
//! what it shows is the page size (mimalloc asks for transparent huge pages by itself, a region does with hugepages=).
//! With two threads, each replays the whole trace.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use csm_bench::peer::{self, Peer};
use csm_bench::series::{Series, page_faults, quick, rounds};

use super::pools::{Block, Pool, pool, present};

pub(crate) const PAGE: usize = 4096;
const CALLS: &str = "the allocator's calls of one recorded trace, nothing written to the memory; all rivals in turn in one process";
const TOUCHED: &str =
    "the calls, and a byte written to every page that is new to its owner; all rivals in turn in one process";
const COLD: &str =
    "the first replay of a new process, a byte written to every new page: page faults above all";

#[derive(Clone, Copy)]
enum Op {
    Alloc(usize),
    Realloc(usize, usize),
    Free(usize),
}

/// A recorded trace; see tests/heap-trace/README.md.
struct Trace {
    ops: Vec<Op>,
    ids: usize,
}

fn load(path: &Path) -> Trace {
    let text = std::fs::read_to_string(path).expect("trace");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("heap-trace 1"), "{} is not a trace", path.display());
    let mut trace = Trace { ops: Vec::new(), ids: 0 };
    for line in lines {
        let mut words = line.split(' ');
        let what = words.next();
        let mut number = || words.next().and_then(|word| word.parse().ok()).expect("a number");
        match what {
            Some("a") => {
                trace.ids += 1;
                trace.ops.push(Op::Alloc(number()));
            }
            Some("r") => trace.ops.push(Op::Realloc(number(), number())),
            Some("f") => trace.ops.push(Op::Free(number())),
            _ => {}
        }
    }
    trace
}

/// Writes a byte to every page of `from .. to`.
pub(crate) fn touch(at: *mut u8, from: usize, to: usize) {
    for byte in (from..to).step_by(PAGE) {
        // SAFETY: inside the allocation.
        unsafe { at.add(byte).write_volatile(1) };
    }
}

/// Replays a trace. Returns the bytes that reallocations copied because a block could not grow where it was.
fn replay(trace: &Trace, pool: &dyn Pool, touched: bool) -> usize {
    let mut copied = 0;
    let mut live: Vec<Block> = Vec::with_capacity(trace.ids);
    let fresh = |block: Block, from: usize| {
        if touched {
            touch(block.at, from, block.size);
        }
        block
    };
    for op in &trace.ops {
        match *op {
            Op::Alloc(0) => live.push(Block::NONE),
            Op::Alloc(size) => live.push(fresh(pool.alloc(size).expect("room"), 0)),
            Op::Realloc(id, new_size) => {
                let block = live[id];
                live[id] = match (block.size, new_size) {
                    (0, 0) => block,
                    (0, _) => fresh(pool.alloc(new_size).expect("room"), 0),
                    (_, 0) => {
                        pool.free(block);
                        Block::NONE
                    }
                    _ => {
                        let new = fresh(pool.realloc(block, new_size).expect("room"), block.size);
                        copied += if new.at == block.at { 0 } else { block.size.min(new_size) };
                        new
                    }
                };
            }
            Op::Free(id) => {
                let block = live[id];
                if block.size > 0 {
                    pool.free(block);
                }
            }
        }
    }
    black_box(live);
    copied
}

/// Nanoseconds an operation when `threads` replay the trace `times` times at once.
fn per_op(trace: &Trace, pool: &dyn Pool, threads: usize, touched: bool, times: usize) -> f64 {
    let barrier = Barrier::new(threads);
    let run = || {
        barrier.wait();
        let start = Instant::now();
        (0..times).for_each(|_| {
            replay(trace, pool, touched);
        });
        start.elapsed()
    };
    let longest = if threads == 1 {
        run()
    } else {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
            let ends = threads.into_iter().map(|thread| thread.join().expect("thread"));
            ends.max().unwrap_or(Duration::ZERO)
        })
    };
    longest.as_secs_f64() * 1e9 / (trace.ops.len() * times) as f64
}

fn series<'a>(case: &'a str, who: &'a str, includes: &'a str, warm: bool) -> Series<'a> {
    Series { work: "alloc", case, who, what: "an operation", includes, warm, ..Series::default() }
}

fn warm(name: &str, trace: &Trace, pools: &[(&str, Box<dyn Pool>)], threads: usize, touched: bool) {
    let times = 20_000usize.div_ceil(trace.ops.len());
    let mut taken = vec![(Vec::new(), 0.0); pools.len()];
    for round in 0..=rounds(15, 5) {
        for ((_, pool), (taken, faults)) in pools.iter().zip(&mut taken) {
            let before = page_faults();
            let time = per_op(trace, &**pool, threads, touched, times);
            if round > 0 {
                taken.push(time);
                *faults += page_faults() - before;
            }
        }
    }
    let mode = if touched { "touched" } else { "calls" };
    let case = format!("{name}, {mode}, {threads} thread{}", if threads == 1 { "" } else { "s" });
    for ((who, pool), (taken, faults)) in pools.iter().zip(&taken) {
        let copied = replay(trace, &**pool, false) as f64;
        let counts = [("page_faults", *faults), ("bytes_copied_a_replay", copied)];
        let series = series(&case, who, if touched { TOUCHED } else { CALLS }, true);
        Series { counts: &counts, ..series }.print(taken);
    }
}

/// The first replay of a process, in a process of its own.
pub(crate) fn cold_child(argument: &str) {
    let (path, who) = argument.split_once(' ').expect("a trace and an allocator");
    let (trace, pool) = (load(Path::new(path)), pool(who));
    let before = page_faults();
    let time = per_op(&trace, &*pool, 1, true, 1);
    peer::say(&format!("{time} {}", page_faults() - before));
}

fn cold(name: &str, path: &Path) {
    let mut taken = present().map(|who| (who, Vec::new(), 0.0)).collect::<Vec<_>>();
    for _ in 0..rounds(7, 3) {
        for (who, taken, faults) in &mut taken {
            let mut child = Peer::start("cold", &format!("{} {who}", path.display()));
            let numbers = child.hear_numbers();
            taken.push(numbers[0]);
            *faults += numbers[1];
            child.finish();
        }
    }
    for (who, taken, faults) in &taken {
        let counts = [("page_faults", *faults)];
        let case = format!("{name}, touched, 1 thread");
        Series { counts: &counts, ..series(&case, who, COLD, false) }.print(taken);
    }
}

pub(crate) fn measure() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../heap-trace");
    let files = std::fs::read_dir(dir).expect("tests/heap-trace");
    let mut paths: Vec<PathBuf> = files
        .map(|file| file.expect("file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "trace"))
        // The four in a row: enough for a quick look.
        .filter(|path| !quick() || path.file_stem().is_some_and(|stem| stem == "all"))
        .collect();
    paths.sort();
    for path in paths {
        let trace = load(&path);
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let pools: Vec<_> = present().map(|who| (who, pool(who))).collect();
        for threads in [1, 2] {
            for touched in [false, true] {
                warm(&name, &trace, &pools, threads, touched);
            }
        }
        drop(pools);
        cold(&name, &path);
    }
}
