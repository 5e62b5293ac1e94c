//! What a heap looks like from outside: sizes, and whether its structures agree.

use super::chunks::{Note, free_runs, noted};
use super::entry::{Entry, Kind, REGION};
use super::index;
use super::view::{COUNT, GRANULES_PER_CHUNK, HELD, View};
use crate::region::layout::{CHUNK_BYTES, GRANULE_BYTES};
use crate::region::space::{Control, Space};

/// Sizes of a region's heap, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeapStats {
    /// The data zone.
    pub(crate) data_bytes: u64,
    /// Extents that a living process holds or that are published.
    pub(crate) live_bytes: u64,
    /// The rest of the data zone.
    pub(crate) free_bytes: u64,
    /// The longest run of chunks that nobody has.
    pub(crate) largest_free_bytes: u64,
    /// Extents that are published and that no process holds.
    pub(crate) region_owned_bytes: u64,
    /// Runs of chunks in use: live extents, and free blocks that processes keep at hand.
    pub(crate) used_bytes: u64,
    /// The most that was ever in use.
    pub(crate) peak_used_bytes: u64,
    /// Number of free runs.
    pub(crate) free_runs: u64,
    /// Number of spans whose process is gone.
    pub(crate) orphan_spans: u64,
}

/// Sizes of everything; `members_live_bytes` is what the living members hold. Where the owner keeps its heap to
/// itself, what it says of it in the news is all there is.
pub(crate) fn stats(space: &Space, region_owned_bytes: u64, members_live_bytes: u64) -> HeapStats {
    let data_bytes = space.data_bytes();
    let chunks = data_bytes / CHUNK_BYTES;
    let region_owned_bytes = region_owned_bytes.min(data_bytes);
    if !space.sees_owner() {
        return HeapStats { data_bytes, region_owned_bytes, ..HeapStats::default() };
    }
    let described = noted(space, Note::Described);
    let (mut largest, mut runs) = (0, 0);
    if described == 0 {
        // Nobody has allocated yet.
        (largest, runs) = (chunks, 1);
    } else {
        let bitmap = space.remote(space.layout().bitmap_off, chunks.div_ceil(64));
        for (_, length) in free_runs(bitmap, 0, u64::MAX) {
            largest = length.max(largest);
            runs += 1;
        }
    }
    let live_bytes = members_live_bytes.saturating_add(region_owned_bytes).min(data_bytes);
    HeapStats {
        data_bytes,
        live_bytes,
        free_bytes: data_bytes - live_bytes,
        largest_free_bytes: largest * CHUNK_BYTES,
        region_owned_bytes,
        used_bytes: noted(space, Note::Used).saturating_mul(CHUNK_BYTES).min(data_bytes),
        peak_used_bytes: noted(space, Note::PeakUsed).saturating_mul(CHUNK_BYTES).min(data_bytes),
        free_runs: runs,
        orphan_spans: noted(space, Note::Orphans),
    }
}

/// Checks every structure against the entries, which are the truth, and reports each disagreement.
/// `is_member` says whether a slot's member has not been cleared up yet. Without the heap lock (a reader
/// cannot take it) what is being changed meanwhile may be reported.
pub(crate) fn verify(space: &Space, is_member: &dyn Fn(u16) -> bool, report: &mut dyn FnMut(String)) {
    let view = View::new(space);
    let chunks = view.chunks();
    let described = noted(space, Note::Described);
    let bitmap = space.remote(space.layout().bitmap_off, chunks.div_ceil(64));
    let is_marked_free = |chunk: u64| bitmap[index(chunk / 64)].load() >> (chunk % 64) & 1 != 0;
    let (mut used, mut owned, mut orphans, mut next) = (0, 0, 0, 0);
    while next < chunks {
        let chunk = next;
        next += 1;
        let head = match view.head(chunk) {
            Ok(head) => head,
            Err(e) => {
                report(e.to_string());
                continue;
            }
        };
        let length = head.map_or(1, |head| u64::from(head.chunks));
        if described == chunks {
            for at in chunk..chunk + length {
                if is_marked_free(at) != head.is_none() {
                    let is = if head.is_none() {
                        "free, and the bitmap calls it taken"
                    } else {
                        "taken, and the bitmap calls it free"
                    };
                    report(format!("heap: chunk {at} is {is}"));
                }
            }
        }
        let Some(head) = head else {
            check_unreferenced(&view, chunk, report);
            continue;
        };
        next = chunk + length;
        used += length;
        for back in 1..length {
            if view.entry(chunk + back).ok() != u32::try_from(back).ok().map(Entry::Rest) {
                report(format!(
                    "heap: chunk {} does not lead back to its run at chunk {chunk}",
                    chunk + back
                ));
            }
        }
        if head.owner != REGION && !is_member(head.owner) {
            report(format!(
                "heap: the run at chunk {chunk} belongs to member {}, which is not there",
                head.owner
            ));
        }
        let mut published = 0;
        for extent in view.extents(chunk, head) {
            let refs = view.refs(extent.off).load();
            published += u64::from(refs & COUNT != 0);
            owned += if refs & COUNT != 0 && refs & HELD == 0 { extent.len } else { 0 };
            if head.owner == REGION && refs & HELD != 0 {
                report(format!(
                    "heap: no process can hold {:#x}, and its reference byte says so",
                    view.address(extent.off)
                ));
            }
        }
        if head.owner == REGION {
            orphans += u64::from(head.kind != Kind::Large);
            if published == 0 {
                report(format!(
                    "heap: the run at chunk {chunk} belongs to nobody and nothing in it is published"
                ));
            }
        }
        let starts: u64 =
            view.extents(chunk, head).filter(|extent| view.refs(extent.off).load() != 0).count() as u64;
        let bytes = view.refs_of_run(chunk, length).iter().filter(|refs| refs.load() != 0).count() as u64;
        if bytes != starts {
            report(format!("heap: the run at chunk {chunk} has references to the inside of extents"));
        }
    }
    let counters = [
        ("chunks in use", noted(space, Note::Used), used),
        ("abandoned spans", noted(space, Note::Orphans), orphans),
        ("bytes owned by the region", space.noted(Control::RegionOwned), owned),
    ];
    for (what, counted, found) in counters {
        if described == chunks && counted != found {
            report(format!("heap: {counted} {what} are counted, and there are {found}"));
        }
    }
}

fn check_unreferenced(view: &View<'_>, chunk: u64, report: &mut dyn FnMut(String)) {
    debug_assert_eq!(GRANULES_PER_CHUNK * GRANULE_BYTES, CHUNK_BYTES);
    if view.refs_of_run(chunk, 1).iter().any(|refs| refs.load() != 0) {
        report(format!("heap: chunk {chunk} is free and something in it is referenced"));
    }
}
