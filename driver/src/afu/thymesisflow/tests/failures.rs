//! A failure at every step in turn: what was done before is undone in reverse, and the next attempt succeeds.

use super::*;
use crate::afu::thymesisflow::LinkState;

/// What undoes an entry of a trace; None for what needs no undoing.
fn undoing(entry: &str) -> Option<String> {
    let (what, value) = entry.split_once(" = ").unwrap_or((entry, ""));
    match what {
        _ if what.starts_with("write64") && value != "0x0" => Some(format!("{what} = 0x0")),
        "map global" | "map per-PASID" | "map zone" => Some(format!("un{what}")),
        _ => None,
    }
}

/// A trace of a failed attach is a way up and its mirror image down, then the close.
#[track_caller]
fn assert_mirrored(trace: &[String]) {
    let expected: Vec<String> = trace.iter().filter_map(|entry| undoing(entry)).rev().collect();
    let up = trace.len() - 1 - expected.len();
    assert_eq!(trace[up..trace.len() - 1], expected, "{trace:?}");
    assert_eq!(trace.last().unwrap(), "close");
}

#[test]
fn the_memory_side_undoes_whatever_it_did() {
    let mut ways_up = 0;
    for n in 0.. {
        let mut rig = Rig::new();
        rig.fabric.fail_at(n);
        let attached = rig.memory();
        if rig.fabric.will_fail() {
            break;
        }
        let error = attached.err().unwrap();
        assert!(error.message().contains("injected") && error.message().contains("memory side"), "{error}");
        rig.assert_clean(Side::Memory);
        let trace = Rig::traced(&rig.memory_trace);
        assert_mirrored(&trace);
        ways_up += 1;
        rig.memory().unwrap().detach(false).unwrap();
    }
    // Metadata, attach, two mappings, two registers.
    assert_eq!(ways_up, 6);
}

#[test]
fn the_compute_side_undoes_whatever_it_did() {
    let mut ways_up = 0;
    for n in 0.. {
        let mut rig = Rig::with(5, Ports::Both);
        rig.fabric.set_slowness(2);
        let mut memory = rig.memory().unwrap();
        rig.fabric.fail_at(n);
        let attached = rig.compute();
        if rig.fabric.will_fail() {
            break;
        }
        let error = attached.err().unwrap();
        assert!(
            error.message().contains("injected") && error.message().contains("compute side"),
            "{n}: {error}"
        );
        rig.assert_clean(Side::Compute);
        assert_mirrored(&Rig::traced(&rig.compute_trace));
        ways_up += 1;
        // The memory side knows that nobody borrows: it may go, or be borrowed from again.
        assert_ne!(memory.compute().unwrap().unwrap().state, LinkState::Attached, "{n}");
        let mut compute = rig.compute().unwrap();
        compute.detach(false).unwrap();
        memory.detach(false).unwrap();
        rig.assert_clean(Side::Memory);
    }
    // Metadata, one mapping, two registers. The zone's mapping, and three attempts that look at the card and at the memory
    // side's line. 32 known answers read, 32 written and read back. This side's line read, written and read back, and the
    // memory side's once more.
    assert_eq!(ways_up, 4 + (1 + 3 * 2) + 3 * 32 + 4);
}

#[test]
fn the_way_down_goes_on_past_a_failure() {
    for n in 0.. {
        let mut rig = Rig::new();
        let mut memory = rig.memory().unwrap();
        rig.fabric.fail_at(n);
        let down = memory.detach(false);
        if rig.fabric.will_fail() {
            assert!(down.is_ok());
            break;
        }
        assert!(down.unwrap_err().message().contains("injected"));
        // All but the one register that could not be written; and the process's memory is out of reach in any case.
        let card = rig.fabric.card(Side::Memory);
        assert_eq!((card.open, card.attached, card.mapped), (false, false, 0));
        assert_eq!(u64::from(card.control != 0) + u64::from(card.aurora != 0), 1);
        memory.detach(false).unwrap();
    }
}
