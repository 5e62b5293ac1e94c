//! Every step is needed: with one taken out, the checker finds a run that breaks the law that the
//! step is there for. The same configuration with the step in place holds, so that it is the
//! step and nothing else.

use csm_model::config::{Config, Faults, Link, Mutation, Order};
use csm_model::explore::{explore, refute};
use csm_model::property::{FENCED_KNOWS, FENCED_OUT, IN_ORDER, LEASE_STANDS, NO_REUSE, RETURNS, WHOLE};

const ALL: &[Link] = &[Link::Coherent, Link::Lender, Link::Incoherent];
const BORROWER_CACHED: &[Link] = &[Link::Lender, Link::Incoherent];
const BOTH_CACHED: &[Link] = &[Link::Incoherent];

/// Taking out `mutation` breaks `laws` on `links`, and only there.
fn breaks(mutation: Mutation, config: Config, links: &[Link], laws: &[&'static str]) {
    for &link in ALL {
        let config = Config { link, ..config };
        assert!(explore(config).broken.is_empty(), "{link:?}: broken as it stands");
        let mutant = config.without(mutation);
        if !links.contains(&link) {
            let broken = explore(mutant).broken;
            assert!(broken.is_empty(), "{link:?}: {mutation:?} was not expected to matter: {broken:?}");
            continue;
        }
        for law in laws {
            let run = refute(mutant, law);
            assert!(run.is_some(), "{link:?}: {mutation:?} leaves \"{law}\" standing");
            println!("{link:?}, {mutation:?}: not so: {law}\n{}", run.unwrap_or_default());
            if config.owners + config.borrowers == 2 && config.faults == Faults::default() {
                let all_copies = Config { exhaustive_copies: true, ..mutant };
                assert!(refute(all_copies, law).is_some(), "{link:?}: only without dead copies");
            }
        }
    }
}

fn base() -> Config {
    Config::new(Link::Coherent)
}

fn with(faults: Faults) -> Config {
    Config { faults, ..base() }
}

const NONE: Faults = Faults {
    owners_crash: false,
    readers_crash: false,
    restart: false,
    silence: false,
    reboot: false,
    detach: false,
    words: 0,
};

// The four that the protocol stands on.

#[test]
fn second_look() {
    breaks(Mutation::NoSecondLook, base(), ALL, &[WHOLE, NO_REUSE]);
}

#[test]
fn staged_acquire() {
    // On a coherent node the fence after the lease orders the loads behind it as well.
    breaks(Mutation::NoStagedAcquire, base(), BORROWER_CACHED, &[WHOLE]);
    let acquire_first = Config { order: Order::AcquireFirst, ..base() };
    breaks(Mutation::NoStagedAcquire, acquire_first, BORROWER_CACHED, &[WHOLE]);
}

#[test]
fn quarantine() {
    let silence = with(Faults { silence: true, ..NONE });
    breaks(Mutation::NoQuarantine, silence, ALL, &[WHOLE, NO_REUSE]);
}

#[test]
fn help_of_the_owner_that_takes_over() {
    let config = Config { owners: 2, ..with(Faults { owners_crash: true, ..NONE }) };
    breaks(Mutation::NoHelpHome, config, BOTH_CACHED, &[WHOLE, NO_REUSE]);
}

#[test]
fn help_of_the_reaper() {
    let config = Config { borrowers: 2, ..with(Faults { readers_crash: true, ..NONE }) };
    breaks(Mutation::NoHelpHome, config, BORROWER_CACHED, &[RETURNS]);
}

#[test]
fn help_of_the_reader_on_the_owner_node() {
    let config = Config { locals: 1, generations: 1, track_order: true, ..base() };
    breaks(Mutation::NoHelpHome, config, BOTH_CACHED, &[IN_ORDER]);
}

#[test]
fn help_of_the_process_that_joins_after_a_boot() {
    let faults = Faults { readers_crash: true, reboot: true, detach: true, ..NONE };
    breaks(Mutation::NoHelpHome, with(faults), BORROWER_CACHED, &[WHOLE, NO_REUSE]);
}

// Fences.

#[test]
fn store_load_fences() {
    breaks(Mutation::NoStoreLoadFenceReader, base(), ALL, &[WHOLE, NO_REUSE]);
    breaks(Mutation::NoStoreLoadFenceOwner, base(), ALL, &[WHOLE, NO_REUSE]);
}

#[test]
fn release_fence() {
    breaks(Mutation::NoReleaseFence, base(), ALL, &[WHOLE]);
}

// Write-backs and invalidations.

#[test]
fn write_backs() {
    breaks(Mutation::NoWriteBackData, base(), BOTH_CACHED, &[WHOLE]);
    breaks(Mutation::NoWriteBackLease, base(), BORROWER_CACHED, &[WHOLE, NO_REUSE]);
    breaks(Mutation::NoWriteBackClose, base(), BORROWER_CACHED, &[RETURNS]);
}

#[test]
fn invalidations() {
    breaks(Mutation::NoInvalidateSecondLook, base(), BORROWER_CACHED, &[WHOLE, NO_REUSE]);
    breaks(Mutation::NoInvalidateLeases, base(), BOTH_CACHED, &[WHOLE, NO_REUSE]);
}

// What the words hold, and in which order the owner writes them.

#[test]
fn generation_in_the_commit_word() {
    let acquire_first = Config { order: Order::AcquireFirst, ..base() };
    breaks(Mutation::NoGeneration, acquire_first, ALL, &[WHOLE]);
}

#[test]
fn two_records() {
    breaks(Mutation::OneRecord, Config { places: 2, ..base() }, ALL, &[WHOLE]);
}

#[test]
fn retired_list_before_the_swing() {
    let config = Config { owners: 2, ..with(Faults { owners_crash: true, ..NONE }) };
    breaks(Mutation::RetireAfterSwing, config, ALL, &[WHOLE, NO_REUSE]);
}

// Slots and incarnations.

#[test]
fn slot_lock_of_the_reaper() {
    let faults = Faults { readers_crash: true, restart: true, ..NONE };
    let config = Config { borrowers: 2, ..with(faults) };
    breaks(Mutation::NoSlotLock, config, ALL, &[NO_REUSE]);
}

#[test]
fn clearing_leases_after_a_boot() {
    let config = Config { borrowers: 2, generations: 1, ..with(Faults { reboot: true, ..NONE }) };
    breaks(Mutation::NoRejoinClear, config, ALL, &[RETURNS]);
}

#[test]
fn leases_are_void_by_incarnation_only() {
    let faults = Faults { reboot: true, detach: true, ..NONE };
    breaks(Mutation::VoidForever, with(faults), ALL, &[WHOLE, NO_REUSE]);
    breaks(Mutation::NoWriteBackIncarnation, with(faults), BORROWER_CACHED, &[WHOLE, NO_REUSE]);
}

#[test]
fn a_new_boot_voids_nothing_by_itself() {
    let faults = Faults { reboot: true, ..NONE };
    breaks(Mutation::VoidByIncarnation, with(faults), ALL, &[WHOLE, NO_REUSE]);
}

// The operator's fence.

fn fenced(words: u8) -> Config {
    with(Faults { words, ..NONE })
}

fn fenced_and_back() -> Config {
    Config { opens: 2, ..with(Faults { words: 1, readers_crash: true, restart: true, ..NONE }) }
}

#[test]
fn check_of_what_was_read() {
    breaks(Mutation::NoCheck, fenced(1), ALL, &[WHOLE]);
    breaks(Mutation::NoFenceCheck, fenced(1), ALL, &[WHOLE, FENCED_KNOWS]);
    breaks(Mutation::NoInvalidateCheck, fenced(1), BORROWER_CACHED, &[WHOLE, FENCED_KNOWS]);
}

#[test]
fn mark_read_at_open() {
    // The check alone keeps the reader safe; this keeps a fenced process from going on for ever.
    breaks(Mutation::NoMarkAtOpen, fenced(1), ALL, &[FENCED_OUT]);
    breaks(Mutation::NoInvalidateMarkAtOpen, fenced(1), BORROWER_CACHED, &[FENCED_OUT]);
    breaks(Mutation::MarkBeforeLease, fenced(1), &[], &[]);
}

#[test]
fn mark_home() {
    breaks(Mutation::NoWriteBackMark, fenced(1), BOTH_CACHED, &[WHOLE]);
    breaks(Mutation::NoWriteBackFence, fenced(1), ALL, &[FENCED_OUT, FENCED_KNOWS]);
}

#[test]
fn mark_under_the_lock_and_helped_home() {
    let config = Config { owners: 2, ..with(Faults { words: 1, owners_crash: true, ..NONE }) };
    breaks(Mutation::NoHelpMark, config, BOTH_CACHED, &[WHOLE]);
    breaks(Mutation::NoLockFence, config, BOTH_CACHED, &[WHOLE]);
}

#[test]
fn fenced_leases_are_void_by_incarnation_only() {
    breaks(Mutation::VoidForever, fenced_and_back(), ALL, &[WHOLE, NO_REUSE]);
    breaks(Mutation::NoInvalidateIncarnation, fenced_and_back(), BOTH_CACHED, &[WHOLE, NO_REUSE]);
    breaks(Mutation::NoWriteBackIncarnation, fenced_and_back(), BORROWER_CACHED, &[WHOLE, NO_REUSE]);
}

// Joining a node that was booted or fenced.

#[test]
fn clear_home_then_announce() {
    let faults = Faults { reboot: true, readers_crash: true, ..NONE };
    let config = Config { borrowers: 2, generations: 1, ..with(faults) };
    breaks(Mutation::AnnounceBeforeClear, config, ALL, &[RETURNS]);
    breaks(Mutation::ClearAndAnnounce, config, BORROWER_CACHED, &[RETURNS]);
    breaks(Mutation::ClearOwnOnly, config, ALL, &[RETURNS]);
}

/// The unmutated ones are in `exhaustive.rs`.
fn neighbours(latecomers: u8, words: u8) -> Config {
    let faults = Faults { words, restart: true, ..NONE };
    Config { link: Link::Lender, borrowers: 2, latecomers, generations: 1, ..with(faults) }
}

fn refuted(config: Config, mutation: Mutation, law: &'static str) {
    let run = refute(config.without(mutation), law);
    println!("{mutation:?}: not so: {law}\n{}", run.as_deref().unwrap_or("(it stands)"));
    assert!(run.is_some(), "{mutation:?} leaves \"{law}\" standing");
}

fn not_needed(config: Config, mutation: Mutation) {
    let broken = explore(config.without(mutation)).broken;
    assert!(broken.is_empty(), "{mutation:?} was not expected to matter: {broken:?}");
}

#[test]
fn joins_one_by_one() {
    refuted(neighbours(2, 1), Mutation::JoinBesideUnlocked, LEASE_STANDS);
}

/// Either of the two is enough: that nobody joins a fenced node beside the living, or that a mark fences
/// every incarnation before it too. The protocol has both.
#[test]
#[ignore = "minutes of both cores"]
fn joining_beside_the_living() {
    refuted(neighbours(1, 2), Mutation::JoinBesideAndNamesOne, FENCED_KNOWS);
    not_needed(neighbours(1, 2), Mutation::JoinBesideLiving);
    not_needed(neighbours(1, 2), Mutation::MarkNamesOne);
    not_needed(neighbours(2, 1), Mutation::NoJoinLock);
}
