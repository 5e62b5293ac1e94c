//! Arrow's own allocations, replayed on every allocator in turn.
//!
//! `calls` measures the allocators alone; `touched` also writes a byte to every new page, as whoever allocates does. Warm
//! replays come after touched ones that are not counted, until one of them makes hardly a page fault: what an allocator
//! rotates through is then mapped. A cold one is the first of a process and measures page faults above all: what it shows
//! is the page size (mimalloc asks for transparent huge pages by itself, a region does with hugepages=). With two threads,
//! each replays the whole trace.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::Instant;

use csm_bench::peer::{self, Peer};
use csm_bench::series::{QUICK, Series, missing, quick, rounds, thread_page_faults};

use super::pools::{Block, Pool, pool, present};

pub(crate) const PAGE: usize = 4096;
const CALLS: &str = "the allocator's calls of one recorded trace, whose reallocations copy when a block moves; nothing else is written to the memory, all of which was written to before; all rivals in turn in one process";
const TOUCHED: &str =
    "the calls, and a byte written to every page that is new to its owner; all rivals in turn in one process";
const COLD: &str = "the first replay of a new process, a byte written to every new page: page faults above all; before the clock libcsm's region was created, its memory allocated and zeroed; talc's and offset-allocator's private memory was mapped, but the kernel had not given it yet";
/// Uncounted replays end with one that makes no more page faults than this in a thread, or after [`MOST_WARM_UPS`]: some
/// allocators give memory back and take it anew for ever.
const FEW_PAGE_FAULTS: f64 = 8.0;
const MOST_WARM_UPS: usize = 8;

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
fn replay(trace: &Trace, pool: &dyn Pool, touched: bool, live: &mut Vec<Block>) -> usize {
    let mut copied = 0;
    live.clear();
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
    black_box(&live);
    copied
}

/// What one replay took, on the average of some.
#[derive(Clone, Copy, Default)]
struct Run {
    ns_an_operation: f64,
    page_faults: f64,
    bytes_copied: f64,
}

/// Lets `threads` replay the trace `times` times at once: the time of the slowest, and what all of them counted.
fn run(trace: &Trace, pool: &dyn Pool, threads: usize, touched: bool, times: usize) -> Run {
    let barrier = Barrier::new(threads);
    let one = || {
        // What the replay itself needs is there before the clock: its page faults are not the allocator's.
        let mut live = vec![Block::NONE; trace.ids];
        barrier.wait();
        let (before, start) = (thread_page_faults(), Instant::now());
        let copied: usize = (0..times).map(|_| replay(trace, pool, touched, &mut live)).sum();
        (start.elapsed(), thread_page_faults() - before, copied)
    };
    let ends = if threads == 1 {
        vec![one()]
    } else {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
            threads.into_iter().map(|thread| thread.join().expect("thread")).collect()
        })
    };
    let longest = ends.iter().map(|(time, ..)| *time).max().unwrap_or_default();
    let replays = (times * threads) as f64;
    Run {
        ns_an_operation: longest.as_secs_f64() * 1e9 / (trace.ops.len() * times) as f64,
        page_faults: ends.iter().map(|(_, faults, _)| faults).sum::<f64>() / replays,
        bytes_copied: ends.iter().map(|(.., copied)| *copied as f64).sum::<f64>() / replays,
    }
}

fn mean(runs: &[Run], of: impl Fn(&Run) -> f64) -> f64 {
    runs.iter().map(of).sum::<f64>() / runs.len() as f64
}

/// Replays until everything that the pools rotate through is mapped, or [`MOST_WARM_UPS`] times; in turn.
fn warm_up(trace: &Trace, pools: &[(&str, Box<dyn Pool>)], threads: usize) {
    let mut cold: Vec<_> = pools.iter().collect();
    for _ in 0..MOST_WARM_UPS {
        cold.retain(|(_, pool)| run(trace, &**pool, threads, true, 1).page_faults > FEW_PAGE_FAULTS);
    }
}

fn series<'a>(case: &'a str, who: &'a str, includes: &'a str, warm: bool) -> Series<'a> {
    Series { work: "alloc", case, who, what: "an operation", includes, warm, ..Series::default() }
}

fn warm(name: &str, trace: &Trace, pools: &[(&str, Box<dyn Pool>)], threads: usize, touched: bool) {
    let times = 20_000usize.div_ceil(trace.ops.len());
    let mut runs = vec![Vec::new(); pools.len()];
    // The first round fills caches.
    for round in 0..=rounds(15, 5) {
        for ((_, pool), runs) in pools.iter().zip(&mut runs) {
            let run = run(trace, &**pool, threads, touched, times);
            if round > 0 {
                runs.push(run);
            }
        }
    }
    let mode = if touched { "touched" } else { "calls" };
    let case = format!("{name}, {mode}, {threads} thread{}", if threads == 1 { "" } else { "s" });
    for ((who, _), runs) in pools.iter().zip(&runs) {
        let counts = [
            ("page_faults_a_replay", mean(runs, |run| run.page_faults)),
            ("bytes_copied_a_replay", mean(runs, |run| run.bytes_copied)),
        ];
        let taken: Vec<f64> = runs.iter().map(|run| run.ns_an_operation).collect();
        let series = series(&case, who, if touched { TOUCHED } else { CALLS }, true);
        Series { counts: &counts, ..series }.print(&taken);
    }
}

/// The first replay of a process, in a process of its own.
pub(crate) fn cold_child(argument: &str) {
    let (path, who) = argument.split_once(' ').expect("a trace and an allocator");
    let (trace, pool) = (load(Path::new(path)), pool(who));
    let run = run(&trace, &*pool, 1, true, 1);
    peer::say(&format!("{} {}", run.ns_an_operation, run.page_faults));
}

fn cold(name: &str, path: &Path) {
    let mut runs = present().map(|who| (who, Vec::new())).collect::<Vec<_>>();
    for _ in 0..rounds(7, 3) {
        for (who, runs) in &mut runs {
            let mut child = Peer::start("cold", &format!("{} {who}", path.display()));
            let [ns_an_operation, page_faults] = child.hear_numbers()[..] else { panic!("two numbers") };
            runs.push(Run { ns_an_operation, page_faults, ..Run::default() });
            child.finish();
        }
    }
    for (who, runs) in &runs {
        let counts = [("page_faults_a_replay", mean(runs, |run| run.page_faults))];
        let taken: Vec<f64> = runs.iter().map(|run| run.ns_an_operation).collect();
        let case = format!("{name}, touched, 1 thread");
        Series { counts: &counts, ..series(&case, who, COLD, false) }.print(&taken);
    }
}

pub(crate) fn measure() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../heap-trace");
    let files = std::fs::read_dir(dir).expect("tests/heap-trace");
    let mut paths: Vec<PathBuf> = files
        .map(|file| file.expect("file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "trace"))
        .collect();
    paths.sort();
    if quick() {
        // The four in a row: enough for a quick look.
        paths.retain(|path| path.file_stem().is_some_and(|stem| stem == "all"));
        missing("alloc", "each of the four recorded traces by itself", QUICK);
    }
    for path in paths {
        let trace = load(&path);
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let pools: Vec<_> = present().map(|who| (who, pool(who))).collect();
        for threads in [1, 2] {
            warm_up(&trace, &pools, threads);
            for touched in [true, false] {
                warm(&name, &trace, &pools, threads, touched);
            }
        }
        drop(pools);
        cold(&name, &path);
    }
}
