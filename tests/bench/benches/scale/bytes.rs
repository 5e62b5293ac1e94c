//! By the bytes of a table that lies in the region.

use csm_bench::Scratch;
use csm_bench::series::{QUICK, missing, quick, rounds};

use super::{Steps, fits, table};

const MIB: usize = 1 << 20;
/// What a region has besides the table.
const MORE_MIB: usize = 512;
const WHY: [&str; 4] = [
    "three columns that lie in the region: descriptor, three reference counts, catalog entry; flat, for no byte of data is looked at",
    "catalog entry, lease, copy and check of the descriptor, ArrowArray structs; flat, for no byte of data is looked at",
    "as publish, and the old descriptor is retired and reclaimed at once; flat",
    "catalog entry, retirement, scan of the leases, reference counts; flat",
];

pub(super) fn measure() {
    let most = if quick() { 100 } else { 4096 };
    if quick() {
        missing("scale", "tables of 1024 and 4096 MiB", QUICK);
    }
    let mut sizes = vec![1, 100, 1024, 4096];
    sizes.retain(|mib| *mib <= most && fits(&format!("table of {mib} MiB"), mib + MORE_MIB));
    let Some(largest) = sizes.last() else { return };
    let scratch = Scratch::new("bytes", &format!("size={}M&catalog=100", largest + MORE_MIB));
    for mib in sizes {
        let batch = table(scratch.region(), mib * MIB);
        Steps::measure(scratch.region(), &batch, rounds(2000, 500)).print(
            "bytes",
            &format!("table of {mib} MiB"),
            mib * MIB,
            WHY,
        );
    }
}
