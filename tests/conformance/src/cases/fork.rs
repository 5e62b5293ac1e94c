//! Fork: a child's copies of the handles answer with an error, and the child can open for itself.
//!
//! The process that forks is a peer with one thread.

use csm::{Context, ErrorKind, Region};

use crate::fixture::small;
use crate::process::{Inside, Peer};
use crate::table::{assert_empty, assert_sound, open, publish_stamp, read_stamp, stamp_of};
use crate::{Fixture, Outcome, Scratch};

/// Runs `f` in a forked child and waits for its good end.
pub(super) fn in_child(f: impl FnOnce()) {
    // SAFETY: this process has one thread, so the child may do as it likes; it ends without returning.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork");
    if child == 0 {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
        // SAFETY: ends the child here and now.
        unsafe { libc::_exit(i32::from(ended.is_err())) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child failed");
}

fn assert_forked(region: &Region) {
    let kinds = [
        region.info().map(drop),
        region.stats().map(drop),
        region.members().map(drop),
        region.leases().map(drop),
        region.alloc(64, 64).map(drop),
        region.tables().map(drop),
        open(region, "t").map(drop),
        publish_stamp(region, "u", 10, 1).map(drop),
        region.remove("t"),
        region.verify().map(drop),
        region.grow(1 << 30),
    ]
    .map(|result| result.expect_err("the parent's").kind());
    assert_eq!(kinds, [ErrorKind::Forked; 11]);
}

/// Uses every handle in a child, drops them there, opens anew there; then looks at what is left of its own.
pub(super) fn handles_role(inside: &mut Inside) {
    let context = Context::new().expect("context");
    let region = context.open(inside.arg(0)).expect("open");
    let table = open(&region, "t").expect("open table");
    let batches = table.record_batches().expect("batches");
    let ptr = region.alloc(4096, 64).expect("alloc");
    let mut vec = region.vec::<i64>(1000).expect("a vector");
    vec.resize(1000, 7).expect("room");
    let before = region.stats().expect("stats");
    for opens_anew in [false, true] {
        // The child's copies are dropped in the child, ours stay: a fork copies them without counting.
        let theirs = std::mem::ManuallyDrop::new((region.clone(), table.clone(), batches.clone()));
        in_child(|| {
            let (region, table, batches) = std::mem::ManuallyDrop::into_inner(theirs);
            assert_forked(&region);
            assert_eq!(table.check().expect_err("the parent's").kind(), ErrorKind::Forked);
            // SAFETY: must be refused.
            let freed = unsafe { region.free(ptr, None) };
            assert_eq!(freed.expect_err("the parent's").kind(), ErrorKind::Forked);
            assert!(vec.push(1).is_err());
            assert_eq!(stamp_of(&batches), Ok(1), "what was read before stays readable");
            if opens_anew {
                let own = context.open(inside.arg(0)).expect("open in the child");
                assert_eq!(read_stamp(&own, "t"), 1);
                publish_stamp(&own, "child", 100, 2).expect("publish");
                assert_eq!(own.members().expect("members").len(), 3);
                assert_eq!(own.remove("child").map_err(|e| e.kind()), Ok(()));
            }
            drop((region, table, batches));
        });
    }
    // The child ends without running destructors; one that does must be as harmless.
    in_child(|| {
        drop((region.clone(), table.clone(), batches.clone()));
        // SAFETY: ends the process as a return from main does, thread-locals and statics included.
        unsafe { libc::exit(0) };
    });
    region.reap().expect("reap");
    let after = region.stats().expect("stats");
    assert_eq!((after.process_live_bytes, after.leases), (before.process_live_bytes, 1));
    table.check().expect("leased");
    assert!(vec.iter().all(|value| *value == 7));
    // SAFETY: allocated above.
    unsafe { region.free(ptr, Some(4096)) }.expect("free");
    inside.say("done");
    inside.await_line("leave");
    assert_eq!(stamp_of(&batches), Ok(1));
}

pub(super) fn handles(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create(&small(2));
    publish_stamp(&region, "t", 1000, 1).expect("publish");
    let mut peer = Peer::start("fork", &[&scratch.uri]);
    peer.await_line("done");
    assert_sound(&region);
    region.remove("t").expect("remove");
    let stats = region.stats().expect("stats");
    assert_eq!((stats.retired, stats.leases, stats.members), (1, 1, 2), "the parent still reads");
    peer.say("leave");
    peer.finish();
    drop(region);
    assert_empty(&scratch.open(""));
    Ok(())
}

/// Forks a child that opens anew, drops what it inherited, and stays until told.
pub(super) fn member_role(inside: &mut Inside) {
    let context = Context::new().expect("context");
    let inherited = std::mem::ManuallyDrop::new(context.open(inside.arg(0)).expect("open"));
    in_child(|| {
        let own = context.open(inside.arg(0)).expect("open in the child");
        let table = open(&own, "t").expect("open table");
        let ptr = own.alloc(4096, 64).expect("alloc");
        drop(std::mem::ManuallyDrop::into_inner(inherited));
        inside.say("ready");
        inside.await_line("go on");
        table.check().expect("leased");
        // SAFETY: allocated above.
        unsafe { own.free(ptr, Some(4096)) }.expect("it is still ours");
        publish_stamp(&own, "t", 1000, 2).expect("publish");
        drop((table, own));
        inside.say("left");
    });
}

pub(super) fn member(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create(&small(2));
    publish_stamp(&region, "t", 1000, 1).expect("publish");
    let mut peer = Peer::start("fork-anew", &[&scratch.uri]);
    peer.await_line("ready");
    let members = region.members().expect("members");
    assert_eq!(members.len(), 3);
    assert!(members.iter().all(|member| member.alive), "{members:?}");
    assert_eq!(region.reap().expect("reap"), Vec::<String>::new());
    peer.say("go on");
    peer.await_line("left");
    peer.finish();
    assert_eq!(read_stamp(&region, "t"), 2);
    region.remove("t").expect("remove");
    region.reap().expect("reap");
    drop(region);
    assert_empty(&scratch.open(""));
    Ok(())
}
