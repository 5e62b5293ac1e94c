//! Regions of other users.

use std::os::unix::fs::chown;

use csm::{Context, ErrorKind};

use crate::fixture::small;
use crate::process::{Inside, Peer};
use crate::table::{publish_stamp, read_stamp};
use crate::{Fixture, Outcome, Scratch, Skipped};

/// The user and group "nobody".
const NOBODY: u32 = 65_534;

fn need_root() -> Outcome {
    // SAFETY: plain query.
    if unsafe { libc::geteuid() } == 0 {
        return Ok(());
    }
    Err(Skipped("it plays other users; to enable: run the tests as root".to_owned()))
}

/// Becomes "nobody"; then opens region 0 and reads table "t", or with argument 1 "create" creates it with a
/// table. Says the stamp or the error, and stays until told.
pub(super) fn role(inside: &mut Inside) {
    // SAFETY: gives up rights, which changes no memory; the peer has one thread.
    unsafe {
        assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
        assert_eq!((libc::setgid(NOBODY), libc::setuid(NOBODY)), (0, 0));
    }
    let context = Context::new().expect("context");
    let region = match inside.arg(1) {
        "create" => context.create(inside.arg(0)),
        _ => context.open(inside.arg(0)),
    };
    let region = match region {
        Ok(region) => region,
        Err(e) => {
            inside.say(format_args!("{}: {e}", e.kind().name()));
            let destroyed = context.destroy(inside.arg(0)).expect_err("not ours");
            return inside.say(destroyed.kind().name());
        }
    };
    if inside.arg(1) == "create" {
        publish_stamp(&region, "t", 100, 12).expect("publish");
    }
    inside.say(read_stamp(&region, "t"));
    inside.await_line("leave");
    drop(region);
    if inside.arg(1) == "create" {
        let (name, _) = inside.arg(0).split_once('?').expect("options");
        context.destroy(name).expect("destroy");
    }
}

fn need_modes(fixture: &dyn Fixture) -> Outcome {
    if fixture.makes_windows() { Ok(()) } else { crate::skip("a window has the mode of its device") }
}

pub(super) fn squatted(fixture: &dyn Fixture) -> Outcome {
    need_root()?;
    let scratch = Scratch::new(fixture);
    drop(scratch.create(&small(2)));
    let Some(path) = fixture.home(&scratch.uri) else {
        return Err(Skipped("the device has no file that could change hands".to_owned()));
    };
    chown(&path, Some(NOBODY), None).expect("chown");
    // With owner= the file is the expected user's, and its superblock still tells another story.
    for options in ["", "owner=65534", "owner=0", "access=ro", "node=1"] {
        let e = scratch.try_open(options).expect_err("squatted");
        assert!(e.kind() == ErrorKind::NotYours && e.message().contains("65534"), "{options}: {e}");
    }
    assert_eq!(scratch.try_create(&small(2)).expect_err("taken").kind(), ErrorKind::RegionExists);
    assert_eq!(scratch.context.destroy(&scratch.uri).expect_err("not ours").kind(), ErrorKind::NotYours);
    chown(&path, Some(0), None).expect("chown");
    drop(scratch.open(""));
    // What node 0 maps may be another file than the one whose owner is asked for first.
    let mapped = fixture.file(&scratch.uri).expect("a file");
    chown(&mapped, Some(NOBODY), None).expect("chown");
    let e = scratch.try_open("").expect_err("squatted");
    assert!(e.kind() == ErrorKind::NotYours && e.message().contains("65534"), "{e}");
    chown(&mapped, Some(0), None).expect("chown");
    drop(scratch.open(""));
    Ok(())
}

pub(super) fn trusted(fixture: &dyn Fixture) -> Outcome {
    need_root()?;
    need_modes(fixture)?;
    let scratch = Scratch::new(fixture);
    let mut theirs =
        Peer::start("as-user", &[&scratch.to_create(&format!("{}&mode=0666", small(2))), "create"]);
    theirs.await_line("12");
    let e = scratch.try_open("").expect_err("another user's");
    assert!(e.kind() == ErrorKind::NotYours && e.message().contains("owner=65534"), "{e}");
    let region = scratch.open("owner=65534");
    assert_eq!(read_stamp(&region, "t"), 12);
    let uids: Vec<u64> = region.members().expect("members").iter().map(|member| member.uid).collect();
    assert_eq!(uids, [u64::from(NOBODY), 0]);
    assert_eq!(scratch.context.destroy(&scratch.uri).expect_err("not ours").kind(), ErrorKind::NotYours);
    drop(region);
    theirs.say("leave");
    theirs.finish();
    assert_eq!(scratch.try_open("").expect_err("gone").kind(), ErrorKind::RegionNotFound);
    Ok(())
}

pub(super) fn unprivileged(fixture: &dyn Fixture) -> Outcome {
    need_root()?;
    need_modes(fixture)?;
    for (mode, options, expected, destroy) in [
        ("0600", "owner=0", "PermissionDenied", "PermissionDenied"),
        ("0660", "owner=0", "PermissionDenied", "PermissionDenied"),
        ("0644", "owner=0", "PermissionDenied", "PermissionDenied"),
        ("0666", "access=rw", "NotYours", "NotYours"),
        ("0666", "owner=1", "NotYours", "NotYours"),
    ] {
        let scratch = Scratch::new(fixture);
        let region = scratch.create(&format!("{}&mode={mode}", small(2)));
        publish_stamp(&region, "t", 100, 13).expect("publish");
        let mut user = Peer::start("as-user", &[&scratch.with(options), "open"]);
        let said = user.hear();
        assert!(said.starts_with(expected) && said.contains(scratch.label()), "{mode} {options}: {said}");
        user.await_line(destroy);
        user.finish();
        assert_eq!(region.members().expect("members").len(), 1);
    }
    let scratch = Scratch::new(fixture);
    let region = scratch.create(&format!("{}&mode=0666", small(2)));
    publish_stamp(&region, "t", 100, 13).expect("publish");
    let mut user = Peer::start("as-user", &[&scratch.with("owner=0"), "open"]);
    user.await_line("13");
    user.kill();
    assert_eq!(region.reap().expect("reap").len(), 1);
    Ok(())
}
