//! What the tests of the command share: a region and a directory of their own, and running `csm`.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A region and a directory that are gone when the test is over, however it ends.
pub struct Scratch {
    pub uri: String,
    pub dir: PathBuf,
}

impl Scratch {
    /// Names for the test `test`; the region is not made yet.
    pub fn new(test: &str) -> Self {
        let id = format!("csm-test-{test}-{}", std::process::id());
        let dir = std::env::temp_dir().join(&id);
        fs::create_dir_all(&dir).expect("a directory for the test");
        Self { uri: format!("shm:{id}"), dir }
    }

    /// As `new`, with a region of `options`.
    pub fn with_region(test: &str, options: &str) -> Self {
        let scratch = Self::new(test);
        ok(&["create", &format!("{}?{options}", scratch.uri)]);
        scratch
    }

    /// Writes a file and returns its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.dir.join(name), content).expect("write a file");
        self.path(name)
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.join(name).to_str().expect("UTF-8").to_owned()
    }

    pub fn put(&self, name: &str, file: &str) -> String {
        ok(&["put", &self.uri, name, file])
    }

    pub fn cat(&self, name: &str, format: &str) -> String {
        ok(&["cat", &self.uri, name, "--format", format])
    }

    pub fn json(&self, command: &str) -> Value {
        serde_json::from_str(&ok(&[command, &self.uri, "--json"])).expect("JSON")
    }

    /// Every structure checks; returns the report.
    pub fn verify(&self) -> Value {
        let report = self.json("verify");
        assert_eq!(report["problems"], Value::Array(Vec::new()));
        report
    }

    pub fn free_bytes(&self) -> u64 {
        self.json("stat")["free_bytes"].as_u64().expect("free_bytes")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        run(&["destroy", &self.uri]);
        let _ = fs::remove_dir_all(&self.dir);
    }
}

pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_csm")));
    command.args(args).stdin(Stdio::null());
    command
}

pub fn run(args: &[&str]) -> Output {
    command(args).output().expect("csm runs")
}

/// Runs `csm`, which must succeed quietly; returns what it printed.
pub fn ok(args: &[&str]) -> String {
    let output = run(args);
    let (out, err) = texts(&output);
    assert!(output.status.success() && err.is_empty(), "csm {args:?}: {}\n{out}{err}", output.status);
    out
}

/// Runs `csm`, which must fail with that status and one line that has `part` in it.
pub fn fails(status: i32, args: &[&str], part: &str) {
    let output = run(args);
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(status), "csm {args:?}\n{out}{err}");
    assert!(err.starts_with("csm: error: "), "csm {args:?}: {err}");
    assert!(err.ends_with('\n') && err.lines().count() == 1, "csm {args:?}: more than one line: {err}");
    assert!(err.contains(part), "csm {args:?}: no {part:?} in: {err}");
}

pub fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (text(&output.stdout), text(&output.stderr))
}
