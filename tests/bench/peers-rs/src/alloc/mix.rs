//! What an hour's worth of tables does to a heap: tables come, column by column, each grown as a builder grows it and cut to
//! its size; the passing memory of kernels comes and goes; tables go when there are too many, the oldest or any.
//!
//! Seeded, so that every allocator serves the same. What is measured is no time: the bytes that an allocator holds for each
//! that is used, and how full memory of a fixed size is when a request fails first.

use csm_bench::peer::{self, Peer};
use csm_bench::series::{QUICK, Series, missing, quick, rounds};

use super::pools::{Block, Pool, REGION_BYTES, of_fixed_size, pool, present};
use super::trace::{PAGE, touch};

/// Live bytes are kept near this.
const TARGET: usize = REGION_BYTES / 10 * 6;
const LARGEST: f64 = 4.0 * 1024.0 * 1024.0;
const HELD: &str = "bytes held for each byte in use, at the last 20 looks: resident memory, or every page ever touched where the memory is of a fixed size";
const FULL: &str = "bytes of the whole memory for each byte in use when any request fails first: after the operations, tables still come, none goes; a sample a seed; books that lie in the memory count (libcsm's, talc's), offset-allocator's lie elsewhere";
/// Looks are taken at these numbers of operations; a quick run takes the first of them.
const POINTS: [usize; 10] =
    [10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000];
const LAST_WHEN_QUICK: usize = 200_000;

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % most as u64).expect("64-bit")
    }
    /// From 64 bytes to 4 MiB, every power of two as likely as any other, and a multiple of 64.
    fn size(&mut self) -> usize {
        let share = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        (64.0 * (LARGEST / 64.0).powf(share)) as usize / 64 * 64
    }
}

/// Pages of memory of a fixed size that were ever touched.
struct Touched {
    start: usize,
    pages: Vec<bool>,
    count: usize,
}

struct Mix<'a> {
    pool: &'a dyn Pool,
    random: Random,
    tables: std::collections::VecDeque<Vec<Block>>,
    passing: Vec<Block>,
    used: usize,
    /// What was used when a request failed first.
    used_when_full: Option<usize>,
    operations: usize,
    touched: Option<Touched>,
    /// Resident bytes before the first operation.
    before: usize,
}

fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages: usize = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("statm");
    pages * PAGE
}

impl<'a> Mix<'a> {
    fn new(pool: &'a dyn Pool, seed: u64) -> Self {
        let touched = pool.memory().map(|memory| Touched {
            start: memory.start,
            pages: vec![false; memory.bytes.div_ceil(PAGE)],
            count: 0,
        });
        Self {
            pool,
            random: Random(seed),
            tables: std::collections::VecDeque::new(),
            passing: Vec::new(),
            used: 0,
            used_when_full: None,
            operations: 0,
            touched,
            before: resident_bytes(),
        }
    }

    fn held(&self) -> usize {
        match &self.touched {
            Some(touched) => touched.count * PAGE,
            None => resident_bytes().saturating_sub(self.before),
        }
    }

    /// Notes that a block is there, from byte `from` on new to its owner.
    fn came(&mut self, block: Block, from: usize) -> Block {
        touch(block.at, from, block.size);
        if let Some(touched) = &mut self.touched {
            let first = (block.at.addr() + from - touched.start) / PAGE;
            let last = (block.at.addr() + block.size - 1 - touched.start) / PAGE;
            for page in first.min(last)..=last {
                touched.count += usize::from(!std::mem::replace(&mut touched.pages[page], true));
            }
        }
        block
    }

    /// What was asked for; if there was no room, notes how much is used.
    fn granted(&mut self, block: Option<Block>) -> Option<Block> {
        if block.is_none() {
            self.used_when_full.get_or_insert(self.used);
        }
        block
    }

    fn alloc(&mut self, size: usize) -> Option<Block> {
        let block = self.granted(self.pool.alloc(size))?;
        self.operations += 1;
        self.used += size;
        Some(self.came(block, 0))
    }

    fn resize(&mut self, block: &mut Block, size: usize) -> Option<()> {
        let new = self.granted(self.pool.realloc(*block, size))?;
        self.operations += 1;
        self.used = self.used + size - block.size;
        // A block that moved is new from its first byte on.
        let from = if new.at == block.at { block.size.min(size - 1) } else { 0 };
        *block = self.came(new, from);
        Some(())
    }

    fn free(&mut self, block: Block) {
        self.operations += 1;
        self.used -= block.size;
        self.pool.free(block);
    }

