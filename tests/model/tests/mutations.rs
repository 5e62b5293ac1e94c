//! Every step is needed: with one taken out, the checker finds a run that breaks the law that the
//! step is there for. The same configuration with the step in place holds, so that it is the
//! step and nothing else.

use csm_model::config::{Config, Faults, Link, Mutation, Order};
use csm_model::explore::{explore, refute};
use csm_model::protocol::property::{IN_ORDER, NO_REUSE, RETURNS, WHOLE};

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
