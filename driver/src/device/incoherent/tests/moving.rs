//! Lines move when they must, and when the adversary likes; never against their writer.

use std::time::Duration;

use super::*;

#[test]
fn a_store_arrives_after_write_back_and_fence_here_and_invalidate_and_fence_there() {
    let region = Region::new("seed=0");
    let (zero, one) = (region.node(0), region.node(1));
    let home = region.node_with(2, "");
    let seen_at_home = || {
        home.fetch(0);
        home.load(0)
    };
    zero.store(0, 7);
    zero.ops.fence();
    assert_eq!(seen_at_home(), 0, "nothing was written back");
    zero.ops.write_back(zero.at(0), 8);
    assert_eq!(seen_at_home(), 0, "not before the fence");
    zero.ops.fence();
    assert_eq!(seen_at_home(), 7);

    assert_eq!(one.load(0), 0, "nothing was invalidated");
    one.ops.fence();
    one.ops.invalidate(one.at(0), 8);
    assert_eq!(one.load(0), 0, "not before the fence");
    one.ops.fence();
    assert_eq!(one.load(0), 7);
}

#[test]
fn a_fence_completes_what_its_own_thread_started() {
    let region = Region::new("seed=0");
    let (zero, one) = (region.node(0), region.node(1));
    zero.store(0, 7);
    std::thread::scope(|scope| {
        scope.spawn(|| zero.ops.write_back(zero.at(0), 8));
    });
    zero.ops.fence();
    one.fetch(0);
    assert_eq!(one.load(0), 0);
}

#[test]
fn nobody_moves_a_line_against_its_writer() {
    let region = Region::new("seed=0");
    let (zero, one) = (region.node(0), region.node(1));
    // Dropping one's own dirty line brings it home.
    zero.store(0, 7);
    zero.fetch(0);
    assert_eq!(zero.load(0), 7);
    // A store to another node's line never gets home, and is lost when the line is fetched.
    one.store(0, 8);
    one.write_home(0);
    zero.fetch(0);
    assert_eq!((zero.load(0), one.load(0)), (7, 8));
    assert_eq!(one.device.audit(0..64), Some(Flaw { off: 0, writer: 0, not_home: false }));
    one.fetch(0);
    assert_eq!(one.load(0), 7);
    // Node 1's own part goes the other way.
    one.store(OF_NODE_1, 9);
    one.write_home(OF_NODE_1);
    zero.fetch(OF_NODE_1);
    assert_eq!(zero.load(OF_NODE_1), 9);
}

#[test]
fn lines_move_as_a_whole_and_no_more() {
    for line in [64, 128] {
        let region = Region::new(&format!("seed=0&line={line}"));
        let (zero, one) = (region.node(0), region.node(1));
        assert_eq!((zero.ops.line_bytes(), zero.device.coherence().line_bytes), (line, line));
        zero.store(0, 1);
        zero.store(line - 8, 2);
        zero.store(line, 3);
        zero.write_home(0);
        one.ops.invalidate(one.at(0), 2 * line);
        one.ops.fence();
        assert_eq!((one.load(0), one.load(line - 8), one.load(line)), (1, 2, 0), "line={line}");
        // A range that touches two lines moves both.
        zero.store(line - 8, 4);
        zero.ops.write_back(zero.at(line - 1), 2);
        zero.ops.fence();
        one.ops.invalidate(one.at(line - 1), 2);
        one.ops.fence();
        assert_eq!((one.load(line - 8), one.load(line)), (4, 3), "line={line}");
    }
}

#[test]
fn profiles_give_caches_to_those_who_need_them() {
    for (profile, owner_sees, borrower_sees) in [("gc", 7, 7), ("lender", 7, 0), ("lc", 0, 0)] {
        let region = Region::new(&format!("seed=0&profile={profile}"));
        let (zero, again, one) = (region.node(0), region.node(0), region.node(1));
        // Written by node 1: what node 0 sees at once; and the other way round.
        one.store(OF_NODE_1, 7);
        one.write_home(OF_NODE_1);
        assert_eq!(zero.load(OF_NODE_1), owner_sees, "{profile}");
        zero.store(0, 7);
        zero.write_home(0);
        assert_eq!(one.load(0), borrower_sees, "{profile}");
        // Processes of one node see the same cache.
        zero.store(64, 5);
        assert_eq!(again.load(64), 5, "{profile}");
    }
}

