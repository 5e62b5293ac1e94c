//! Nodes of one link in one process: each has its own view, mapped where there is room.
#![allow(unsafe_code, reason = "programs store to the views")]
#![expect(clippy::single_range_in_vec_init, reason = "one part of a window has memory behind it")]

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use memmap2::MmapRaw;

use super::link::Way;
use super::*;
use crate::sys::process;
use crate::units::{KIB, MIB};

const SIZE: u64 = 256 * KIB;
/// Up to here node 0 writes, from here on node 1.
const OF_NODE_1: u64 = 128 * KIB;

/// A link with a name of its own, removed with it.
struct Region {
    uri: String,
    made: Option<Incoherent>,
}

impl Region {
    fn new(options: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("unit-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let uri = format!("incoherent:{name}");
        let device = Incoherent::create(&parse(&uri, &format!("nodes=4&{options}"))).expect("create");
        device.extend(SIZE, &[0..SIZE], false).expect("extend");
        device.commit().expect("commit");
        Self { uri, made: Some(device) }
    }

    fn open(&self, options: &str) -> Incoherent {
        Incoherent::open(&parse(&self.uri, options), true).expect("open")
    }

    fn node(&self, node: u64) -> Node {
        self.node_with(node, "")
    }

    fn node_with(&self, node: u64, options: &str) -> Node {
        Node::new(self.open(&format!("node={node}&{options}")))
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        self.made.take().expect("made").remove().expect("remove");
    }
}

fn parse(uri: &str, options: &str) -> Uri {
    Uri::parse(&format!("{uri}?{options}")).expect("uri")
}

/// A program on a node.
struct Node {
    device: Incoherent,
    ops: Box<dyn CacheOps>,
    view: MmapRaw,
}

impl Node {
    fn new(device: Incoherent) -> Self {
        let view = MmapRaw::map_raw(device.file().0).expect("map");
        let ops = device.cache_ops(view.as_ptr()).expect("ops");
        device.set_writers(&[(0..OF_NODE_1, 0), (OF_NODE_1..SIZE, 1)]);
        Self { device, ops, view }
    }

    fn at(&self, off: u64) -> *const u8 {
        self.view.as_ptr().wrapping_add(usize::try_from(off).expect("offset"))
    }

    fn word(&self, off: u64) -> &AtomicU64 {
        assert!(off + 8 <= self.view.len() as u64);
        #[expect(clippy::cast_ptr_alignment, reason = "callers name words")]
        // SAFETY: inside the mapping, aligned, and only used as an atomic.
        unsafe {
            &*self.at(off).cast::<AtomicU64>()
        }
    }

    fn load(&self, off: u64) -> u64 {
        self.word(off).load(Ordering::Acquire)
    }

    fn store(&self, off: u64, value: u64) {
        self.word(off).store(value, Ordering::Release);
    }

    fn write_home(&self, off: u64) {
        self.ops.write_back(self.at(off), 8);
        self.ops.fence();
    }

