//! Instructions instead of time, for a few points of the curves: they do not depend on who else uses the machine.
//!
//! This program again under valgrind's callgrind, where that is installed; it collects inside of one function alone.

use std::process::Command;

use csm::{OpenOptions, Region};
use csm_bench::Scratch;
use csm_bench::series::{QUICK, Series, missing, quick};

use super::{NEW, SMALL, open, point, publish, table};

const TIMES: usize = 200;
/// Below what valgrind keeps for itself.
const BASE: &str = "base=0x20000000000";
const INCLUDES: &str =
    "instructions of one operation, counted by callgrind; page faults and cache misses are not in it";

#[inline(never)]
fn counted_publish(region: &Region, name: &str, batch: &arrow_array::RecordBatch) {
    publish(region, name, batch, &NEW);
}

#[inline(never)]
fn counted_open(region: &Region, name: &str) {
    open(region, name);
}

#[inline(never)]
fn counted_remove(region: &Region, name: &str) {
    region.remove(name).expect("remove");
}

/// The process under callgrind. The argument: how many names, how many leases.
pub(super) fn child(argument: &str) {
    let (names, leases) = argument.split_once(' ').expect("names and leases");
    let [names, leases] = [names, leases].map(|count| count.parse::<usize>().expect("a number"));
    let size = (64 + names / 400) / 2 * 2;
    let shape = format!("size={size}M&catalog={}&leases={}&{BASE}", names + 8, leases + 1000);
    let scratch = Scratch::new("counted", &shape);
    let region = scratch.region();
    let batch = table(region, SMALL);
    for i in 0..names {
        publish(region, &format!("table-{i}"), &table(region, SMALL), &NEW);
    }
    let held: Vec<_> =
        (0..leases).map(|_| region.open_table("table-0", &OpenOptions::default()).expect("open")).collect();
    for i in 0..TIMES {
        let name = format!("step-{i}");
        counted_publish(region, &name, &batch);
        counted_open(region, &name);
        counted_remove(region, &name);
    }
    drop(held);
}

/// Instructions collected in `function`; an error says why there are none.
fn count(function: &str, names: usize, leases: usize) -> Result<f64, String> {
    let out = std::env::temp_dir().join(format!("csm-callgrind.{}", std::process::id()));
    let done = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", &format!("--toggle-collect=*{function}*")])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe().expect("this program"))
        .env("CSM_BENCH_ROLE", format!("count {names} {leases}"))
        .output()
        .map_err(|e| format!("valgrind: {e} (Debian: valgrind)"))?;
    let text = std::fs::read_to_string(&out).unwrap_or_default();
    // Not there when valgrind failed, which is what is reported.
    let _ = std::fs::remove_file(&out);
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total =
        total.and_then(|words| words.split(' ').next()?.parse::<f64>().ok()).filter(|total| *total > 0.0);
    total.map(|total| total / TIMES as f64).ok_or_else(|| {
        let said = String::from_utf8_lossy(&done.stderr);
        format!("callgrind counted nothing: {}", said.lines().last().unwrap_or_default())
    })
}

pub(super) fn measure() {
    let large = if quick() { 1000 } else { 10_000 };
    if quick() {
        missing("scale", "instruction counts with 10000 names or leases", QUICK);
    }
    let steps = [("publish", "counted_publish"), ("open", "counted_open"), ("remove", "counted_remove")];
    for (names, leases) in [(10, 0), (large, 0), (10, large)] {
        let (by, x) = if leases == 0 { ("names", names) } else { ("leases", leases) };
        let case = format!("{x} {by}");
        // Leases are looked at by what retires, and by nothing else.
        for (step, function) in steps.into_iter().skip(if leases == 0 { 0 } else { 2 }) {
            match count(function, names, leases) {
                Ok(instructions) => {
                    let what = format!("{step}, instructions by {by}");
                    Series { unit: "count", ..point(&case, x, &what, INCLUDES) }.print(&[instructions]);
                }
                Err(why) => return missing("scale", "instruction counts", &why),
            }
        }
    }
}
