//! What the reference work measured on its cluster, to stand beside this machine's figures.
//!
//! From the CSV files of abs-tudelft/memory-disaggregation-ThymesisFlow-Arrow: two AC922 (POWER9) with ThymesisFlow
//! between them. Another machine, another link: they say what this kind of link does, and not what this machine ought to do.

/// A figure of the reference on its local memory and on its remote memory, with what differs from the row it stands beside.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Reference {
    pub(super) local: Option<f64>,
    pub(super) remote: Option<f64>,
    pub(super) remark: &'static str,
}

/// Serial write of u64 elements by all threads, in GiB/s.
pub(super) const WRITE: Reference = Reference { local: Some(107.0), remote: Some(5.4), remark: "" };

/// Remote reads of u64 elements in GiB/s, by threads.
const READ: [(u64, f64); 3] = [(1, 1.13), (4, 4.8), (48, 6.0)];

/// Remote reads of u64 elements in GiB/s, by stride in elements.
const STRIDED: [(u64, f64); 6] = [(1, 6.1), (2, 2.75), (4, 1.53), (8, 0.76), (16, 0.38), (32, 0.19)];

/// A round trip over the link, in nanoseconds (ThymesisFlow Design and Deployment v1.1: about 650).
pub(super) const LATENCY: Reference =
    Reference { local: None, remote: Some(650.0), remark: "the link's round trip" };

/// dcbf over 1 GiB of lines that are clean or dirty, in milliseconds.
pub(super) const FLUSH_CLEAN: Reference = Reference { local: Some(53.1), remote: Some(51.8), remark: "dcbf" };
pub(super) const FLUSH_DIRTY: Reference =
    Reference { local: Some(61.3), remote: Some(89.0), remark: "dcbf; 88 to 90" };

/// What the reference has for reads by so many threads; `all` are as many as the machine has.
pub(super) fn read(threads: u64, all: bool) -> Reference {
    let same = READ.iter().find(|(count, _)| *count == threads).map(|(_, rate)| (*rate, ""));
    let most = all.then_some((READ[2].1, "48 threads"));
    let found = same.or(most);
    Reference {
        local: None,
        remote: found.map(|(rate, _)| rate),
        remark: found.map_or("", |(_, remark)| remark),
    }
}

/// What the reference has for strided reads.
pub(super) fn strided(stride: u64) -> Reference {
    let rate = STRIDED.iter().find(|(known, _)| *known == stride).map(|(_, rate)| *rate);
    Reference { local: None, remote: rate, remark: "" }
}