    fn fetch(&self, off: u64) {
        self.ops.invalidate(self.at(off), 8);
        self.ops.fence();
    }
}

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
fn a_new_boot_loses_the_cache() {
    let region = Region::new("seed=0&boot=5");
    let (zero, one) = (region.node(0), region.node_with(1, "boot=3"));
    assert_eq!((zero.device.boot().expect("boot"), one.device.boot().expect("boot")), (5, 3));
    one.store(OF_NODE_1, 1);
    one.write_home(OF_NODE_1);
    one.store(OF_NODE_1, 2);
    zero.store(0, 7);
    zero.write_home(0);
    let same = region.node_with(1, "boot=3");
    assert_eq!((same.load(OF_NODE_1), same.load(0)), (2, 0), "the cache outlives processes");
    drop((one, same));
    let restarted = region.node_with(1, "boot=4");
    assert_eq!((restarted.load(OF_NODE_1), restarted.load(0)), (1, 7), "what is home is left");
    assert_eq!(region.node(1).device.boot().expect("boot"), 4);
    let late = region.node(3);
    assert_eq!(
        (late.device.boot().expect("boot"), late.load(0)),
        (1, 7),
        "a first start begins with what is home"
    );
}

#[test]
fn a_node_whose_processes_live_cannot_have_restarted() {
    let region = Region::new("seed=0");
    let one = region.open("node=1");
    let path = one.control_path(&Uuid::nil(), 1);
    let control = file::create_unnamed(std::path::Path::new("/dev/shm")).expect("control");
    file::name_file(&control, 0o600, &path).expect("name");
    assert!(file::try_lock_byte(&control, 9).expect("lock"));
    let refused = Incoherent::open(&parse(&region.uri, "node=1&boot=2"), true).err().expect("in use");
    assert_eq!(refused.kind(), ErrorKind::InUse);
    assert!(refused.message().contains("boot=2"), "{refused}");
    // Asking has not cost this process its lock.
    assert!(file::is_locked_at(&path).expect("asked"));
    file::unlock_byte(&control, 9).expect("unlock");
    assert_eq!(region.open("node=1&boot=2").boot().expect("boot"), 2);
    assert_eq!(one.control_paths(&Uuid::nil()).expect("paths"), [path]);
}

#[test]
fn a_line_torn_by_a_kill_is_moved_again() {
    let region = Region::new("seed=0");
    let (zero, one) = (region.node(0), region.node(1));
    for off in (0..128).step_by(8) {
        zero.store(off, 1);
    }
    zero.write_home(0);
    one.fetch(0);
    for off in (0..128).step_by(8) {
        zero.store(off, 2);
    }
    // Killed after half of the line had arrived in node 1's cache, and before.
    zero.write_home(0);
    one.store(120, 2);
    zero.device.opening.link.pretend_torn(1, Way::Fetch, 0);
    zero.write_home(4096);
    assert!((0..128).step_by(8).all(|off| one.load(off) == 2));
    // Killed on the way home.
    zero.store(8, 3);
    zero.device.opening.link.pretend_torn(0, Way::Home, 0);
    one.fetch(0);
    assert_eq!(one.load(8), 3);
}

#[test]
fn other_processes_see_the_lock() {
    let region = Region::new("seed=0");
    let zero = region.node(0);
    let link = &zero.device.opening.link;
    let is_locked = || file::is_locked_at(&link.names.link()).expect("asked");
    let held = link.lock().expect("lock");
    assert!(is_locked());
    // Opened and closed meanwhile: the lock stays.
    drop(registry::open(link.names.clone(), &zero.device.home).expect("open"));
    assert!(is_locked());
    drop(held);
    assert!(!is_locked());
}

#[test]
fn the_lock_of_a_killed_process_is_free() {
    let region = Region::new("seed=0");
    let (zero, one) = (region.node(0), region.node(1));
    // SAFETY: the child uses what no other thread of the parent does, and ends there.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // A child opens the region anew; here it is enough that the lock it takes is its own.
        zero.store(0, 7);
        zero.write_home(0);
        let _held = zero.device.opening.link.lock();
        zero.device.opening.link.pretend_torn(0, Way::Home, 0);
        zero.store(0, 8);
        // SAFETY: plain system call.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
    // SAFETY: plain system call.
    assert_eq!(unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) }, child);
    one.fetch(0);
    assert_eq!(one.load(0), 8);
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

#[test]
fn a_window_grows_on_all_nodes_that_have_started() {
    let region = Region::new("seed=0");
    let (zero, one) = (region.node(0), region.node(1));
    one.fetch(0);
    let grown = SIZE + MIB;
    zero.device.extend(grown, &[0..SIZE, SIZE..grown], false).expect("extend");
    assert_eq!((zero.device.len_bytes().expect("len"), one.device.len_bytes().expect("len")), (grown, grown));
    let (zero, one, late) = (region.node(0), region.node(1), region.node(2));
    zero.store(grown - 8, 4);
    zero.device.set_writers(&[]);
    zero.write_home(grown - 8);
    one.device.set_writers(&[]);
    one.fetch(grown - 8);
    assert_eq!((one.load(grown - 8), late.load(grown - 8)), (4, 0));
    // More than there is: nothing changed.
    let e = zero.device.extend(1 << 50, &[0..1 << 50], false).expect_err("too much");
    assert_eq!(e.kind(), ErrorKind::NoMemory, "{e}");
    assert!(e.message().contains("/dev/shm"), "{e}");
    assert_eq!((zero.device.len_bytes().expect("len"), one.device.len_bytes().expect("len")), (grown, grown));
}

