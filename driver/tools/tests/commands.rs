//! Each command does what it says.
#![allow(clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use common::{Scratch, command, fails, ok, texts};
use csm::{Context, OpenOptions};
use serde_json::json;

const TRADES: &str = "id,price,name,day,open\n1,2.5,ab,2024-01-02,true\n2,,,2024-01-03,false\n-3,1e3,\"x,\"\"y\",2024-02-29,true\n";

#[test]
fn a_region_lives_from_create_to_destroy() {
    let scratch = Scratch::new("life");
    let created = ok(&["create", &format!("{}?size=16M&max=32M&slot=3", scratch.uri)]);
    assert!(
        created.contains("base 0x430000000000, slot 3, size 16.0 MiB, may grow to 32.0 MiB"),
        "{created}"
    );
    assert_eq!(ok(&["ls", &scratch.uri]), "");
    let stat = scratch.json("stat");
    assert_eq!(
        (&stat["slot"], &stat["size_bytes"], &stat["max_bytes"]),
        (&json!(3), &json!(16 << 20), &json!(32 << 20))
    );
    assert_eq!(stat["base"], json!("0x430000000000"));
    ok(&["grow", &scratch.uri, "32M"]);
    let grown = scratch.json("stat");
    assert_eq!(grown["size_bytes"], json!(32 << 20));
    assert!(grown["free_bytes"].as_u64() > stat["free_bytes"].as_u64());
    ok(&["destroy", &scratch.uri]);
    fails(1, &["ls", &scratch.uri], "is not there");
}

#[test]
fn a_table_comes_out_as_it_went_in() {
    let scratch = Scratch::with_region("trip", "size=16M");
    let free = scratch.free_bytes();
    let report = scratch.put("trades", &scratch.file("trades.csv", TRADES));
    assert!(report.contains("published \"trades\": 3 rows, 5 columns, 1 batches"), "{report}");
    let csv = "id,price,name,day,open\n1,2.5,ab,2024-01-02,true\n2,,,2024-01-03,false\n-3,1000.0,\"x,\"\"y\",2024-02-29,true\n";
    assert_eq!(scratch.cat("trades", "csv"), csv);
    let first = json!({"id": 1, "price": 2.5, "name": "ab", "day": "2024-01-02", "open": true});
    let second = json!({"id": 2, "price": null, "name": null, "day": "2024-01-03", "open": false});
    let rows: Vec<serde_json::Value> =
        scratch.cat("trades", "json").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(rows[..2], [first, second]);

    // Through every format that a file can have, and back.
    for file in ["t.csv", "t.arrow", "t.arrows", "t.parquet"] {
        let path = scratch.path(file);
        ok(&["cat", &scratch.uri, "trades", "-o", &path]);
        scratch.put(file, &path);
        assert_eq!(scratch.cat(file, "csv"), csv, "{file}");
    }
    let names: Vec<_> =
        scratch.json("ls").as_array().expect("array").iter().map(|table| table["name"].clone()).collect();
    assert_eq!(names, ["t.arrow", "t.arrows", "t.csv", "t.parquet", "trades"]);
    scratch.verify();

    for name in ["t.arrow", "t.arrows", "t.csv", "t.parquet", "trades"] {
        ok(&["rm", &scratch.uri, name]);
    }
    assert_eq!(scratch.free_bytes(), free, "all of it returns");
    scratch.verify();
}

#[test]
fn times_are_read_to_the_last_digit() {
    let scratch = Scratch::with_region("times", "size=16M");
    let csv = "s,ms,ns,zone\n\
               2013-01-01 10:00:00,2013-01-01T10:00:00.123,2013-01-01T10:00:00.123456789,2013-01-01T10:00:00+02:00\n\
               NA,,,\n\
               2013-01-02,2013-01-01T10:00:00.1,2013-01-01T10:00:00,2013-01-01T10:00:00Z\n";
    scratch.put("t", &scratch.file("t.csv", csv));
    let read = "s,ms,ns,zone\n\
                2013-01-01T10:00:00,2013-01-01T10:00:00.123,2013-01-01T10:00:00.123456789,2013-01-01T08:00:00\n\
                ,,,\n\
                2013-01-02T00:00:00,2013-01-01T10:00:00.100,2013-01-01T10:00:00,2013-01-01T10:00:00\n";
    assert_eq!(scratch.cat("t", "csv"), read);
}

