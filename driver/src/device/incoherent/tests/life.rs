//! What is there before, between and after the processes of a node.

use super::super::held::Way;
use super::*;
use crate::sys::process;
use crate::units::MIB;

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
