//! Arrow's own allocations, replayed on a region, on mimalloc and on the system's allocator in turn.
//!
//! `calls` measures the allocators alone; `touched` also writes a byte to every new page, as whoever
//! allocates does. Warm replays come after one that is not counted; a cold one is the first of a process
//! and measures page faults above all: it has no goal, for what it shows is the page size (mimalloc asks for
//! transparent huge pages by itself, a region does with hugepages=).
//! With two threads, each replays the whole trace. Traces: tests/heap-trace, or the files given.
#![allow(unsafe_code, reason = "memory by pointer, as a memory pool sees it")]
#![allow(clippy::expect_used, reason = "a benchmark stops at the first error")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr::NonNull;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use csm::Region;
use csm_bench::{Scratch, median, row};
use mimalloc::MiMalloc;

const GOAL: f64 = 1.3;
const ROUNDS: usize = 15;
const COLD_ROUNDS: usize = 7;
const ALLOCATORS: [&str; 3] = ["csm", "mimalloc", "system"];
const REGION: &str = "size=2560M&catalog=100";
const ALIGN: usize = 64;
const PAGE: usize = 4096;

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

/// An allocator as Arrow's memory pool sees one. Sizes are not 0.
trait Pool: Sync {
    fn alloc(&self, size: usize) -> *mut u8;
    fn realloc(&self, at: *mut u8, old_size: usize, new_size: usize) -> *mut u8;
    fn free(&self, at: *mut u8, size: usize);
}

impl Pool for Region {
    fn alloc(&self, size: usize) -> *mut u8 {
        Region::alloc(self, size as u64, ALIGN as u64).expect("room").as_ptr()
    }
    fn realloc(&self, at: *mut u8, old_size: usize, new_size: usize) -> *mut u8 {
        let at = NonNull::new(at).expect("allocated");
        // SAFETY: the replay is the only user of what it allocated.
        unsafe { Region::realloc(self, at, old_size as u64, new_size as u64, ALIGN as u64) }
            .expect("room")
            .as_ptr()
    }
    fn free(&self, at: *mut u8, size: usize) {
        let at = NonNull::new(at).expect("allocated");
        // SAFETY: as above.
        unsafe { Region::free(self, at, Some(size as u64)) }.expect("allocated");
    }
}

struct Native<A>(A);

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, ALIGN).expect("layout")
}

impl<A: GlobalAlloc + Sync> Pool for Native<A> {
    fn alloc(&self, size: usize) -> *mut u8 {
        // SAFETY: the size is not 0.
        unsafe { self.0.alloc(layout(size)) }
    }
    fn realloc(&self, at: *mut u8, old_size: usize, new_size: usize) -> *mut u8 {
        // SAFETY: allocated with this layout, and the new size is not 0.
        unsafe { self.0.realloc(at, layout(old_size), new_size) }
    }
    fn free(&self, at: *mut u8, size: usize) {
        // SAFETY: allocated with this layout.
        unsafe { self.0.dealloc(at, layout(size)) }
    }
}

/// Writes a byte to every page of `from .. to`.
fn touch(at: *mut u8, from: usize, to: usize) {
    for byte in (from..to).step_by(PAGE) {
        // SAFETY: inside the allocation.
        unsafe { at.add(byte).write_volatile(1) };
    }
}

fn replay(trace: &Trace, pool: &dyn Pool, touched: bool) {
    let mut live: Vec<(*mut u8, usize)> = Vec::with_capacity(trace.ids);
    let fresh = |at: *mut u8, from: usize, to: usize| {
        if touched {
            touch(at, from, to);
        }
    };
    for op in &trace.ops {
        match *op {
            Op::Alloc(0) => live.push((std::ptr::null_mut(), 0)),
            Op::Alloc(size) => {
                let at = pool.alloc(size);
                fresh(at, 0, size);
                live.push((at, size));
            }
            Op::Realloc(id, new_size) => {
                let (at, size) = live[id];
                let moved = match (size, new_size) {
                    (0, 0) => at,
                    (0, _) => pool.alloc(new_size),
                    (_, 0) => {
                        pool.free(at, size);
                        std::ptr::null_mut()
                    }
                    _ => pool.realloc(at, size, new_size),
                };
                fresh(moved, size, new_size);
                live[id] = (moved, new_size);
            }
            Op::Free(id) => {
                let (at, size) = live[id];
                if size > 0 {
                    pool.free(at, size);
                }
            }
        }
    }
    black_box(live);
}

