//! An AFU that is made of files: registers can be read there, and no ioctl works.

use serde_json::{Value, json};

use crate::tree::Tree;

const LENDER: &str = "thymesisflow:IBM,RMEM?role=memory&size=4M&slot=18&name=afu-files";
const BORROWER: &str = "thymesisflow:IBM,RMEM?role=compute&size=4M&slot=18&name=afu-files";

/// Registers of `(offset, value)`; the area is 4 KiB.
fn tree(test: &str, registers: &[(usize, u64)]) -> Tree {
    let tree = Tree::new(test);
    let afu = "sys/class/ocxl/IBM,RMEM.0006:00:00.1.0";
    tree.file(&format!("{afu}/afu_version"), "1:0\n")
        .file(&format!("{afu}/contexts"), "0/1\n")
        .file(&format!("{afu}/global_mmio_size"), "4096\n")
        .file(&format!("{afu}/pp_mmio_size"), "4096\n")
        .file("dev/ocxl/IBM,RMEM.0006:00:00.1.0", "");
    let mut area = vec![0; 4096];
    for (off, value) in registers {
        area[*off..off + 8].copy_from_slice(&value.to_le_bytes());
    }
    tree.file(&format!("{afu}/global_mmio_area"), area);
    tree
}

fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

#[test]
fn counters_are_rates_and_a_line_each() {
    // Flits out and in; 3 round trips in 780 cycles.
    let tree = tree("counters", &[(0x60, 1000), (0x68, 2000), (0x70, 3 << 37 | 780)]);
    let args = ["--root", tree.root(), "--count", "2", "--interval", "1ms"];
    let out = tree.scratch.ok(&[&["counters", BORROWER, "--json"][..], &args].concat());
    let samples = lines(&out);
    assert_eq!(samples.len(), 2);
    for sample in samples {
        assert_eq!((&sample["tx_flits"], &sample["rx_flits"]), (&json!(1000), &json!(2000)));
        assert_eq!((&sample["round_trips"], &sample["round_trip_cycles"]), (&json!(3), &json!(260.0)));
        let seconds = sample["interval_ns"].as_f64().expect("a time") / 1e9;
        let rate = sample["tx_bytes_per_s"].as_f64().expect("a rate");
        assert!((rate * seconds - 32_000.0).abs() < 1.0, "{rate} bytes a second in {seconds} s");
    }
    let text = tree.scratch.ok(&[&["counters", BORROWER][..], &args].concat());
    assert!(text.lines().count() == 3 && text.contains("260 cycles"), "{text}");
    // The lender's card measures no round trips, whatever the register holds.
    let out = tree.scratch.ok(&[&["counters", LENDER, "--json"][..], &args].concat());
    assert_eq!(
        (&lines(&out)[0]["round_trips"], &lines(&out)[0]["round_trip_cycles"]),
        (&json!(0), &Value::Null)
    );
}

#[test]
fn no_round_trips_are_no_division() {
    let tree = tree("no-trips", &[]);
    let out = tree.scratch.ok(&[
        "counters",
        BORROWER,
        "--json",
        "--root",
        tree.root(),
        "--count",
        "1",
        "--interval",
        "1ms",
    ]);
    assert_eq!(
        (&lines(&out)[0]["round_trip_cycles"], &lines(&out)[0]["tx_bytes_per_s"]),
        (&Value::Null, &json!(0.0))
    );
}

#[test]
fn an_attach_that_the_kernel_refuses_leaves_nothing() {
    let tree = tree("refused", &[]);
    // The device file is an ordinary one: its first ioctl fails, and is named with its arguments.
    tree.scratch.fails(1, &["attach", LENDER, "--root", tree.root()], "OCXL_IOCTL_");
    // Nothing is begun without the device that maps what is borrowed.
    let part = "/dev/tfshmem is not there, by which the borrowed memory is mapped";
    tree.scratch.fails(3, &["attach", BORROWER, "--root", tree.root()], part);
    tree.file("dev/tfshmem", "");
    tree.scratch.fails(1, &["attach", BORROWER, "--root", tree.root()], "OCXL_IOCTL_");
    assert_eq!(std::fs::read_dir(tree.scratch.0.join("run")).map_or(0, Iterator::count), 0);
    assert!(!std::path::Path::new("/dev/shm/csm-tf.afu-files").exists());
}
