//! The compute side detaches first: enforced, and what the rule prevents.

use super::*;
use crate::ErrorKind;
use crate::afu::thymesisflow::LinkState;
use crate::afu::thymesisflow::training::announce;
use crate::afu::thymesisflow::zone::{Mark, write_mark};

#[test]
fn the_memory_side_refuses_to_go_while_it_is_borrowed_from() {
    let mut rig = Rig::with(2, Ports::One);
    let mut memory = rig.memory().unwrap();
    let mut compute = rig.compute().unwrap();
    let _ = Rig::traced(&rig.memory_trace);
    let error = memory.detach(false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    assert!(error.message().contains("its section 2, port 1") && error.message().contains("detach it first"));
    // Nothing was done: the link works.
    assert_eq!(Rig::traced(&rig.memory_trace), [""; 0]);
    assert_eq!(compute.memory().unwrap().unwrap().state, LinkState::Attached);
    compute.detach(false).unwrap();
    memory.detach(false).unwrap();
    rig.assert_clean(Side::Memory);
    rig.assert_clean(Side::Compute);
}

#[test]
fn forced_the_memory_side_goes_and_the_borrowers_next_access_fences_its_host() {
    let mut rig = Rig::new();
    let mut memory = rig.memory().unwrap();
    let mut compute = rig.compute().unwrap();
    memory.detach(true).unwrap();
    rig.assert_clean(Side::Memory);
    assert!(!rig.fabric.card(Side::Compute).fenced);
    assert!(compute.memory().is_err());
    assert!(rig.fabric.card(Side::Compute).fenced);
}

#[test]
fn forced_the_compute_side_goes_without_touching_a_dead_link() {
    let mut rig = Rig::new();
    let mut memory = rig.memory().unwrap();
    let mut compute = rig.compute().unwrap();
    memory.detach(true).unwrap();
    compute.detach(true).unwrap();
    rig.assert_clean(Side::Compute);
}

#[test]
fn a_compute_side_that_cannot_tell_comes_down_all_the_same() {
    let mut rig = Rig::new();
    let mut memory = rig.memory().unwrap();
    let mut compute = rig.compute().unwrap();
    rig.fabric.fail_at(0);
    let error = compute.detach(false).unwrap_err();
    assert!(error.message().contains("telling the memory side"), "{error}");
    rig.assert_clean(Side::Compute);
    // It was not told, so it asks for an operator's word.
    assert_eq!(memory.detach(false).unwrap_err().kind(), ErrorKind::InUse);
    memory.detach(true).unwrap();
}

#[test]
fn a_line_that_is_no_mark_may_be_somebody_attaching() {
    let mut rig = Rig::new();
    let mut memory = rig.memory().unwrap();
    rig.window[index(LEN_BYTES - super::super::ZONE_BYTES) + 128] = 1;
    let error = memory.detach(false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    assert!(error.message().contains("cannot be read"), "{error}");
    memory.detach(true).unwrap();
}

#[test]
fn a_compute_side_notices_a_memory_side_that_goes_at_the_same_moment() {
    let mut rig = Rig::new();
    let mut memory = rig.memory().unwrap();
    let at = NonNull::new(rig.window.as_mut_ptr()).unwrap();
    // SAFETY: the rig's window.
    let window = unsafe { LentWindow::adopt(at, LEN_BYTES) }.unwrap();
    let mut zone = window.zone().unwrap();
    let mark = compute_mark(&rig);
    assert!(announce(&mut zone, &mark).is_ok());
    let there = memory.compute().unwrap().unwrap();
    assert_eq!(there, mark);
    write_mark(&mut zone, Side::Compute, Mark { state: LinkState::Detached, ..mark }).unwrap();
    memory.detach(false).unwrap();
    assert!(announce(&mut zone, &mark).unwrap_err().message().contains("detached while"));
}

fn compute_mark(rig: &Rig) -> Mark {
    Mark {
        state: LinkState::Attached,
        nonce: 1,
        ea: rig.ea(),
        len_bytes: LEN_BYTES,
        section: Some(rig.section),
        ports: Some(rig.ports),
        count: 1,
    }
}

#[test]
fn a_dropped_side_detaches() {
    let mut rig = Rig::new();
    let memory = rig.memory().unwrap();
    let compute = rig.compute().unwrap();
    drop(compute);
    rig.assert_clean(Side::Compute);
    drop(memory);
    rig.assert_clean(Side::Memory);
}