#[test]
fn cat_writes_as_many_rows_as_asked() {
    let scratch = Scratch::with_region("limit", "size=16M");
    let csv: String = std::iter::once("n\n".to_owned()).chain((0..100).map(|n| format!("{n}\n"))).collect();
    scratch.put("n", &scratch.file("n.csv", &csv));
    assert_eq!(scratch.cat("n", "csv"), csv);
    assert_eq!(ok(&["cat", &scratch.uri, "n", "--format", "csv", "--limit", "2"]), "n\n0\n1\n");
    assert_eq!(
        ok(&["cat", &scratch.uri, "n", "--limit", "1"]),
        "+---+\n| n |\n+---+\n| 0 |\n+---+\n1 of 100 rows; --limit ROWS shows more\n"
    );
    let short = scratch.cat("n", "table");
    assert!(
        short.contains("| 39 |") && !short.contains("| 40 |") && short.contains("40 of 100 rows"),
        "{short}"
    );
    assert!(!ok(&["cat", &scratch.uri, "n", "--limit", "100"]).contains("more"));
}

#[test]
fn a_table_without_rows_keeps_its_columns() {
    let scratch = Scratch::with_region("empty", "size=16M");
    scratch.put("empty", &scratch.file("empty.csv", "a,b\n"));
    assert_eq!(scratch.cat("empty", "csv"), "a,b\n");
    assert_eq!(scratch.cat("empty", "table"), "+---+---+\n| a | b |\n+---+---+\n+---+---+\n");
    assert_eq!(scratch.cat("empty", "json"), "");
    for file in ["e.arrow", "e.arrows", "e.parquet"] {
        ok(&["cat", &scratch.uri, "empty", "-o", &scratch.path(file)]);
        scratch.put(file, &scratch.path(file));
        assert_eq!(scratch.cat(file, "csv"), "a,b\n", "{file}");
    }
}

#[test]
fn replace_leaves_readers_what_they_have() {
    let scratch = Scratch::with_region("replace", "size=16M");
    let (one, two) = (scratch.file("1.csv", "n\n1\n"), scratch.file("2.csv", "n\n2\n"));
    scratch.put("n", &one);
    fails(1, &["put", &scratch.uri, "n", &two], "published already; use --replace");
    assert_eq!(scratch.cat("n", "csv"), "n\n1\n");

    let region = Context::new().and_then(|context| context.open(&scratch.uri)).expect("open");
    let table = region.open_table("n", &OpenOptions::default()).expect("open the table");
    ok(&["put", &scratch.uri, "n", &two, "--replace"]);
    assert_eq!(scratch.cat("n", "csv"), "n\n2\n");
    assert_eq!(table.is_current().ok(), Some(false));

    // Who reads what is told: this process, a generation that was replaced.
    let stat = scratch.json("stat");
    let (pid, retired) = (json!(std::process::id()), json!(true));
    assert_eq!(stat["members"].as_array().map(Vec::len), Some(1), "{stat}");
    assert_eq!((&stat["members"][0]["pid"], &stat["members"][0]["alive"]), (&pid, &json!(true)));
    assert_eq!(stat["leases"].as_array().map(Vec::len), Some(1), "{stat}");
    let lease = &stat["leases"][0];
    assert_eq!((&lease["table"], &lease["pid"], &lease["retired"]), (&json!("n"), &pid, &retired));
    assert!(lease["since"].as_str().is_some_and(|since| since.ends_with('Z')), "{lease}");
    assert_eq!(stat["tables"].as_array().map(Vec::len), Some(1));
    let text = ok(&["stat", &scratch.uri]);
    assert!(text.contains("leases   1") && text.contains("removed or replaced"), "{text}");
    fails(1, &["destroy", &scratch.uri], "in use");

    drop(table);
    assert_eq!(scratch.json("stat")["leases"], json!([]));
    assert_eq!(scratch.json("stat")["retired"], json!(0));
}

