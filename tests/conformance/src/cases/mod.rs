//! The cases, a subject a file, and the roles their peers play.

use crate::process::Role;
use crate::{Fixture, Outcome};

mod boots;
mod chunks;
mod concurrent;
mod counts;
mod create;
mod damage;
mod extents;
mod fenced;
mod fork;
mod full;
mod garbage;
mod grow;
mod guarded;
mod lost;
mod memory;
mod names;
mod nodes;
mod options;
mod people;
mod quarantine;
mod reader;
mod replace;
mod share;
mod spans;
mod wait;
mod windows;

/// What a device must do.
pub type Case = fn(&dyn Fixture) -> Outcome;

/// Every case, by name.
pub const ALL: &[(&str, Case)] = &[
    ("a region is created, opened and destroyed", create::lifetime),
    ("what cannot be created leaves nothing", create::refusals),
    ("an address in use is named", create::address_taken),
    ("memory is what was asked for", memory::asked_for),
    ("memory is nobody else's", memory::private),
    ("every option is checked", options::checked),
    ("options that mean nothing are refused", options::refused),
    ("a damaged superblock is refused", damage::superblock),
    ("a truncated region is refused", damage::truncated),
    ("what a window held is not lost", windows::not_lost),
    ("a file that is no region is not destroyed", windows::not_destroyed),
    ("a file of its own and a window are told apart", windows::other_use),
    ("a part of a window", windows::parts),
    ("what a window held is not believed", windows::former_life),
    ("a region lost while mapped answers so", lost::survived),
    ("a region lost while mapped ends who did not ask to survive", lost::not_survived),
    ("a publisher loses the link", lost::publisher),
    ("extents are freed once and by their owner", extents::errors),
    ("extents of the dead return", extents::of_the_dead),
    ("sealed pages serve again", extents::sealed),
    ("a store into a sealed table", extents::store_sealed),
    ("a closed region answers so, and its arrays stay", extents::closed),
    ("tables are at the same addresses everywhere", share::addresses),
    ("buffers outside are copied in and counted", share::copied),
    ("columns, tables and names share buffers", share::shared),
    ("a table outlives its publisher", share::publisher_gone),
    ("references beyond what a byte counts", share::saturated),
    ("a borrower reads and changes nothing", nodes::borrower),
    ("a borrower's lease holds, and its death ends it", nodes::borrower_dies),
    ("access=ro reads and changes nothing", nodes::read_only),
    ("what coherence costs the writer", counts::writer),
    ("what coherence costs a reader", counts::reader),
    ("a fenced node", fenced::node),
    ("who may be fenced, and by whom", fenced::refusals),
    ("a silent node", quarantine::silent),
    ("a node that starts anew", boots::borrower),
    ("an owner that starts anew", boots::owner),
    ("a reader keeps the generation it opened", replace::reader_keeps),
    ("a killed reader keeps nothing", replace::reader_killed),
    ("replacing takes no space in the long run", replace::churn),
    ("waiting for a name", wait::arrives),
    ("waiting has an end", wait::times_out),
    ("a full catalog", full::catalog),
    ("leases run out", full::leases),
    ("members run out, and the dead make room", full::members),
    ("all members dead", full::all_dead),
    ("a full region reclaims", full::region),
    ("a table of very many chunks", chunks::many),
    ("a table in two regions", spans::two_regions),
    ("a table in two regions, removed with one closed", spans::one_closed),
    ("an anchor is safe from verify", spans::verify_while_publishing),
    ("growing is seen everywhere", grow::seen),
    ("growing has limits", grow::limits),
    ("very many names", names::many),
    ("two publishers of a name", concurrent::publishers),
    ("replacing in a tight loop", concurrent::replaced),
    ("verify while others work", concurrent::verify),
    ("fork", fork::handles),
    ("a forked child that opens anew stays a member", fork::member),
    ("a region of somebody else", people::squatted),
    ("a region of another user, trusted", people::trusted),
    ("a user without permission", people::unprivileged),
    ("garbage before opening", garbage::before_open),
    ("garbage while open", garbage::while_open),
    ("hostile superblocks", garbage::superblocks),
    ("hostile descriptors", garbage::descriptors),
    ("hostile options", garbage::uris),
    ("loads without a lease", guarded::loads),
    ("what several have open is counted", guarded::shared),
];

/// Every role of a peer, by name.
pub const ROLES: &[(&str, Role)] = &[
    ("open", create::open_role),
    ("squeeze", create::squeeze_role),
    ("lost", lost::role),
    ("say-flags", memory::role),
    ("hoard", extents::hoard_role),
    ("reseal", extents::reseal_role),
    ("store-sealed", extents::store_sealed_role),
    ("read", share::read_role),
    ("publish", share::publish_role),
    ("lease", replace::lease_role),
    ("store", nodes::store_role),
    ("reader", reader::role),
    ("open-often", concurrent::open_role),
    ("wait", wait::role),
    ("fill", full::fill_role),
    ("watch-growth", grow::role),
    ("republish", concurrent::republish_role),
    ("reread", concurrent::reread_role),
    ("come-and-go", concurrent::come_and_go_role),
    ("verify-anchors", spans::verify_role),
    ("fork", fork::handles_role),
    ("fork-anew", fork::member_role),
    ("as-user", people::role),
    ("garbage", garbage::role),
    ("load", guarded::role),
];