#[test]
fn options_are_checked_and_names_are_in_nobodys_way() {
    let region = Region::new("line=64&profile=lender");
    for (options, kind) in [
        ("line=128", ErrorKind::OptionMismatch),
        ("profile=lc", ErrorKind::OptionMismatch),
        ("line=32", ErrorKind::InvalidArgument),
        ("node=4", ErrorKind::InvalidArgument),
        ("boot=0", ErrorKind::InvalidArgument),
    ] {
        let e = Incoherent::open(&parse(&region.uri, options), true).err().expect(options);
        assert_eq!(e.kind(), kind, "{e}");
    }
    region.open("line=64&profile=lender&seed=9&node=3");
    let again = Incoherent::create(&parse(&region.uri, "")).err().expect("there already");
    assert_eq!(again.kind(), ErrorKind::RegionExists);
    let gone = Incoherent::open(&parse(&format!("{}.1", region.uri), ""), true).err().expect("not there");
    assert_eq!(gone.kind(), ErrorKind::RegionNotFound);
    let home = region.made.as_ref().expect("made").home.path.clone();
    assert!(neighbours().any(|window| window.control_path(&Uuid::nil(), 0) != home));
    assert_eq!(region.made.as_ref().expect("made").mode().expect("mode"), 0o600);
    assert_eq!(region.open("").owner_uid().expect("uid"), Some(process::effective_uid()));
}

#[test]
fn what_a_killed_creation_left_is_replaced() {
    let region = Region::new("seed=0&profile=lc");
    let names = region.made.as_ref().expect("made").opening.link.names.clone();
    let there = || {
        let entries = std::fs::read_dir("/dev/shm").expect("dir").flatten();
        let mine = |name: &str| name.ends_with(&names.0) || name.contains(&format!("{}.", names.0));
        entries.filter(|entry| mine(&entry.file_name().to_string_lossy())).count()
    };
    assert_eq!(there(), 6);
    file::unlink(&names.home()).expect("unlink");
    let again = Incoherent::create(&parse(&region.uri, "nodes=2&seed=0&profile=lc")).expect("create");
    again.extend(SIZE, &[0..SIZE], false).expect("extend");
    again.commit().expect("commit");
    let (zero, one) = (region.node(0), region.node(1));
    zero.store(0, 7);
    zero.write_home(0);
    one.fetch(0);
    assert_eq!(one.load(0), 7);
    drop(region);
    assert_eq!(there(), 0);
}

#[test]
fn processes_that_are_killed_leave_whole_lines() {
    let region = Region::new("seed=0");
    let (zero, one, home) = (region.node(0), region.node(1), region.node(2));
    for round in 0..60 {
        // SAFETY: the child uses what no other thread of the parent does, and ends there.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // Both ways, as fast as it can, until it is killed.
            for value in 1.. {
                (0..64).for_each(|word| zero.store(word * 8, round << 32 | value));
                zero.ops.write_back(zero.at(0), 512);
                zero.ops.fence();
                one.ops.invalidate(one.at(0), 512);
                one.ops.fence();
            }
        }
        while one.load(0) < round << 32 {
            std::hint::spin_loop();
        }
        (0..round * 50).for_each(|_| std::hint::spin_loop());
        // SAFETY: plain system calls.
        let waited = unsafe {
            libc::kill(child, libc::SIGKILL);
            libc::waitpid(child, std::ptr::null_mut(), 0)
        };
        assert_eq!(waited, child);
        home.ops.invalidate(home.at(0), 512);
        home.ops.fence();
        for node in [&home, &one] {
            for line in [0, 128, 256, 384] {
                let first = node.load(line);
                assert!((0..128).step_by(8).all(|at| node.load(line + at) == first), "round {round}");
            }
        }
    }
}