#[test]
fn wait_ends_when_the_name_is_there() {
    let scratch = Scratch::with_region("wait", "size=16M");
    fails(1, &["wait", &scratch.uri, "n", "--timeout", "20ms"], "within 20ms");
    let mut waiting = command(&["wait", &scratch.uri, "n", "--timeout", "100s"]).spawn().expect("csm runs");
    scratch.put("n", &scratch.file("n.csv", "n\n1\n"));
    assert!(waiting.wait().expect("wait").success());
    ok(&["wait", &scratch.uri, "n", "--timeout", "0s"]);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let scratch = Scratch::with_region("pipe", "size=32M");
    let rows = "some text that fills the pipe\n".repeat(50_000);
    scratch.put("n", &scratch.file("n.csv", format!("n\n{rows}")));
    for format in ["csv", "json", "arrow", "parquet", "table"] {
        let args = ["cat", &scratch.uri, "n", "--limit", "50000", "--format", format];
        let mut cat = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("csm runs");
        let mut out = cat.stdout.take().expect("a pipe");
        out.read_exact(&mut [0; 3]).expect("some output");
        drop(out);
        let done = cat.wait_with_output().expect("wait");
        assert_eq!((done.status.code(), texts(&done).1.as_str()), (Some(0), ""), "{format}");
    }
    assert_eq!(scratch.json("stat")["leases"], json!([]));
}

#[test]
fn a_region_lost_while_it_is_read_is_an_error() {
    let scratch = Scratch::with_region("lost", "size=32M");
    let rows = "some text that fills the pipe\n".repeat(50_000);
    scratch.put("n", &scratch.file("n.csv", format!("n\n{rows}")));
    let args = ["cat", &scratch.uri, "n", "--format", "csv"];
    let mut cat = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("csm runs");
    // It has begun, and stands still until somebody reads on.
    cat.stdout.as_mut().expect("a pipe").read_exact(&mut [0; 3]).expect("some output");
    let path = scratch.uri.replace("shm:", "/dev/shm/csm.");
    std::fs::File::options().write(true).open(path).and_then(|file| file.set_len(4096)).expect("truncate");
    let done = cat.wait_with_output().expect("wait");
    let (_, err) = texts(&done);
    assert_eq!((done.status.code(), err.lines().count()), (Some(1), 1), "{err}");
    assert!(
        err.starts_with("csm: error: ") && err.contains("the memory behind the region went away"),
        "{err}"
    );
}

#[test]
fn a_full_disk_is_an_error_and_half_a_file_goes() {
    let scratch = Scratch::with_region("full", "size=16M");
    scratch.put("n", &scratch.file("n.csv", "n\n1\n"));
    for format in ["csv", "json", "arrow", "parquet", "table"] {
        fails(
            1,
            &["cat", &scratch.uri, "n", "--format", format, "-o", "/dev/full"],
            "No space left on device",
        );
    }
    // CSV holds no lists: the file that was begun is taken away.
    let list =
        arrow_array::ListArray::from_iter_primitive::<arrow_array::types::Int32Type, _, _>([Some([Some(1)])]);
    let batch =
        arrow_array::RecordBatch::try_from_iter([("l", std::sync::Arc::new(list) as _)]).expect("a batch");
    let region = Context::new().and_then(|context| context.open(&scratch.uri)).expect("open");
    region
        .publish_record_batches("list", batch.schema(), &[batch], &csm::PublishOptions::default())
        .expect("publish");
    let path = scratch.path("list.csv");
    fails(1, &["cat", &scratch.uri, "list", "-o", &path], "another --format");
    assert!(!std::path::Path::new(&path).exists());
    assert_eq!(scratch.cat("list", "json"), "{\"l\":[1]}\n");
}

#[test]
fn what_the_dead_leave_is_told_and_is_no_error() {
    let scratch = Scratch::with_region("dead", "size=64M");
    let free = scratch.free_bytes();
    // It can never be published, for its last row is too wide; and it is killed before it comes to that.
    let mut csv = "a,b\n".to_owned() + &"1,2\n".repeat(3_000_000);
    csv.push_str("1,2,3\n");
    let file = scratch.file("n.csv", csv);
    let mut put = command(&["put", &scratch.uri, "n", &file]).spawn().expect("csm runs");
    let region = Context::new().and_then(|context| context.open(&scratch.uri)).expect("open");
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while region.stats().expect("stats").live_bytes == 0 {
        assert!(std::time::Instant::now() < deadline, "put does not begin");
        std::thread::yield_now();
    }
    put.kill().expect("kill");
    let status = put.wait().expect("wait");
    assert_eq!(status.code(), None, "it was over before it was killed");

    drop(region);
    scratch.verify();
    assert_eq!(scratch.json("ls"), json!([]));
    assert_eq!(scratch.free_bytes(), free, "to the byte");
}
