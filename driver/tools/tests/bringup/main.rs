//! `csm-bringup` as an operator runs it: on this machine, which has none of the devices, and on made-up /sys and /dev.
#![allow(clippy::expect_used, clippy::panic, reason = "tests")]

mod afu;
mod bench;
mod ends;
mod errors;
mod plan;
mod probe;
mod selftest;
mod tree;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// A directory that goes with the test; attach processes keep their state in it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("csm-bringup-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory for the test");
        Self(dir)
    }

    /// Runs `csm-bringup`: exit code, standard output, standard error.
    fn run(&self, args: &[&str]) -> (i32, String, String) {
        outcome(self.command(args).output().expect("csm-bringup runs"))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_csm-bringup"));
        command
            .args(args)
            .stdin(Stdio::null())
            .env("CSM_RUN_DIR", self.0.join("run"))
            .env_remove("CSM_CLUSTER");
        command
    }

    /// Starts `csm-bringup`; [`outcome`] of what it returns in the end.
    fn start(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("csm-bringup runs")
    }

    /// It must succeed, and say nothing on standard error.
    fn ok(&self, args: &[&str]) -> String {
        let (code, out, err) = self.run(args);
        assert_eq!((code, err.as_str()), (0, ""), "csm-bringup {args:?}\n{out}");
        out
    }

    /// It must succeed and print one JSON object of the usual form.
    fn json(&self, args: &[&str]) -> Value {
        let json: Value = serde_json::from_str(&self.ok(&[args, &["--json"]].concat())).expect("JSON");
        assert_eq!((&json["command"], &json["ok"]), (&args[0].into(), &true.into()), "{json:#}");
        json
    }

    /// It must fail with this code and one line that has `part` in it; with --json, the same as an object.
    fn fails(&self, code: i32, args: &[&str], part: &str) {
        let (was, out, err) = self.run(args);
        assert_eq!(was, code, "csm-bringup {args:?}\n{out}{err}");
        assert!(err.starts_with("csm-bringup: error: ") && err.lines().count() == 1, "{args:?}: {err}");
        assert!(err.contains(part), "csm-bringup {args:?}: no {part:?} in: {err}");
    }

    fn fails_both(&self, code: i32, args: &[&str], part: &str) {
        self.fails(code, args, part);
        let (was, out, _) = self.run(&[args, &["--json"]].concat());
        assert_eq!(was, code);
        let json: Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!((&json["command"], &json["ok"]), (&args[0].into(), &false.into()), "{json:#}");
        assert_eq!(json["error"]["exit"], code);
        assert!(json["error"]["message"].as_str().expect("a message").contains(part), "{json:#}");
        assert!(json["error"]["kind"].is_string() && json["error"]["errno"].is_i64(), "{json:#}");
    }
}

/// Exit code, standard output, standard error.
fn outcome(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The example that the documentation shows.
fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cluster.toml").canonicalize().expect("the example")
}
