//! Whatever is wrong with the input: status 1 or 2, one line that says what to do, and nothing is left behind.
#![allow(clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::io::Write;
use std::process::Stdio;

use common::{Scratch, fails, ok, run};
use serde_json::json;

#[test]
fn a_command_line_that_does_not_parse_has_status_2() {
    for (args, part) in [
        (&["frobnicate"][..], "unrecognized subcommand 'frobnicate'"),
        (&["put"], "<URI> <NAME> <FILE>; see `csm help put`"),
        (&["put", "shm:x", "n", "f", "--format", "xml"], "[possible values: csv, parquet, arrow]"),
        (&["put", "shm:x", "n", "f", "--delimiter", "::"], "one ASCII character"),
        (&["cat", "shm:x", "n", "--limit", "many"], "invalid value 'many'"),
        (&["wait", "shm:x", "n", "--timeout", "soon"], "a whole number with s or ms"),
        (&["ls", "shm:x", "--jason"], "unexpected argument '--jason'"),
    ] {
        fails(2, args, part);
    }
    assert_eq!(run(&[]).status.code(), Some(2));
    assert!(ok(&["--version"]).starts_with("csm "));
    assert!(ok(&["help", "uri"]).contains("hugepages"));
    assert!(ok(&["create", "--help"]).contains("hugepages"));
}

/// Every device's refusals, on a machine that has none of them.
#[test]
fn devices() {
    let path = format!("/dev/shm/csm-test-bad-device-{}", std::process::id());
    std::fs::write(&path, vec![0; 8 << 20]).expect("write");
    let of_file = |options: &str| format!("file:{path}?{options}");
    for (args, part) in [
        (&["create", "file:trades?size=8M"][..], "write the whole path"),
        (&["create", "file:/nowhere/x?size=8M"], "make the directory first"),
        (&["create", "file:/dev/csm-none?size=8M"], "there is no /dev/csm-none"),
        (&["create", "file:/dev/null?size=8M"], "No such device"),
        (&["create", "file:/dev/shm?size=8M"], "a directory"),
        (&["create", &of_file("size=8M")], "fixed=yes"),
        (&["create", &of_file("fixed=yes&mode=0600")], "use chmod"),
        (&["create", &of_file("fixed=yes&off=1")], "off=1"),
        (&["create", &of_file("fixed=yes&size=16M")], "8.0 MiB here"),
        (&["destroy", &of_file("fixed=no")], "does not begin with a region's magic number"),
        (&["ls", &of_file("fixed=yes")], "the window is empty"),
        (&["create", "dax:/dev/dax9.0"], "daxctl"),
        (&["create", "dax:/dev/null"], "no dax device"),
        // The kernel keeps copies of such a file: it refuses MAP_SYNC.
        (&["create", &format!("dax:{path}")], "MAP_SYNC"),
        (&["create", "vfio:somewhere"], "somewhere"),
        (&["create", "vfio:0000:99:00.0"], "there is no PCI device 0000:99:00.0"),
        (&["create", "thymesisflow:IBM,RMEM?size=8M"], "role=memory"),
        (&["ls", "thymesisflow:IBM,RMEM?role=compute&name=csm-none"], "csm-bringup attach"),
        (&["ls", "cluster:trades?file=/nowhere/cluster.toml"], "/nowhere/cluster.toml"),
    ] {
        fails(1, args, part);
    }
    assert_eq!(std::fs::read(&path).expect("still there"), vec![0; 8 << 20]);
    std::fs::remove_file(path).expect("remove");
}

