//! What exactly is done to the cards: hardware.md's order going up, its reverse coming down.

use super::*;
use crate::afu::thymesisflow::{LinkState, section_value};

#[test]
fn the_memory_side_does_what_the_public_software_does_and_then_undoes_it() {
    for (ports, bits) in [(Ports::Zero, 1), (Ports::One, 2), (Ports::Both, 3)] {
        let mut rig = Rig::with(0, ports);
        let mut memory = rig.memory().unwrap();
        assert_eq!(
            Rig::traced(&rig.memory_trace),
            [
                "attach",
                "map global",
                "map per-PASID",
                "write64 global 0x00 = 0x1",
                &format!("write64 global 0x78 = {bits:#x}"),
            ]
        );
        assert_eq!((memory.ea(), memory.len_bytes(), memory.ports()), (rig.ea(), LEN_BYTES, ports));
        memory.detach(false).unwrap();
        let down = [
            "write64 global 0x78 = 0x0",
            "write64 global 0x00 = 0x0",
            "unmap per-PASID",
            "unmap global",
            "close",
        ];
        assert_eq!(Rig::traced(&rig.memory_trace), down);
        rig.assert_clean(Side::Memory);
        // Once is enough.
        memory.detach(false).unwrap();
        drop(memory);
        assert_eq!(Rig::traced(&rig.memory_trace), [""; 0]);
    }
}

#[test]
fn the_compute_side_does_what_the_public_software_does_and_then_undoes_it() {
    for number in 0..8 {
        for (ports, bits) in [(Ports::Zero, 1), (Ports::One, 2), (Ports::Both, 3)] {
            let mut rig = Rig::with(number, ports);
            let mut memory = rig.memory().unwrap();
            let mut compute = rig.compute().unwrap();
            let (off, value) =
                (0x20 + 8 * number, section_value(rig.section, rig.ea(), LEN_BYTES, ports).unwrap());
            assert_eq!(
                Rig::traced(&rig.compute_trace),
                [
                    "map global",
                    &format!("write64 global 0x78 = {bits:#x}"),
                    &format!("write64 global {off:#04x} = {value:#x}"),
                    &format!("read64 global 0x78 -> {bits:#x}"),
                    "map zone",
                ]
            );
            compute.detach(false).unwrap();
            assert_eq!(
                Rig::traced(&rig.compute_trace),
                [
                    "unmap zone",
                    &format!("write64 global {off:#04x} = 0x0"),
                    "write64 global 0x78 = 0x0",
                    "unmap global",
                    "close",
                ]
            );
            rig.assert_clean(Side::Compute);
            memory.detach(false).unwrap();
            rig.assert_clean(Side::Memory);
        }
    }
}

#[test]
fn each_side_sees_the_other() {
    let mut rig = Rig::with(3, Ports::Both);
    let mut memory = rig.memory().unwrap();
    assert_eq!(memory.compute().unwrap().unwrap().state, LinkState::Never);
    assert!(!memory.compute_arrived().unwrap());
    let mut compute = rig.compute().unwrap();
    let seen = memory.compute().unwrap().unwrap();
    assert_eq!(
        (seen.state, seen.section, seen.ports),
        (LinkState::Attached, Some(rig.section), Some(Ports::Both))
    );
    assert!(memory.compute_arrived().unwrap());
    let seen = compute.memory().unwrap().unwrap();
    assert_eq!((seen.state, seen.ea, seen.len_bytes), (LinkState::Attached, rig.ea(), LEN_BYTES));
    compute.detach(false).unwrap();
    let gone = memory.compute().unwrap().unwrap();
    assert_eq!(gone.state, LinkState::Detached);
    // Again, with the count going on.
    let compute = rig.compute().unwrap();
    assert_eq!(memory.compute().unwrap().unwrap().count, gone.count + 1);
    drop(compute);
    assert_eq!(memory.compute().unwrap().unwrap().state, LinkState::Detached);
    memory.detach(false).unwrap();
}

#[test]
fn counters_are_cleared_by_the_read_and_have_one_reader() {
    let mut rig = Rig::new();
    let mut memory = rig.memory().unwrap();
    let mut compute = rig.compute().unwrap();
    let _ = Rig::traced(&rig.compute_trace);
    // Training went through the card: counting begins at zero all the same.
    let sample = compute.counters().unwrap().sample().unwrap();
    assert_eq!((sample.tx_flits, sample.rx_flits, sample.latency.mean_cycles()), (0, 0, None));
    let registers = ["0x60", "0x68", "0x70"].map(|off| format!("read64 global {off} -> 0x0"));
    assert_eq!(Rig::traced(&rig.compute_trace)[3..], registers);
    let mut counting = memory.counters().unwrap();
    // A line read through the link: a command one way, a response and its data the other.
    compute.memory().unwrap();
    compute.memory().unwrap();
    let sample = counting.sample().unwrap();
    assert_eq!((sample.rx_flits, sample.tx_flits), (2, 10));
    assert_eq!(counting.sample().unwrap().rx_flits, 0);
    let other = rig.fabric.open(Side::Memory);
    assert_eq!(other.err().unwrap().errno(), nix::libc::ENOSPC);
    drop(counting);
    let mut counting = compute.counters().unwrap();
    assert_eq!(counting.sample().unwrap().latency.measurements, 0);
    drop(counting);
    compute.memory().unwrap();
    compute.detach(false).unwrap();
    assert_eq!(compute.counters().err().unwrap().kind(), crate::ErrorKind::Closed);
    memory.detach(false).unwrap();
}
