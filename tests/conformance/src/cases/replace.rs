//! Generations: a reader keeps the one it opened.

use csm::Context;

use crate::fixture::small;
use crate::process::{Inside, Peer};
use crate::table::{assert_empty, assert_sound, open, publish_stamp, read_stamp, stamp_of};
use crate::{Fixture, Outcome, Scratch};

/// Opens the table of argument 1 in region 0 and says its stamp, or the kind of error; again whenever told to
/// look. "drop" gives the table back, "open" opens it again.
pub(super) fn lease_role(inside: &mut Inside) {
    let region = Context::new().expect("context").open(inside.arg(0)).expect("open");
    let get = || -> csm::Result<_> {
        let table = open(&region, inside.arg(1))?;
        let batches = table.record_batches()?;
        Ok((table, batches))
    };
    let mut held = match get() {
        Ok(held) => Some(held),
        Err(e) => return inside.say(e.kind().name()),
    };
    loop {
        if let Some((table, batches)) = &held {
            table.check().expect("the lease holds");
            inside.say(stamp_of(batches).expect("whole"));
        }
        match inside.hear().as_str() {
            "drop" => {
                held = None;
                inside.say("dropped");
            }
            "open" => held = Some(get().expect("open table")),
            "look" => {}
            _ => break,
        }
    }
}

pub(super) fn reader_keeps(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create(&small(4));
    let first = publish_stamp(&region, "t", 4000, 1).expect("publish");
    let mut reader = Peer::start("lease", &[&scratch.uri, "t"]);
    reader.await_line("1");
    let mine = open(&region, "t").expect("open");
    let one = region.stats().expect("stats").live_bytes;

    let second = publish_stamp(&region, "t", 4000, 2).expect("replace");
    assert!(second.generation > first.generation);
    assert_eq!((mine.generation(), mine.is_current().expect("current")), (first.generation, false));
    mine.check().expect("leased");
    drop(mine);
    // Writing over everything that is free would show what was given away too early.
    let stats = region.stats().expect("stats");
    assert_eq!((stats.retired, stats.live_bytes), (1, 2 * one));
    let mut taken = Vec::new();
    for size in [128, 4096, 65_536] {
        for _ in 0..8 {
            let ptr = region.alloc(size, 64).expect("alloc");
            // SAFETY: just allocated.
            unsafe { ptr.as_ptr().write_bytes(0xee, usize::try_from(size).expect("size")) };
            taken.push((ptr, size));
        }
    }
    reader.say("look");
    reader.await_line("1");
    assert_eq!(read_stamp(&region, "t"), 2);
    for (ptr, size) in taken {
        // SAFETY: allocated above.
        unsafe { region.free(ptr, Some(size)) }.expect("free");
    }
    reader.say("drop");
    reader.await_line("dropped");
    // Whoever gave the last lease back returned the space.
    let stats = region.stats().expect("stats");
    assert_eq!((stats.retired, stats.live_bytes, stats.leases), (0, one, 0));
    reader.say("open");
    reader.await_line("2");
    region.remove("t").expect("remove");
    reader.say("look");
    reader.await_line("2");
    reader.say("leave");
    reader.finish();
    assert_sound(&region);
    drop(region);
    assert_empty(&scratch.open(""));
    Ok(())
}

pub(super) fn reader_killed(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create(&small(4));
    publish_stamp(&region, "t", 4000, 1).expect("publish");
    let one = region.stats().expect("stats").live_bytes;
    let mut readers: Vec<Peer> = (0..3).map(|_| Peer::start("lease", &[&scratch.uri, "t"])).collect();
    readers.iter_mut().for_each(|reader| reader.await_line("1"));
    publish_stamp(&region, "t", 4000, 2).expect("replace");
    for reader in readers {
        assert_eq!(region.stats().expect("stats").live_bytes, 2 * one);
        reader.kill();
        let reaped = region.reap().expect("reap");
        assert_eq!(reaped.len(), 1, "{reaped:?}");
    }
    let stats = region.stats().expect("stats");
    assert_eq!((stats.retired, stats.live_bytes, stats.leases, stats.members), (0, one, 0, 1));
    assert_eq!(read_stamp(&region, "t"), 2);
    region.remove("t").expect("remove");
    drop(region);
    assert_empty(&scratch.open(""));
    Ok(())
}

pub(super) fn churn(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create(&small(2));
    // 30 times what the region holds, or 9 times.
    for stamp in 0..fixture.scaled(3000).clamp(150, 500).cast_signed() {
        publish_stamp(&region, "t", 4000, stamp).unwrap_or_else(|e| panic!("generation {stamp}: {e}"));
        if stamp % 50 == 0 {
            assert_eq!(read_stamp(&region, "t"), stamp);
        }
    }
    assert_sound(&region);
    region.remove("t").expect("remove");
    drop(region);
    assert_empty(&scratch.open(""));
    Ok(())
}