#[test]
fn regions() {
    let scratch = Scratch::with_region("bad-region", "size=16M");
    let uri = &scratch.uri;
    let with = |options: &str| format!("{uri}-2?{options}");
    for (args, part) in [
        (&["create", "rdma:x"][..], "unknown scheme"),
        (&["create", "plain"], "no scheme"),
        (&["create", "shm:"], "name"),
        (&["create", &with("sise=1G")], "unknown option \"sise\""),
        (&["create", &with("size")], "write size=VALUE"),
        (&["create", &with("size=0")], "size=0"),
        (&["create", &with("size=1G&size=1G")], "given twice"),
        (&["create", &with("size=lots")], "write a whole number"),
        (&["create", &with("size=999G")], "choose a smaller size"),
        (&["create", &with("size=16M&base=0x123000")], "base=0x123000"),
        (&["create", &with("size=16M&slot=77")], "slot=77"),
        (&["create", &format!("{uri}?size=16M")], "is there already"),
        (&["ls", &with("node=0")], "is not there"),
        (&["ls", &format!("{uri}?size=32M")], "size=33554432 was asked for"),
        (&["ls", &format!("{uri}?mode=0600")], "mode"),
        (&["grow", uri, "1G"], "at most max="),
        (&["grow", uri, "big"], "write a whole number"),
        (&["destroy", "shm:csm-test-there-is-none"], "is not there"),
    ] {
        fails(1, args, part);
    }
    // Nothing of all this made a region or harmed this one.
    fails(1, &["ls", &with("node=0")], "is not there");
    scratch.verify();
}

#[test]
fn names() {
    let scratch = Scratch::with_region("bad-name", "size=16M&catalog=2");
    let (uri, file) = (&scratch.uri, &scratch.file("n.csv", "n\n1\n"));
    for (args, part) in [
        (&["put", uri, "", file][..], "1 to 255 bytes"),
        (&["put", uri, &"n".repeat(256), file], "has 256 bytes"),
        (&["cat", uri, "none"], "no table \"none\""),
        (&["rm", uri, "none"], "no table \"none\""),
        (&["put", &format!("{uri}?access=ro"), "n", file], "access=rw"),
        (&["rm", &format!("{uri}?access=ro"), "n"], "access=rw"),
    ] {
        fails(1, args, part);
    }
    ok(&["put", uri, &"n".repeat(255), file]);
    ok(&["put", uri, "line\nbreak", file]);
    fails(1, &["put", uri, "one more", file], "catalog");
    fails(1, &["put", uri, "line\nbreak", file], "line\\nbreak");
    assert_eq!(ok(&["ls", uri]).lines().count(), 3, "a name cannot make a line");
    scratch.verify();
}