/// How long an operation takes when `threads` replay the trace `times` times at once.
fn per_op(trace: &Trace, pool: &dyn Pool, threads: usize, touched: bool, times: usize) -> Duration {
    let barrier = Barrier::new(threads);
    let run = || {
        barrier.wait();
        let start = Instant::now();
        (0..times).for_each(|_| replay(trace, pool, touched));
        start.elapsed()
    };
    let longest = if threads == 1 {
        run()
    } else {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
            threads.into_iter().map(|thread| thread.join().expect("thread")).max().unwrap_or_default()
        })
    };
    // Tenths of a nanosecond are beyond a Duration: count in picoseconds instead.
    longest * 1000 / u32::try_from(trace.ops.len() * times).expect("few operations")
}

fn with_pool<T>(name: &str, f: impl FnOnce(&dyn Pool) -> T) -> T {
    match name {
        "csm" => f(Scratch::new("heap-trace", REGION).region()),
        "mimalloc" => f(&Native(MiMalloc)),
        _ => f(&Native(System)),
    }
}

/// Prints nanoseconds an operation on the three allocators, and the ratios to the other two.
fn report(what: &str, picos: [Duration; 3], goal: Option<f64>) {
    let [csm, mimalloc, system] = picos.map(|d| d.as_nanos() as f64 / 1000.0);
    row(
        &format!("{what}: csm {csm:.0}, mimalloc {mimalloc:.0}, system {system:.0} ns; vs mimalloc"),
        csm / mimalloc,
        "",
        goal,
    );
    row(&format!("{what}: vs system"), csm / system, "", goal);
}

fn warm(name: &str, trace: &Trace, threads: usize, touched: bool) {
    let scratch = Scratch::new("heap-trace", REGION);
    let pools: [&dyn Pool; 3] = [scratch.region(), &Native(MiMalloc), &Native(System)];
    let times = 20_000usize.div_ceil(trace.ops.len());
    let mut taken = [const { Vec::new() }; 3];
    for round in 0..=ROUNDS {
        for (pool, taken) in pools.iter().zip(&mut taken) {
            let time = per_op(trace, *pool, threads, touched, times);
            if round > 0 {
                taken.push(time);
            }
        }
    }
    let medians = taken.map(|mut taken| {
        taken.sort_unstable();
        median(&taken)
    });
    let mode = if touched { "touched" } else { "calls" };
    report(&format!("{name}, {threads} thread(s), {mode}, warm"), medians, Some(GOAL));
}

/// The first replay of a process, measured in processes of their own.
fn cold(name: &str, path: &Path) {
    let mut taken = [const { Vec::new() }; 3];
    for _ in 0..COLD_ROUNDS {
        for (allocator, taken) in ALLOCATORS.iter().zip(&mut taken) {
            let mut child = Command::new(std::env::current_exe().expect("this program"));
            let output = child.arg("--cold").arg(allocator).arg(path).output().expect("child");
            let text = String::from_utf8_lossy(&output.stdout);
            taken.push(Duration::from_nanos(text.trim().parse().expect("a child's time")));
        }
    }
    let medians = taken.map(|mut taken| {
        taken.sort_unstable();
        median(&taken)
    });
    report(&format!("{name}, 1 thread(s), touched, cold"), medians, None);
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [flag, allocator, path] = args.as_slice()
        && flag == "--cold"
    {
        let trace = load(Path::new(path));
        let time = with_pool(allocator, |pool| per_op(&trace, pool, 1, true, 1));
        println!("{}", time.as_nanos());
        return;
    }
    let mut paths: Vec<PathBuf> = args.iter().map(PathBuf::from).collect();
    if paths.is_empty() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../heap-trace");
        let files = std::fs::read_dir(dir).expect("tests/heap-trace");
        paths = files
            .map(|file| file.expect("file").path())
            .filter(|p| p.extension().is_some_and(|e| e == "trace"))
            .collect();
        paths.sort();
    }
    println!("Arrow's allocations, replayed; nanoseconds an operation, medians of interleaved runs");
    for path in paths {
        let trace = load(&path);
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for threads in [1, 2] {
            for touched in [false, true] {
                warm(&name, &trace, threads, touched);
            }
        }
        cold(&name, &path);
    }
}
