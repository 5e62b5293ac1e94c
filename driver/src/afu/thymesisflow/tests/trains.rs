//! Training: how long it takes, how it fails, and that a failure leaves nothing.

use super::*;
use crate::ErrorKind;
use crate::afu::model::Flaw;
use crate::afu::thymesisflow::Stage;

#[test]
fn a_slow_channel_is_asked_until_it_answers() {
    let mut rig = Rig::new();
    let _memory = rig.memory().unwrap();
    rig.fabric.set_slowness(5);
    let mut told = Vec::new();
    let compute = rig
        .compute_with(&rig.borrow(), &mut |progress| {
            told.push((progress.stage, progress.attempts, progress.last.is_empty()));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(compute.trained().attempts, 6);
    assert_eq!(told.len(), 6);
    assert_eq!((told[0], told[5]), ((Stage::Settling, 0, true), (Stage::Asking, 5, false)));
    // The zone is mapped once, the card asked each time whether it is still there.
    let trace = Rig::traced(&rig.compute_trace);
    let count = |what: &str| trace.iter().filter(|entry| *entry == what).count();
    assert_eq!((count("map zone"), count("read64 global 0x78 -> 0x1")), (1, 6));
}

#[test]
fn a_link_that_does_not_train_is_an_error_that_says_why_and_leaves_nothing() {
    let cases = [
        (Flaw::Dead, "no mark of a memory side"),
        (Flaw::StuckBit, "of the memory side's known answers came back wrong"),
        (Flaw::LostWrites, "32 lines written through the link did not come back"),
    ];
    for (flaw, why) in cases {
        let mut rig = Rig::with(1, Ports::One);
        let mut memory = rig.memory().unwrap();
        rig.fabric.set_flaw(flaw);
        let mut borrow = rig.borrow();
        borrow.training.deadline = Duration::from_millis(20);
        let error = rig.compute_with(&borrow, &mut { GO_ON }).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert!(error.message().contains(why) && error.message().contains("port 1"), "{error}");
        rig.assert_clean(Side::Compute);
        rig.fabric.set_flaw(Flaw::None);
        let mut compute = rig.compute().unwrap();
        compute.detach(false).unwrap();
        memory.detach(false).unwrap();
    }
}

#[test]
fn a_peer_that_is_not_attached_is_waited_for() {
    let rig = Rig::new();
    let mut borrow = rig.borrow();
    borrow.training.deadline = Duration::from_millis(20);
    let error = rig.compute_with(&borrow, &mut { GO_ON }).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.message().contains("is the memory side attached"), "{error}");
    rig.assert_clean(Side::Compute);
}

#[test]
fn training_can_be_stopped() {
    let mut rig = Rig::new();
    let _memory = rig.memory().unwrap();
    rig.fabric.set_flaw(Flaw::Dead);
    let stop = &mut |progress: &Progress| match progress.attempts {
        0..3 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    };
    let error = rig.compute_with(&rig.borrow(), stop).err().unwrap();
    assert_eq!(error.errno(), nix::libc::EINTR);
    rig.assert_clean(Side::Compute);
    // Also while the channels are left alone: no transaction is made then.
    let mut borrow = rig.borrow();
    borrow.training.settle = Duration::from_secs(30);
    let error = rig.compute_with(&borrow, &mut |_| ControlFlow::Break(())).err().unwrap();
    assert_eq!(error.errno(), nix::libc::EINTR);
    let _ = Rig::traced(&rig.compute_trace);
    rig.assert_clean(Side::Compute);
}

#[test]
fn sides_that_disagree_are_told_so_at_once() {
    let mut rig = Rig::new();
    let _memory = rig.memory().unwrap();
    // Half a window further, where the zone would be the same: both sides say 4 MiB, at different addresses.
    let mut borrow = rig.borrow();
    borrow.len_bytes = LEN_BYTES / 2;
    borrow.ea += LEN_BYTES / 2;
    let window = rig.fabric.window(0, LEN_BYTES / 2);
    let error = ComputeSide::attach(
        rig.fabric.open(Side::Compute).unwrap(),
        &borrow,
        window,
        &rig.compute_trace,
        &mut { GO_ON },
    )
    .err()
    .unwrap();
    assert_eq!(error.kind(), ErrorKind::OptionMismatch);
    assert!(error.message().contains(&format!("{:#x}, this side was told", rig.ea())), "{error}");
    rig.assert_clean(Side::Compute);
}

#[test]
fn a_card_that_is_fenced_is_no_link_to_wait_for() {
    let mut rig = Rig::new();
    let _memory = rig.memory().unwrap();
    rig.fabric.set_flaw(Flaw::Dead);
    let fabric = rig.fabric.clone();
    let error = rig
        .compute_with(&rig.borrow(), &mut |progress| {
            if progress.attempts == 2 {
                fabric.fence(Side::Compute);
            }
            ControlFlow::Continue(())
        })
        .err()
        .unwrap();
    assert!(error.message().contains("all ones"), "{error}");
}

#[test]
fn an_address_that_is_not_the_lenders_is_a_translation_fault_there() {
    let mut rig = Rig::new();
    let mut memory = rig.memory().unwrap();
    assert_eq!(memory.fault().unwrap(), None);
    let mut borrow = rig.borrow();
    // No process has anything there.
    borrow.ea = 0x80;
    let error = rig.compute_with(&borrow, &mut { GO_ON }).err().unwrap();
    assert!(error.message().contains("answered with a failure"), "{error}");
    let fault = memory.fault().unwrap().unwrap();
    assert_eq!((fault.address, fault.count), (0x80 + LEN_BYTES - super::super::ZONE_BYTES, 1));
    assert!(fault.into_error().message().contains("0x200080"));
    assert_eq!(memory.fault().unwrap(), None);
}
