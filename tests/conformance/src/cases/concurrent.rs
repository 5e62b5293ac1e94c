//! Several processes at once.

use std::sync::atomic::Ordering;

use csm::{Context, ErrorKind};

use crate::fixture::small;
use crate::process::{Inside, Peer};
use crate::random::Random;
use crate::table::{assert_empty, assert_sound, open, publish_stamp, stamp_of};
use crate::{Fixture, Outcome, Scratch};

const ROUNDS: i64 = 150;

/// Publishes table "t" of region 0 again and again, stamped from argument 1 on.
pub(super) fn republish_role(inside: &mut Inside) {
    let region = Context::new().expect("context").open(inside.arg(0)).expect("open");
    let first = i64::try_from(inside.number(1)).expect("a stamp");
    inside.say("ready");
    inside.await_line("go");
    let mut last = 0;
    for stamp in first..first + ROUNDS {
        let published = publish_stamp(&region, "t", 100 + 150 * (stamp % 3), stamp).expect("publish");
        assert!(published.generation > last, "generations go forward");
        last = published.generation;
    }
    inside.say("done");
}

/// Reads table "t" of region 0 until told to stop: each time it is whole, and generations go forward.
pub(super) fn reread_role(inside: &mut Inside) {
    let region = Context::new().expect("context").open(inside.arg(0)).expect("open");
    inside.say("ready");
    let stop = inside.told();
    let (mut reads, mut last) = (0, 0);
    while !stop.load(Ordering::Relaxed) || reads == 0 {
        let table = open(&region, "t").expect("there is always one");
        assert!(table.generation() >= last, "generations go forward");
        last = table.generation();
        let batches = table.record_batches().expect("batches");
        stamp_of(&batches).expect("whole");
        table.check().expect("leased");
        reads += 1;
    }
    inside.say(reads);
}

pub(super) fn publishers(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create(&small(4));
    publish_stamp(&region, "t", 100, 0).expect("publish");
    let mut readers = vec![Peer::start("reread", &[&scratch.uri])];
    if fixture.nodes() > 1 {
        readers.push(Peer::start("reread", &[&scratch.with("node=1")]));
    }
    let mut publishers: Vec<Peer> =
        ["1000", "2000"].iter().map(|stamp| Peer::start("republish", &[&scratch.uri, stamp])).collect();
    for peer in readers.iter_mut().chain(&mut publishers) {
        peer.await_line("ready");
    }
    publishers.iter_mut().for_each(|peer| peer.say("go"));
    publishers.iter_mut().for_each(|peer| peer.await_line("done"));
    for mut reader in readers {
        reader.say("stop");
        assert!(reader.hear().parse::<u64>().expect("a number") > 0);
        reader.finish();
    }
    publishers.into_iter().for_each(Peer::finish);
    assert_sound(&region);
    let last =
        stamp_of(&open(&region, "t").expect("open").record_batches().expect("batches")).expect("whole");
    assert!([1000 + ROUNDS - 1, 2000 + ROUNDS - 1].contains(&last), "{last}");
    region.remove("t").expect("remove");
    drop(region);
    assert_empty(&scratch.open(""));
    Ok(())
}

/// Opens table "t" of region 0 as often as argument 1 says, reads it, and says how often it had to look again.
pub(super) fn open_role(inside: &mut Inside) {
    let region = Context::new().expect("context").open(inside.arg(0)).expect("open");
    inside.say("ready");
    let mut last = 0;
    for _ in 0..inside.number(1) {
        let table = open(&region, "t").expect("there is always one");
        let stamp = stamp_of(&table.record_batches().expect("batches")).expect("whole");
        table.check().expect("leased");
        assert!(stamp >= last, "the table of stamp {stamp} was current before that of stamp {last}");
        last = stamp;
    }
    inside.say(region.stats().expect("stats").coherence.retries);
}

/// Nothing but replacing, as fast as it goes, with readers on every node there is.
pub(super) fn replaced(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create(&small(4));
    publish_stamp(&region, "t", 20, 0).expect("publish");
    let mut uris = vec![scratch.uri.clone()];
    if fixture.nodes() > 1 {
        uris.push(scratch.with("node=1"));
    }
    let mut readers: Vec<Peer> = uris.iter().map(|uri| Peer::start("open-often", &[uri, "500"])).collect();
    readers.iter_mut().for_each(|reader| reader.await_line("ready"));
    let mut stamp = 0;
    while readers.iter_mut().any(Peer::is_running) {
        stamp += 1;
        publish_stamp(&region, "t", 20 + stamp % 100, stamp).expect("replace");
    }
    for mut reader in readers {
        reader.hear().parse::<u64>().expect("a number of retries");
        reader.finish();
    }
    assert_eq!(region.stats().expect("stats").coherence.retries, 0, "nobody but readers looks twice");
    assert_sound(&region);
    region.remove("t").expect("remove");
    drop(region);
    assert_empty(&scratch.open(""));
    Ok(())
}

/// Opens region 0, works in it, and leaves it, many times over.
pub(super) fn come_and_go_role(inside: &mut Inside) {
    let context = Context::new().expect("context");
    let mut random = Random(inside.number(1));
    let mine = format!("mine {}", inside.arg(1));
    inside.say("ready");
    for round in 0..60 {
        let region = context.open(inside.arg(0)).expect("open");
        let extents: Vec<_> = (0..5).map(|_| region.alloc(random.size(100_000), 64).expect("room")).collect();
        publish_stamp(&region, &mine, 50, round).expect("publish");
        let table = open(&region, &mine).expect("open table");
        assert_eq!(stamp_of(&table.record_batches().expect("batches")), Ok(round));
        match region.remove("common") {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::NameNotFound => {
                publish_stamp(&region, "common", 50, round).map(drop).expect("publish");
            }
            Err(e) => panic!("{e}"),
        }
        for extent in extents.into_iter().skip(1) {
            // SAFETY: allocated above.
            unsafe { region.free(extent, None) }.expect("free");
        }
        drop(table);
        if round % 7 == 0 {
            region.remove(&mine).expect("remove");
        }
    }
    inside.say("done");
}

pub(super) fn verify(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create(&small(8));
    let mut workers: Vec<Peer> =
        ["1", "2"].iter().map(|seed| Peer::start("come-and-go", &[&scratch.uri, seed])).collect();
    workers.iter_mut().for_each(|worker| worker.await_line("ready"));
    let mut verified = 0;
    while workers.iter_mut().any(Peer::is_running) {
        assert_sound(&region);
        region.tables().expect("tables");
        region.leases().expect("leases");
        region.stats().expect("stats");
        verified += 1;
    }
    assert!(verified > 0);
    workers.into_iter().for_each(Peer::finish);
    for table in region.tables().expect("tables") {
        region.remove(&table.name).expect("remove");
    }
    drop(region);
    assert_empty(&scratch.open(""));
    Ok(())
}
