//! `put` needs little ordinary memory, however large the file.
#![allow(clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::fs::File;
use std::process::Command;
use std::sync::Arc;

use arrow_array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringArray, types::Int32Type};
use arrow_ipc::writer::StreamWriter;
use common::{Scratch, ok};
use serde_json::json;

const BATCHES: i64 = 24;
const BATCH_ROWS: i64 = 512 << 10;

#[test]
fn put_holds_a_few_batches_at_a_time() {
    let scratch = Scratch::with_region("bounded", "size=160M");
    let path = scratch.path("n.arrows");
    // Every batch has 4 MiB of numbers of its own, and the same dictionary.
    let words: ArrayRef = Arc::new(StringArray::from(vec!["word".repeat(1 << 18)]));
    let keys = arrow_array::Int32Array::from(vec![0; usize::try_from(BATCH_ROWS).expect("rows")]);
    let words = Arc::new(DictionaryArray::<Int32Type>::new(keys, words)) as ArrayRef;
    let batch = |n: i64| {
        let numbers =
            Arc::new(Int64Array::from_iter_values(n * BATCH_ROWS..(n + 1) * BATCH_ROWS)) as ArrayRef;
        RecordBatch::try_from_iter([("n", numbers), ("w", words.clone())]).expect("a batch")
    };
    let file = File::create(&path).expect("create");
    let mut writer = StreamWriter::try_new(file, &batch(0).schema()).expect("a stream");
    for n in 0..BATCHES {
        writer.write(&batch(n)).expect("write");
    }
    writer.finish().expect("finish");

    // Shared memory does not count for this limit; 144 MiB of data would.
    let limited = Command::new("sh")
        .args([
            "-c",
            "ulimit -d 49152 && exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_csm"),
            "put",
            &scratch.uri,
            "n",
            &path,
        ])
        .output()
        .expect("sh runs");
    assert!(limited.status.success(), "{}", String::from_utf8_lossy(&limited.stderr));
    let table = &scratch.json("ls")[0];
    assert_eq!((&table["rows"], &table["batches"]), (&json!(BATCHES * BATCH_ROWS), &json!(BATCHES)));
    let live = scratch.json("stat")["live_bytes"].as_i64().expect("live_bytes");
    let data = BATCHES * BATCH_ROWS * 12;
    assert!(live > data && live < data + (4 << 20), "the dictionary of 1 MiB is there once: {live} live");
    assert_eq!(ok(&["cat", &scratch.uri, "n", "--format", "csv", "--limit", "0"]), "n,w\n");
}
