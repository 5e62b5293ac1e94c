//! Creating, opening and destroying.

use csm::ErrorKind;

use crate::fixture::small;
use crate::process::{Inside, Peer};
use crate::{Fixture, Outcome, Scratch};

/// Opens region 0 with the options of argument 1 and says what it is, or the kind of error; stays until told.
pub(super) fn open_role(inside: &mut Inside) {
    let context = csm::Context::new().expect("context");
    match context.open(inside.arg(0)) {
        Ok(region) => {
            let info = region.info().expect("info");
            inside.say(format_args!("{} {:#x} {}", info.uuid, info.base, info.size_bytes));
            inside.await_line("leave");
        }
        Err(e) => inside.say(format_args!("{}: {e}", e.kind().name())),
    }
}

pub(super) fn lifetime(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    assert_eq!(scratch.try_open("").expect_err("nothing there").kind(), ErrorKind::RegionNotFound);
    assert_eq!(
        scratch.context.destroy(&scratch.uri).expect_err("nothing there").kind(),
        ErrorKind::RegionNotFound
    );

    let region = scratch.create(&small(2));
    let info = region.info().expect("info");
    assert_eq!((info.size_bytes, info.max_bytes, info.writable), (6 << 20, 6 << 20, true));
    assert_eq!(info.data_bytes + info.metadata_bytes, info.size_bytes);
    assert_eq!(scratch.try_create(&small(2)).expect_err("taken").kind(), ErrorKind::RegionExists);

    let mut peer = Peer::start("open", &[&scratch.uri]);
    let same = format!("{} {:#x} {}", info.uuid, info.base, info.size_bytes);
    assert_eq!(peer.hear(), same);
    let members = region.members().expect("members");
    let pids: Vec<u64> = members.iter().map(|member| member.pid).collect();
    assert_eq!(pids, [u64::from(std::process::id()), u64::from(peer.pid())]);
    assert!(members.iter().all(|member| member.alive && member.node == 0 && !member.command.is_empty()));

    assert_eq!(scratch.context.destroy(&scratch.uri).expect_err("in use here").kind(), ErrorKind::InUse);
    drop(region);
    assert_eq!(scratch.context.destroy(&scratch.uri).expect_err("in use there").kind(), ErrorKind::InUse);
    peer.say("leave");
    peer.finish();
    let e = scratch.context.destroy(&scratch.with("node=1")).expect_err("not the owner's node");
    assert!(e.kind() == ErrorKind::InvalidArgument && e.message().contains("owner's node, 0"), "{e}");
    scratch.context.destroy(&scratch.uri).expect("destroy");
    assert_eq!(scratch.try_open("").expect_err("gone").kind(), ErrorKind::RegionNotFound);
    // The name is free, and a region of it is another region.
    let again = scratch.create(&small(2));
    assert_ne!(again.info().expect("info").uuid, info.uuid);
    Ok(())
}

pub(super) fn refusals(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    for (options, kind) in [
        ("", ErrorKind::BadSize),
        ("size=0", ErrorKind::BadSize),
        ("size=2M", ErrorKind::BadSize),
        ("size=33000001", ErrorKind::BadSize),
        ("size=9T", ErrorKind::BadSize),
        ("size=1000G", ErrorKind::NoMemory),
        ("size=64M&max=32M", ErrorKind::BadSize),
        ("size=64M&base=0x400000001000", ErrorKind::BadAlignment),
        ("size=64M&base=0x9000000000000000000", ErrorKind::InvalidArgument),
        ("size=64M&slot=21", ErrorKind::InvalidArgument),
        ("size=64M&node=1", ErrorKind::InvalidArgument),
        ("size=64M&nodes=0", ErrorKind::InvalidArgument),
        ("size=64M&members=99999", ErrorKind::InvalidArgument),
        ("size=64M&leases=0", ErrorKind::InvalidArgument),
        ("size=64M&catalog=0", ErrorKind::InvalidArgument),
        ("size=64M&mode=7777", ErrorKind::InvalidArgument),
        ("size=64M&mode=0066", ErrorKind::InvalidArgument),
        ("size=64M&hugepages=yes", ErrorKind::InvalidArgument),
        ("size=64M&prefault=maybe", ErrorKind::InvalidArgument),
        ("size=64M&access=none", ErrorKind::InvalidArgument),
        ("size=64M&wait=soon", ErrorKind::InvalidArgument),
        ("size=many", ErrorKind::BadSize),
        ("sise=64M", ErrorKind::BadUri),
        ("size=64M&size=64M", ErrorKind::BadUri),
    ] {
        let e = match scratch.try_create(options) {
            // It is as long as the window.
            Ok(region) if options.is_empty() && !fixture.makes_windows() => {
                drop(region);
                scratch.context.destroy(&scratch.uri).expect("destroy");
                continue;
            }
            Ok(_) => panic!("{options:?} was accepted"),
            Err(e) => e,
        };
        assert!(e.kind() == scratch.deserved(options, kind), "{options:?}: {e:?}");
        assert!(!e.message().is_empty());
        let e = scratch.try_open("").expect_err("nothing was left");
        assert_eq!(e.kind(), ErrorKind::RegionNotFound, "after {options:?}");
    }
    Ok(())
}

/// Puts something at the address of argument 1, then opens region 0.
pub(super) fn squeeze_role(inside: &mut Inside) {
    let address = usize::try_from(inside.number(1)).expect("an address");
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: a new mapping that replaces nothing.
    let got = unsafe { libc::mmap(address as *mut libc::c_void, 1 << 20, libc::PROT_NONE, flags, -1, 0) };
    assert_eq!(got as usize, address, "the address was free");
    open_role(inside);
}

pub(super) fn address_taken(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create(&small(2));
    let inside_it = region.info().expect("info").base + (5 << 20);
    let mut peer = Peer::start("squeeze", &[&scratch.uri, &inside_it.to_string()]);
    let said = peer.hear();
    assert!(said.starts_with("AddressTaken") && said.contains(&format!("{inside_it:x}")), "{said}");
    peer.finish();
    assert_eq!(region.members().expect("members").len(), 1);
    Ok(())
}
