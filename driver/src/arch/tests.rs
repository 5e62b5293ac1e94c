//! Every choice of this machine keeps what memory holds, whatever the range. Whether a line really went home
//! shows on no coherent machine: tests/env/arch.sh checks which instructions are there, the simulator which are
//! called.

use super::*;

const PAGE: usize = 4096;

#[repr(C, align(4096))]
struct Page([u8; PAGE]);

fn pattern(i: usize) -> u8 {
    u8::try_from((i * 7 + i / 256) % 251).unwrap()
}

/// What this machine can do, by name; at least the best of its instruction set.
fn all() -> Vec<(&'static str, Box<dyn CacheOps>)> {
    let mut all: Vec<(&'static str, Box<dyn CacheOps>)> = vec![("coherent", Box::new(Coherent))];
    for choice in choices() {
        match native(Some(choice)) {
            Ok(ops) => all.push((choice, ops)),
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
                assert!(e.message().contains(choice), "{e}");
            }
        }
    }
    assert!(choices().is_empty() || all.len() > 1, "none of {:?} works here", choices());
    all
}

#[test]
fn the_machine_is_asked_and_an_unknown_choice_is_refused() {
    if choices().is_empty() {
        assert_eq!(native(None).err().map(|e| e.kind()), Some(ErrorKind::Unsupported));
    } else {
        let line = native(None).unwrap().line_bytes();
        assert!(line.is_power_of_two() && line <= LINE_BYTES_MAX, "{line}");
    }
    let e = native(Some("flush-harder")).err().unwrap();
    assert_eq!(e.kind(), ErrorKind::InvalidArgument);
    assert!(choices().iter().all(|choice| e.message().contains(choice)), "{e}");
}

#[test]
fn line_sizes_that_no_layout_is_made_for_are_refused() {
    for bytes in [16, 32, 64, 128] {
        assert_eq!(checked_line_bytes(bytes, "test").unwrap(), bytes);
    }
    for bytes in [0, 8, 96, 256, u64::MAX] {
        let e = checked_line_bytes(bytes, "test").unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        assert!(e.message().contains(&bytes.to_string()), "{e}");
    }
}

#[test]
fn every_choice_keeps_the_data_whatever_the_range() {
    for (name, ops) in all() {
        let mut page = Box::new(Page([0; PAGE]));
        for (start, len) in [
            (0, 0),
            (13, 0),
            (0, 1),
            (63, 1),
            (63, 2),
            (1, 64),
            (100, 300),
            (0, PAGE),
            (4095, 1),
            (127, 3000),
        ] {
            for (i, byte) in page.0.iter_mut().enumerate() {
                *byte = pattern(i + start);
            }
            let at = page.0.as_ptr().wrapping_add(start);
            ops.write_back(at, len as u64);
            ops.fence();
            ops.invalidate(at, len as u64);
            ops.fence();
            let kept = page.0.iter().enumerate().all(|(i, byte)| *byte == pattern(i + start));
            assert!(kept, "{name}: {len} bytes at {start}");
        }
    }
}

#[test]
fn copies_are_exact_at_every_alignment_and_length() {
    let from: Vec<u8> = (0..1024).map(pattern).collect();
    for (name, ops) in all() {
        let mut page = Box::new(Page([0; PAGE]));
        // Alignments of the target within the longest line; the source is off by another amount.
        for (to_off, len) in (0..128).flat_map(|to_off| (0..400).map(move |len| (to_off, len))) {
            let from_off = (to_off * 5 + len) % 61;
            page.0[..600].fill(0xff);
            // SAFETY: 128 + 400 bytes fit in the page, 61 + 400 in the vector.
            unsafe {
                ops.copy_home(from.as_ptr().add(from_off), page.0.as_mut_ptr().add(to_off), len as u64)
            };
            ops.fence();
            let (before, rest) = page.0[..600].split_at(to_off);
            let (copied, after) = rest.split_at(len);
            assert_eq!(copied, &from[from_off..from_off + len], "{name}: {len} bytes to {to_off}");
            assert!(
                before.iter().chain(after).all(|byte| *byte == 0xff),
                "{name}: beside {len} bytes at {to_off}"
            );
        }
    }
}

#[test]
fn long_copies_are_exact() {
    let from: Vec<u8> = (0..300_000).map(pattern).collect();
    for (name, ops) in all() {
        for off in [0, 1, 64, 100] {
            let mut to = vec![0; from.len() + 200];
            // SAFETY: `to` is longer than `from` by more than `off`.
            unsafe { ops.copy_home(from.as_ptr(), to.as_mut_ptr().add(off), from.len() as u64) };
            ops.fence();
            assert!(to[off..off + from.len()] == from, "{name}: at {off}");
            assert!(
                to[..off].iter().chain(&to[off + from.len()..]).all(|byte| *byte == 0),
                "{name}: beside {off}"
            );
        }
    }
}

#[test]
fn several_threads_copy_and_keep_the_same_bytes() {
    let native: Vec<Box<dyn CacheOps>> = native(None).into_iter().collect();
    assert!(!native.is_empty() || choices().is_empty());
    let from: Vec<u8> = (0_u32..(66 << 20)).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    for ops in native.iter().chain([&(Box::new(Coherent) as Box<_>)]) {
        // Each a length that is split, one that is not, and one that ends within a line.
        for len in [from.len(), 5 << 20, (5 << 20) + 77] {
            let mut to = vec![0; len + 8];
            // SAFETY: `to` is longer by more than 3, `from` at least as long.
            unsafe { ops.copy_home(from.as_ptr(), to.as_mut_ptr().add(3), len as u64) };
            ops.fence();
            ops.write_back(to.as_ptr(), to.len() as u64);
            ops.invalidate(to.as_ptr(), to.len() as u64);
            ops.fence();
            assert!(to[3..3 + len] == from[..len]);
            assert_eq!((&to[..3], &to[3 + len..]), (&[0; 3][..], &[0; 5][..]));
        }
    }
}
