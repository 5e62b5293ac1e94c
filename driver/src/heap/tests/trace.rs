//! Arrow's own allocations (tests/heap-trace): contents survive, little is wasted, all comes back.

use std::path::Path;

use super::*;

/// Replays a trace and returns the most bytes its extents had, and the most of the region in use.
fn replay(region: &Region, heap: &Heap, path: &Path) -> (u64, u64) {
    let text = std::fs::read_to_string(path).expect("trace");
    let mut live: Vec<(u64, u64)> = Vec::new();
    let (mut bytes, mut peak, mut peak_used) = (0, 0, 0);
    let stamp = |(off, size): (u64, u64), id: usize| {
        if size >= 64 {
            region.bytes(off, 8).copy_from_slice(&id.to_le_bytes());
            region.bytes(off + size - 8, 8).copy_from_slice(&id.to_le_bytes());
        }
    };
    for line in text.lines().skip(1) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |i: usize| words[i].parse::<u64>().expect("number");
        let id = usize::try_from(number(1)).expect("id");
        let (old_off, old_size) = live.get(id).copied().unwrap_or_default();
        if matches!(words[0], "r" | "f") && old_size >= 64 {
            assert_eq!(region.bytes(old_off, 8), id.to_le_bytes(), "the start of extent {id}");
            assert_eq!(region.bytes(old_off + old_size - 8, 8), id.to_le_bytes(), "the end of extent {id}");
        }
        match words[0] {
            "a" => {
                let size = number(1).max(1);
                live.push((heap.alloc(size, 64).expect("room"), size));
                stamp(live[live.len() - 1], live.len() - 1);
                bytes += size;
            }
            "r" => {
                let size = number(2).max(1);
                live[id] = (heap.realloc(old_off, old_size, size, 64).expect("room"), size);
                if size.min(old_size) >= 64 {
                    assert_eq!(region.bytes(live[id].0, 8), id.to_le_bytes(), "realloc of extent {id}");
                }
                stamp(live[id], id);
                bytes = bytes + size - old_size;
            }
            "f" => {
                heap.free(old_off, Some(old_size)).expect("free");
                bytes -= old_size;
            }
            _ => {}
        }
        peak = peak.max(bytes);
        peak_used = peak_used.max(stats(&region.space, 0, 0).used_bytes);
    }
    (peak, peak_used)
}

#[test]
fn arrow_s_allocations_waste_little() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/heap-trace");
    for name in ["csv-serial", "csv-threads", "builders", "compute", "all"] {
        let region = Region::new(512, 512);
        let heap = region.heap(0);
        let (peak, used) = replay(&region, &heap, &dir.join(format!("{name}.trace")));
        println!("{name}: {peak} bytes at most, {used} of the region in use");
        assert!(used * 100 <= peak * 112, "{name}: {used} in use for {peak}");
        assert_eq!(region.stats().live_bytes, 0);
        region.assert_sound();
        heap.leave().expect("leave");
        assert_eq!(region.stats().used_bytes, 0);
    }
}
