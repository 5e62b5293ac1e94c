//! Garbage anywhere in a region: an error or the right data, never a crash or a hang.
//!
//! A helper tries seed after seed and says which one is next, so that its end names the seed. The work is
//! [`hostile::Victim`]'s, which the fuzz targets drive as well.

use crate::fixture::Scratch;
use crate::hostile::{Moment, Victim};
use crate::process::{Helper, Inside};
use crate::random::Random;
use crate::{Fixture, Outcome, Skipped, hostile};

/// Seeds a run tries; CSM_SEEDS asks for more.
fn seeds() -> u64 {
    std::env::var("CSM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(400)
}

/// Bytes that say what to overwrite, for a seed.
fn bytes_of(seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let len = 16 * (1 + random.below(4));
    (0..len).map(|_| random.next().to_le_bytes()[0]).collect()
}

/// Tries the seeds from argument 3 to argument 4 on the region and file of arguments 0 and 1, at the moment of
/// argument 2.
pub(super) fn role(inside: &mut Inside) {
    let moment = if inside.arg(2) == "open" { Moment::WhileOpen } else { Moment::BeforeOpen };
    let victim = Victim::adopt(inside.arg(0), inside.arg(1).as_ref());
    for seed in inside.number(3)..inside.number(4) {
        inside.say(seed);
        victim.suffer(&bytes_of(seed), moment);
    }
    victim.restore();
    inside.say("done");
}

fn run(fixture: &dyn Fixture, moment: &str) -> Outcome {
    let scratch = Scratch::new(fixture);
    let Some(path) = fixture.file(&scratch.uri) else {
        return Err(Skipped("the device has no file that a test could damage".to_owned()));
    };
    hostile::prepare(&scratch);
    let (mut next, end) = (0, seeds());
    let mut failures = Vec::new();
    while next < end && failures.len() < 10 {
        let range = (next.to_string(), end.to_string());
        let path = path.to_str().expect("a path in UTF-8");
        let mut helper = Helper::start("garbage", &[&scratch.uri, path, moment, &range.0, &range.1]);
        let mut last = next;
        while let Some(line) = helper.try_hear() {
            match line.parse() {
                Ok(seed) => last = seed,
                Err(_) => last = end,
            }
        }
        let status = helper.wait();
        if !status.success() {
            failures.push(format!("seed {last}: {status}"));
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