    /// A column as a builder makes it: doubled until it is large enough, then cut.
    fn column(&mut self) -> Option<Block> {
        let size = self.random.size();
        let start = (size >> self.random.below(4)).max(64);
        let mut block = self.alloc(start)?;
        let grown = loop {
            if block.size >= size {
                break Some(());
            }
            let double = block.size * 2;
            if self.resize(&mut block, double).is_none() {
                break None;
            }
        };
        let cut =
            grown.and_then(|()| if block.size == size { Some(()) } else { self.resize(&mut block, size) });
        if cut.is_none() {
            self.free(block);
        }
        cut.map(|()| block)
    }

    /// A table comes. None when there was no room for all of it, or for what kernels need on the way.
    fn table(&mut self) -> Option<()> {
        let columns = 1 + self.random.below(20);
        let mut table = Vec::with_capacity(columns);
        let mut whole = Some(());
        for _ in 0..columns {
            let Some(column) = self.column() else {
                whole = None;
                break;
            };
            table.push(column);
            // What a kernel needs while it makes the column, and gives back a few columns later.
            let size = self.random.size();
            let Some(block) = self.alloc(size) else {
                whole = None;
                break;
            };
            self.passing.push(block);
            if self.passing.len() > 8 {
                let which = self.random.below(self.passing.len());
                let block = self.passing.swap_remove(which);
                self.free(block);
            }
        }
        self.tables.push_back(table);
        whole
    }

    /// A table goes: the oldest or any.
    fn drop_table(&mut self) {
        let which = if self.random.below(2) == 0 { 0 } else { self.random.below(self.tables.len()) };
        for block in self.tables.swap_remove_front(which).unwrap_or_default() {
            self.free(block);
        }
    }

    fn step(&mut self) {
        while self.used > TARGET {
            self.drop_table();
        }
        assert!(
            self.table().is_some(),
            "no room for {} bytes in use: {} operations",
            self.used,
            self.operations
        );
    }

    fn clear(&mut self) {
        while !self.tables.is_empty() {
            self.drop_table();
        }
        for block in std::mem::take(&mut self.passing) {
            self.free(block);
        }
    }
}

/// The process of one allocator: prints its curve.
pub(crate) fn child(who: &str) {
    let pool = pool(who);
    let mut mix = Mix::new(&*pool, 1);
    let series = Series { work: "alloc", who, unit: "x", ..Series::default() };
    let mut from = 0;
    for until in POINTS.into_iter().filter(|point| !quick() || *point <= LAST_WHEN_QUICK) {
        let mut looks = Vec::new();
        for look in 1..=20 {
            while mix.operations < from + (until - from) / 20 * look {
                mix.step();
            }
            looks.push(mix.held() as f64 / mix.used as f64);
        }
        from = until;
        let (case, x) = (format!("{until} operations"), Some(until as f64));
        Series { case: &case, x, what: "bytes held over bytes used", includes: HELD, ..series }.print(&looks);
    }
    mix.clear();
}

/// The process of one allocator and seed: says how many bytes its memory has for each that is used when it is full.
pub(crate) fn full_child(argument: &str) {
    let (seed, who) = argument.split_once(' ').expect("a seed and an allocator");
    let pool = pool(who);
    let memory = pool.memory().expect("memory of a fixed size");
    let mut mix = Mix::new(&*pool, seed.parse().expect("a number"));
    while mix.operations < operations_before_full() {
        mix.step();
    }
    while mix.table().is_some() {}
    let used = mix.used_when_full.expect("a request failed");
    peer::say(&(memory.whole_bytes as f64 / used as f64).to_string());
    mix.clear();
}

fn operations_before_full() -> usize {
    rounds(500_000, 100_000)
}

fn full(who: &str) {
    let mut taken = Vec::new();
    for seed in 1..=rounds(5, 3) {
        let mut child = Peer::start("full", &format!("{seed} {who}"));
        taken.extend(child.hear_numbers());
        child.finish();
    }
    let (operations, what) = (operations_before_full(), "bytes of memory over bytes used, when full");
    let (case, x) = (format!("{operations} operations"), Some(operations as f64));
    Series { work: "alloc", who, case: &case, x, what, unit: "x", includes: FULL, ..Series::default() }
        .print(&taken);
}

pub(crate) fn measure() {
    for who in present() {
        peer::run("mix", who);
        if of_fixed_size(who) {
            full(who);
        }
    }
    if quick() {
        missing("alloc", "mix of 500000 to 10000000 operations", QUICK);
    }
}
