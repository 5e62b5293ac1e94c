//! Garbage anywhere in a region: an error or the right data, never a crash or a hang.
//!
//! A peer tries seed after seed and says which one is next, so that its end names the seed. The work is
//! [`hostile::Victim`]'s, which the fuzz targets drive as well.

use std::path::PathBuf;

use crate::fixture::Scratch;
use crate::hostile::{Attack, Victim};
use crate::process::{Inside, Peer};
use crate::random::Random;
use crate::{Fixture, Outcome, Skipped, hostile};

/// Seeds a run tries; `CSM_GARBAGE` asks for more.
fn seeds(fixture: &dyn Fixture) -> u64 {
    let asked = std::env::var("CSM_GARBAGE").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or_else(|| fixture.scaled(400))
}

/// The attack of a seed.
fn bytes_of(seed: u64, attack: Attack) -> Vec<u8> {
    let mut random = Random(seed);
    if attack == Attack::Uri {
        let words: Vec<&str> =
            csm::uri::OPTIONS.iter().map(|(name, ..)| *name).chain(WORDS.iter().copied()).collect();
        return (0..1 + random.below(8))
            .flat_map(|_| words[random.index(words.len())].bytes().collect::<Vec<_>>())
            .collect();
    }
    let len = 16 * (1 + random.below(4));
    (0..len).map(|_| random.number().to_le_bytes()[0]).collect()
}

/// What URIs are made of, besides the names of options.
const WORDS: &[&str] = &[
    "shm:",
    "x",
    "=",
    "&",
    "?",
    "=",
    "&",
    "%",
    "%41",
    "%00",
    "%FF",
    "=0",
    "=1",
    "=yes",
    "=2M",
    "=6M",
    "=auto",
    "=0x40",
    "=ro",
    "=18446744073709551616",
    "=99999999T",
    "=-1",
    "=0777",
    "=1ms",
    "/",
    ".",
    "\u{7f}",
];

/// Tries the seeds from argument 2 to argument 3 on region 0 with the attack of argument 1; its files follow.
pub(super) fn role(inside: &mut Inside) {
    let (_, attack) = *Attack::ALL.iter().find(|(name, _)| *name == inside.arg(1)).expect("an attack");
    let files: Vec<PathBuf> =
        (4..).take_while(|i| inside.has(*i)).map(|i| PathBuf::from(inside.arg(i))).collect();
    let victim = Victim::adopt(inside.arg(0), &files);
    for seed in inside.number(2)..inside.number(3) {
        inside.say(seed);
        victim.suffer(&bytes_of(seed, attack), attack);
    }
    victim.restore();
}

fn run(fixture: &dyn Fixture, attack: &str) -> Outcome {
    let scratch = Scratch::new(fixture);
    if fixture.file(&scratch.uri).is_none() || !fixture.makes_windows() {
        return Err(Skipped("the device has no file that a test could damage".to_owned()));
    }
    hostile::furnish(&scratch);
    hostile::haunt(&scratch);
    let files = fixture.copies(&scratch.uri);
    let sound = Victim::adopt(&scratch.uri, &files);
    let (mut next, end) = (0, seeds(fixture));
    let mut failures = Vec::new();
    while next < end && failures.len() < 10 {
        let range = (next.to_string(), end.to_string());
        let mut args = vec![scratch.uri.as_str(), attack, &range.0, &range.1];
        args.extend(files.iter().map(|path| path.to_str().expect("a path in UTF-8")));
        let mut peer = Peer::start("garbage", &args);
        let mut last = next;
        while let Some(line) = peer.try_hear() {
            last = line.parse().expect("a seed");
        }
        let status = peer.wait();
        if status.success() {
            last = end;
        } else {
            failures.push(format!("seed {last}: {status}"));
            sound.restore();
        }
        next = last + 1;
    }
    assert!(failures.is_empty(), "{failures:#?}");
    Ok(())
}

pub(super) fn before_open(fixture: &dyn Fixture) -> Outcome {
    run(fixture, "closed")
}

pub(super) fn while_open(fixture: &dyn Fixture) -> Outcome {
    run(fixture, "open")
}

pub(super) fn superblocks(fixture: &dyn Fixture) -> Outcome {
    run(fixture, "superblock")
}

pub(super) fn descriptors(fixture: &dyn Fixture) -> Outcome {
    run(fixture, "descriptor")
}

pub(super) fn uris(fixture: &dyn Fixture) -> Outcome {
    run(fixture, "uri")
}
