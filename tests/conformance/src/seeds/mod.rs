//! The protocols under an adversary: small regions on simulated links, everything drawn from a seed.
//!
//! Per seed a region on a link of some profile and line; one or two processes of the owner publish, replace and
//! remove a few names and grow the region; readers of two other nodes, and now and then of the owner's, open, hold and
//! read; some are killed in the middle and cleared up after. Everybody writes down what they did and when, and
//! [`history`] decides whether every open found a table that was current at some time while it lasted. What a table
//! says is compared value by value with what was published. At the end everything is free and sound.
//!
//! The processes are the same for all seeds, but for the killed. What they do is drawn from the seed, how it
//! interleaves is not: a seed that failed may have to be tried again a few times.

mod cast;
mod history;
mod player;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use csm::{ErrorKind, Region};

use self::cast::{Cast, Part};
use self::history::{History, now};
use self::player::{Author, NAMES};
use crate::Outcome;
use crate::devices::LINK;
use crate::fixture::Scratch;
use crate::process::Role;
use crate::random::Random;
use crate::table::{assert_empty, assert_sound, open};

/// The roles of the processes.
pub const ROLES: &[(&str, Role)] = &[("player", player::role)];

const DEFAULT_SEEDS: u64 = 20;
const WRITES: u64 = 16;
const READS: u64 = 20;

/// The seeds that `CSM_SEEDS` asks for: `1000` are those from 1 on, `17..18` is that one.
fn asked() -> std::ops::Range<u64> {
    let text = std::env::var("CSM_SEEDS").unwrap_or_default();
    let number = |text: &str| text.parse().expect("CSM_SEEDS is a number, or two with .. between");
    match text.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None if text.is_empty() => 1..DEFAULT_SEEDS + 1,
        None => 1..number(&text) + 1,
    }
}

/// Plays every seed that is asked for.
///
/// # Errors
/// Never: it runs everywhere.
pub fn run() -> Outcome {
    let mut cast = Cast::default();
    let mut opens = 0;
    for seed in asked() {
        match catch_unwind(AssertUnwindSafe(|| play(seed, &mut cast))) {
            Ok(count) => opens += count,
            Err(why) => {
                eprintln!("seed {seed} failed; again: CSM_SEEDS={seed}..{}", seed + 1);
                resume_unwind(why);
            }
        }
    }
    println!("{opens} opens, each right");
    Ok(())
}

/// One seed. Returns how many opens were judged.
fn play(seed: u64, cast: &mut Cast) -> u64 {
    let mut random = Random(seed);
    let mut pick = |choices: [&'static str; 2]| choices[random.index(2)];
    let (profile, line) = (pick(["lc", "lender"]), pick(["64", "128"]));
    let scratch = Scratch::new(&LINK);
    let shape = "size=6M&max=10M&catalog=8&nodes=3&members=8&leases=112";
    let region = scratch
        .context
        .create(&scratch.with(&format!("{shape}&profile={profile}&line={line}&seed={seed}")))
        .expect("create");

    // Who is there, and whose names are whose: each name is one process's to publish.
    let mut history = History::default();
    let (mine, theirs): (Vec<&str>, Vec<&str>) = NAMES.iter().partition(|_| random.below(3) > 0);
    let mut parts = vec![];
    for node in 1..=2 {
        (0..1 + random.below(2)).for_each(|_| parts.push(Part::reads(node, READS)));
    }
    if random.below(4) == 0 {
        parts.push(Part::reads(0, READS));
    }
    if !theirs.is_empty() {
        parts.push(Part::writes(&theirs, WRITES));
    }
    cast.start(&parts, &scratch.uri, &mut random);
    let killed_at = [(); 2].map(|()| random.below(2 * WRITES));

    let mut author = Author::new(0, &mine, random.number());
    for write in 0..WRITES {
        author.act(&region, &mut |line| history.note(cast::DIRECTOR, line));
        if killed_at.contains(&write) {
            let who = random.index(parts.len());
            for line in cast.kill(who) {
                history.note(who, &line);
            }
            if parts[who].writes {
                let kept = parts[who].names.clone();
                take_over(&region, &kept, &mut history);
                author.inherit(&kept);
                parts[who] = Part::writes(&[], 0);
            }
            // Its successor clears up after it, being of its node.
            cast.restart(who, &parts[who], &scratch.uri, &mut random);
        }
        if random.below(4 * WRITES) == 0 && region.info().expect("info").size_bytes == 6 << 20 {
            region.grow(10 << 20).expect("grow");
        }
    }
    for who in 0..parts.len() {
        cast.finish(who, |line| history.note(who, line));
    }
    let opens = history.judge();

    assert_sound(&region);
    for table in region.tables().expect("tables") {
        region.remove(&table.name).expect("remove");
    }
    drop(region);
    let region = scratch.open("");
    region.reap().expect("reap");
    assert_empty(&region);
    opens
}

/// A process that published died: finds out what came of its last write, and brings it home.
fn take_over(region: &Region, names: &[String], history: &mut History) {
    region.reap().expect("reap");
    for name in names {
        let found = match open(region, name) {
            Ok(table) => Some(player::stamp_of(&table)),
            Err(e) if e.kind() == ErrorKind::NameNotFound => None,
            Err(e) => panic!("{name}: {e}"),
        };
        history.resolve(name, found, now());
    }
}
