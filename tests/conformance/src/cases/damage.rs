//! Regions whose file is not what it should be.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use csm::ErrorKind;

use crate::fixture::small;
use crate::table::{assert_empty, publish_stamp};
use crate::{Fixture, Outcome, Scratch, Skipped, skip};

/// The file behind a region, to be damaged.
pub(super) fn file_of(scratch: &Scratch<'_>) -> Result<(PathBuf, File), Skipped> {
    let Some(path) = scratch.fixture.file(&scratch.uri) else {
        return Err(Skipped("the device has no file that a test could damage".to_owned()));
    };
    let file = OpenOptions::new().read(true).write(true).open(&path).expect("the region's file");
    Ok((path, file))
}

pub(super) fn superblock(fixture: &dyn Fixture) -> Outcome {
    const CRC_OFF: u64 = 508;
    let scratch = Scratch::new(fixture);
    drop(scratch.create(&small(2)));
    let (_, file) = file_of(&scratch)?;
    let mut good = [0; 512];
    file.read_exact_at(&mut good, 0).expect("read");
    let sealed = |at: usize, value: u8| {
        let mut bytes = good;
        bytes[at] = value;
        let crc = crc32fast::hash(&bytes[..508]);
        bytes[508..].copy_from_slice(&crc.to_le_bytes());
        bytes
    };
    let with = |at: usize, value: u8| {
        let mut bytes = good;
        bytes[at] = value;
        bytes
    };
    for (what, bytes, kinds) in [
        ("no magic", with(0, b'X'), &[ErrorKind::NotARegion][..]),
        ("nothing", [0; 512], &[ErrorKind::NotARegion, ErrorKind::RegionNotFound]),
        ("another version", with(8, 200), &[ErrorKind::LayoutMismatch]),
        ("another version, sealed", sealed(8, 200), &[ErrorKind::LayoutMismatch]),
        ("an incompatible feature", sealed(32, 1), &[ErrorKind::LayoutMismatch]),
        ("a feature for readers only", sealed(24, 1), &[ErrorKind::LayoutMismatch]),
        ("a flipped uuid", with(41, !good[41]), &[ErrorKind::Corrupt]),
        ("a flipped CRC", with(509, !good[509]), &[ErrorKind::Corrupt]),
        ("another size, sealed", sealed(74, 0x7f), &[ErrorKind::Corrupt, ErrorKind::Truncated]),
        ("more members, sealed", sealed(97, 9), &[ErrorKind::Corrupt]),
        ("a slot beyond all", sealed(69, 9), &[ErrorKind::Corrupt]),
        ("another owner", sealed(128, good[128] ^ 1), &[ErrorKind::NotYours]),
    ] {
        file.write_all_at(&bytes, 0).expect("write");
        let e = scratch.try_open("").expect_err(what);
        assert!(kinds.contains(&e.kind()), "{what}: {e:?}");
        assert!(e.message().contains(scratch.label()), "{what}: {e}");
    }
    // A feature that only concerns writers does not keep readers out.
    file.write_all_at(&sealed(24, 1), 0).expect("write");
    drop(scratch.open("access=ro"));
    // And an unknown compatible one keeps nobody out.
    file.write_all_at(&sealed(16, 1), 0).expect("write");
    drop(scratch.open(""));
    file.write_all_at(&good, 0).expect("write");
    assert_empty(&scratch.open(""));
    // A damaged region can still be removed.
    file.write_all_at(&[0xff; 4], CRC_OFF).expect("write");
    scratch.context.destroy(&scratch.uri).expect("destroy");
    Ok(())
}

pub(super) fn truncated(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create(&small(2));
    publish_stamp(&region, "t", 100, 1).expect("publish");
    drop(region);
    let (_, file) = file_of(&scratch)?;
    if !fixture.makes_windows() {
        return skip("a window keeps its length");
    }
    let whole = file.metadata().expect("stat").len();
    if file.set_len(whole).is_err() {
        return skip("the file cannot be truncated");
    }
    for (len, kind) in [
        (whole - 1, ErrorKind::Truncated),
        (whole / 2, ErrorKind::Truncated),
        (8192, ErrorKind::Truncated),
        (511, ErrorKind::NotARegion),
        (0, ErrorKind::NotARegion),
    ] {
        file.set_len(len).expect("truncate");
        let e = scratch.try_open("").expect_err("truncated");
        assert_eq!(e.kind(), kind, "{len} of {whole} bytes: {e}");
    }
    if scratch.uri.starts_with("file:") {
        // Its name does not show that this was a region.
        let e = scratch.context.destroy(&scratch.uri).expect_err("no region any more");
        assert_eq!(e.kind(), ErrorKind::NotARegion);
        return Ok(());
    }
    scratch.context.destroy(&scratch.uri).expect("destroy");
    Ok(())
}