#[test]
fn the_adversary_loses_nothing_and_shows_what_is_missing() {
    let mut evicted = 0;
    let mut early = 0;
    for seed in 1..40 {
        let region = Region::new(&format!("seed={seed}"));
        let (zero, one) = (region.node(0), region.node(1));
        zero.device.set_writers(&[
            (0..OF_NODE_1, 0),
            (OF_NODE_1..OF_NODE_1 + KIB, 1),
            (OF_NODE_1 + KIB..SIZE, 1),
        ]);
        for round in 1..50 {
            zero.store(1024, round);
            zero.write_home(1024);
            zero.store(1024 + 128, round);
            one.fetch(1024);
            assert_eq!(one.load(1024), round, "seed={seed}");
            one.store(OF_NODE_1, round);
            one.write_home(OF_NODE_1);
            zero.fetch(OF_NODE_1);
            assert_eq!((zero.load(OF_NODE_1), one.load(OF_NODE_1)), (round, round), "seed={seed}");
            assert_eq!(zero.load(1024 + 128), round, "seed={seed}: a store was lost");
            // Not written back: an eviction and a fetch bring it over all the same, now and then.
            evicted += u64::from(one.load(1024 + 128) != 0);
            zero.store(2048, round);
            zero.ops.write_back(zero.at(2048), 8);
            early += u64::from(region.node_with(2, "seed=0").device.audit(2048..2056).is_none());
            zero.ops.fence();
        }
    }
    assert!(evicted > 0 && early > 0, "{evicted} {early}");
}

#[test]
fn an_audit_names_what_is_not_home_before_what_is_old() {
    let region = Region::new("seed=0");
    let (zero, one) = (region.node(0), region.node(1));
    assert_eq!(one.device.audit(0..SIZE), None);
    zero.store(4096 + 8, 1 << 16);
    let not_home = Some(Flaw { off: 4096 + 10, writer: 0, not_home: true });
    assert_eq!((one.device.audit(0..SIZE), zero.device.audit(0..SIZE)), (not_home, not_home));
    assert_eq!(one.device.audit(0..4096 + 8), None);
    zero.write_home(4096 + 8);
    assert_eq!(one.device.audit(0..SIZE), Some(Flaw { off: 4096 + 10, writer: 0, not_home: false }));
    assert_eq!(zero.device.audit(0..SIZE), None);
    one.fetch(4096 + 8);
    assert_eq!(one.device.audit(0..SIZE), None);
    one.store(OF_NODE_1, 1);
    assert_eq!(zero.device.audit(0..SIZE), Some(Flaw { off: OF_NODE_1, writer: 1, not_home: true }));
}

#[test]
fn a_link_fails_after_as_many_lines_as_asked() {
    let region = Region::new("seed=0");
    let (zero, one) = (region.node_with(0, "loss=3"), region.node(1));
    for line in 0..4 {
        zero.store(line * 128, 1);
    }
    zero.write_home(0);
    assert!(!zero.device.is_lost());
    zero.ops.write_back(zero.at(128), 3 * 128);
    zero.ops.fence();
    assert!(zero.device.is_lost() && !one.device.is_lost());
    zero.write_home(384);
    one.ops.invalidate(one.at(0), 512);
    one.ops.fence();
    assert_eq!([0, 128, 256, 384].map(|off| one.load(off)), [1, 1, 1, 0]);
    // What a lost link kept back is no fault of the program's.
    assert_eq!(zero.device.audit(0..512), None);
    assert_eq!(one.device.audit(0..512), Some(Flaw { off: 384, writer: 0, not_home: true }));
}

#[test]
fn a_delayed_link_is_slow_and_right() {
    let region = Region::new("seed=0");
    let (zero, one) = (region.node_with(0, "delay=20ms"), region.node(1));
    zero.store(0, 1);
    let start = std::time::Instant::now();
    zero.write_home(0);
    assert!(start.elapsed() >= Duration::from_millis(20));
    one.fetch(0);
    assert_eq!(one.load(0), 1);
}