#[test]
fn files() {
    let scratch = Scratch::with_region("bad-file", "size=16M");
    let uri = &scratch.uri;
    let free = scratch.free_bytes();
    let good: String = "a,b\n".to_owned() + &"1,x\n".repeat(1000);
    scratch.put("good", &scratch.file("good.csv", &good));
    let whole = |name: &str| {
        ok(&["cat", uri, "good", "-o", &scratch.path(name)]);
        std::fs::read(scratch.path(name)).expect("read")
    };
    let (parquet, arrow, arrows) = (whole("good.parquet"), whole("good.arrow"), whole("good.arrows"));
    ok(&["rm", uri, "good"]);
    let half = |name: &str, bytes: &[u8]| scratch.file(name, &bytes[..bytes.len() / 2]);
    let far_down = "a,b\n\"two\nlines\",x\n".to_owned() + &"1,x\n".repeat(70_000);
    let gzip = [b"\x1f\x8b\x08".as_slice(), &[7; 100]].concat();
    let cases = [
        (scratch.path("none.csv"), "No such file or directory"),
        (scratch.dir.to_str().expect("UTF-8").to_owned(), "Is a directory"),
        (scratch.file("a.json", "{}"), "say --format csv, parquet or arrow"),
        (scratch.file("p.csv", &parquet), "a Parquet file; use --format parquet"),
        (scratch.file("s.csv", &arrows), "an Arrow IPC stream; use --format arrow"),
        (scratch.file("t.parquet", &good), "its name says Parquet, but it is text"),
        (scratch.file("t.arrow", &good), "its name says Arrow IPC, but it is text"),
        (scratch.file("a.parquet", &arrow), "an Arrow IPC file; use --format arrow"),
        (scratch.file("z.csv", gzip), "unpack it first"),
        (scratch.file("b.csv", [1, 0, 2, 0]), "neither text"),
        (scratch.file("empty.csv", ""), "but it is empty"),
        (scratch.file("empty.parquet", ""), "but it is empty"),
        (scratch.file("blank.csv", "\n\n"), "no column"),
        (scratch.file("latin1.csv", b"a\n\xe9\n"), "UTF-8"),
        (half("half.parquet", &parquet), "not a whole Parquet file"),
        (half("half.arrow", &arrow), "not a whole Arrow IPC file"),
        (half("half.arrows", &arrows), "not a whole Arrow IPC stream"),
        (scratch.file("narrow.csv", "a,b\n1,2\n\n3\n4,5\n"), "line 4 has 1 fields and the first line has 2"),
        (scratch.file("wide.csv", format!("{far_down}1,2,3\n")), "line 70004 has 3 fields"),
        (
            scratch.file("misfit.csv", format!("a,b\n{}what?,x\n", "1,x\n".repeat(20_000))),
            "line 20002, column \"a\": 'what?' is not Int64",
        ),
        (
            scratch.file("date.csv", format!("day\n{}2013-01-01T10:00:00\n", "2013-01-01\n".repeat(20_000))),
            "line 20002, column \"day\": '2013-01-01T10:00:00' is not Date32",
        ),
        (
            scratch.file(
                "second.csv",
                format!("{}2013-01-01 10:00:00.5\n", "2013-01-01 10:00:00\n".repeat(70_000)),
            ),
            "line 70001, column \"2013-01-01 10:00:00\": '2013-01-01 10:00:00.5' is not Timestamp(s)",
        ),
        (scratch.file("large.csv", "a\n".to_owned() + &"some text or other\n".repeat(900_000)), "no room"),
    ];
    for (path, part) in &cases {
        fails(1, &["put", uri, "n", path], part);
        let name = path.rsplit('/').next().expect("a name");
        fails(1, &["put", uri, "n", path], name);
    }
    let mut piped = common::command(&["put", uri, "n", "/dev/stdin", "--format", "csv"]);
    let mut piped = piped.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("csm runs");
    piped.stdin.take().expect("a pipe").write_all(good.as_bytes()).expect("write");
    let (_, err) = common::texts(&piped.wait_with_output().expect("wait"));
    assert!(err.contains("save what comes out of it to a file") && err.lines().count() == 1, "{err}");

    assert_eq!(scratch.json("ls"), json!([]));
    assert_eq!(scratch.free_bytes(), free, "nothing is lost");
    scratch.verify();

    // The ways out that the errors name.
    ok(&["put", uri, "p", &scratch.path("p.csv"), "--format", "parquet"]);
    ok(&["put", uri, "m", &scratch.path("misfit.csv"), "--infer-rows", "0"]);
    ok(&["put", uri, "times", &scratch.path("date.csv"), "--infer-rows", "0"]);
    ok(&["put", uri, "nulls", &scratch.path("misfit.csv"), "--null", "what?"]);
    scratch.verify();
}

#[test]
fn damaged_files_are_errors_and_not_crashes() {
    let scratch = Scratch::with_region("damaged", "size=16M");
    let uri = &scratch.uri;
    let csv = "a,b\n".to_owned() + &"1,x\n".repeat(100);
    scratch.put("good", &scratch.file("good.csv", csv));
    for name in ["good.parquet", "good.arrow", "good.arrows"] {
        let path = scratch.path(name);
        ok(&["cat", uri, "good", "-o", &path]);
        let whole = std::fs::read(&path).expect("read");
        // A byte here and there, spread over the file: at least the metadata at both its ends is hit.
        for i in 0..30 {
            let mut damaged = whole.clone();
            let at = 8 + i * (whole.len() - 8) / 30;
            damaged[at] ^= 0xa5;
            std::fs::write(&path, damaged).expect("write");
            let output = run(&["put", uri, "n", &path, "--replace"]);
            let (_, err) = common::texts(&output);
            match output.status.code() {
                Some(0) => assert!(err.is_empty(), "{err}"),
                Some(1) => {
                    assert!(err.starts_with("csm: error: file ") && err.lines().count() == 1, "{at}: {err}")
                }
                other => panic!("{name} with byte {at} changed: {other:?} {err}"),
            }
        }
    }
    scratch.verify();
}
