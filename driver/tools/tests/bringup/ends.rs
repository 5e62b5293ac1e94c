//! The two ends of a self-test as two commands, as on two machines: they meet, or say why they do not.

use std::fs;
use std::os::unix::fs::FileExt;

use csm::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::selftest::{is_there, name, passes, step};
use crate::{Scratch, outcome};

const MIB: u64 = 1 << 20;

/// A file that stands for a device: it is there already, and each end may see another part of it.
struct Device {
    scratch: Scratch,
    uri: String,
    file: fs::File,
}

impl Device {
    fn new(test: &str) -> Self {
        let scratch = Scratch::new(test);
        let path = scratch.0.join("device");
        let file = fs::File::options().read(true).write(true).create_new(true).open(&path).expect("a file");
        file.set_len(32 * MIB).expect("length");
        Self { uri: format!("file:{}?fixed=yes&coherence=lc", path.display()), scratch, file }
    }

    /// Runs both ends, each with its own part of the device: exit code, output, errors.
    fn both(&self, parts: [&str; 2], more: &[&str]) -> [(i32, String, String); 2] {
        let running: Vec<_> = (0..2)
            .map(|node| {
                let (uri, node) = (format!("{}&{}", self.uri, parts[node]), node.to_string());
                let args = [&["selftest", &uri, "--node", &node, "--quick", "--json"], more].concat();
                self.scratch.start(&args)
            })
            .collect();
        let outcomes: Vec<_> =
            running.into_iter().map(|child| outcome(child.wait_with_output().expect("wait"))).collect();
        outcomes.try_into().expect("two ends")
    }

    /// Both fail: with these exit codes, and these words of each.
    fn fails(&self, parts: [&str; 2], expected: [(i32, &str); 2]) {
        let outcomes = self.both(parts, &["--timeout", "4s"]);
        for ((code, part), (was, out, err)) in expected.iter().zip(&outcomes) {
            assert!(was == code && err.contains(part), "not {code}, {part:?}: {was}\n{out}{err}");
        }
    }
}

#[test]
fn two_commands_meet_and_agree() {
    let device = Device::new("meet");
    let part = "off=0&len=16M";
    for _ in 0..2 {
        let [zero, one] = device.both([part, part], &[]).map(|(code, out, err)| {
            assert_eq!(code, 0, "{out}{err}");
            serde_json::from_str::<Value>(&out).expect("JSON")
        });
        // One host: nothing shows, and that is no proof of anything.
        let notes = [("coherence", "note"), ("line-size", "note")];
        passes(&zero, &notes);
        passes(&one, &notes);
        assert_eq!((&zero["node"], &one["node"]), (&json!(0), &json!(1)));
        for name in ["same-memory", "aliases", "patterns", "coherence", "line-size"] {
            assert_eq!(step(&zero, name), step(&one, name), "both ends say the same");
        }
    }
    // And a region can be made there, with nothing to overwrite.
    let context = Context::new().expect("context");
    let uri = format!("{}&{part}", device.uri);
    drop(context.create(&format!("{uri}&size=16M")).expect("the window is vacant"));
    context.destroy(&uri).expect("destroy");
}

#[test]
fn windows_that_are_shifted_are_told_by_how_much() {
    let device = Device::new("shifted");
    device.fails(
        ["off=0&len=16M", "off=2M&len=16M"],
        [(4, "node 1 gave no sign of life"), (6, "shifted by 0x200000 bytes (2.0 MiB)")],
    );
    device.fails(
        ["off=4M&len=16M", "off=1M&len=16M"],
        [(4, "node 1"), (6, "node 1's window begins before node 0's")],
    );
}

#[test]
fn another_memory_or_length_is_no_link() {
    let device = Device::new("other");
    device.fails(
        ["off=0&len=8M", "off=16M&len=8M"],
        [(4, "node 1 gave no sign of life for 4000 ms"), (4, "node 0 gave no sign of life for 4000 ms")],
    );
    device.fails(
        ["off=0&len=8M", "off=0&len=16M"],
        [(2, "8.0 MiB on node 0 and 16.0 MiB on node 1"), (2, "give both ends the same size=")],
    );
}

#[test]
fn what_a_device_holds_is_not_destroyed_unasked() {
    let device = Device::new("holds");
    device.file.write_all_at(b"a letter", 64).expect("write");
    for command in ["selftest", "bench"] {
        device.scratch.fails(1, &[command, &device.uri, "--quick"], "begins with something that is not zero");
    }
    let mut bytes = [0; 8];
    device.file.read_exact_at(&mut bytes, 64).expect("read");
    assert_eq!(&bytes, b"a letter");
    let report = device.scratch.json(&["selftest", &device.uri, "--quick", "--both", "--overwrite"]);
    passes(&report, &[("coherence", "note"), ("line-size", "note")]);
}

#[test]
fn an_end_that_is_missing_is_named() {
    let scratch = Scratch::new("missing");
    let uri = format!("shm:{}", name("missing"));
    // People are told at once what to do; JSON has one object.
    for (node, part) in [
        ("0", "selftest with --node 1 on the other machine"),
        ("1", "selftest with --node 0 at the same time"),
    ] {
        let args = ["selftest", &uri, "--node", node, "--timeout", "100ms"];
        scratch.fails(4, &[&args[..], &["--json"]].concat(), part);
        let (code, out, err) = scratch.run(&args);
        assert!(code == 4 && out.is_empty() && err.contains(part), "{code} {out} {err}");
    }
    assert!(!is_there(&name("missing")));
}

#[test]
fn an_interrupt_ends_the_wait_and_removes_the_window() {
    let scratch = Scratch::new("interrupt");
    let name = name("interrupt");
    let child = scratch.start(&["selftest", &format!("shm:{name}"), "--node", "0", "--timeout", "10m"]);
    while !is_there(&name) {
        std::thread::yield_now();
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    kill(pid, Signal::SIGINT).expect("kill");
    let (code, _, err) = outcome(child.wait_with_output().expect("wait"));
    assert!(code == 5 && err.contains("interrupted: stopped waiting for node 1's greeting"), "{code}: {err}");
    assert!(!is_there(&name));
}

#[test]
fn a_link_that_dies_is_noticed_by_both_ends() {
    let scratch = Scratch::new("dies");
    let uri = format!("incoherent:{}", name("dies"));
    let zero =
        scratch.start(&["selftest", &format!("{uri}?size=8M"), "--node", "0", "--quick", "--timeout", "3s"]);
    let one = scratch.start(&["selftest", &format!("{uri}?loss=50000"), "--node", "1", "--timeout", "3s"]);
    let (code, out, err) = outcome(zero.wait_with_output().expect("wait"));
    assert!(code == 4 && out.is_empty() && err.contains("node 1 gave no sign of life"), "{code}: {out}{err}");
    // When it dies depends on how often the ends look: node 1 may be in the middle of reading something.
    let (code, out, err) = outcome(one.wait_with_output().expect("wait"));
    assert!(matches!(code, 4 | 6) && out.is_empty() && err.contains("node 0"), "{code}: {out}{err}");
    assert!(!is_there(&name("dies")));
}
