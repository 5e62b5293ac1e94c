//! Other processes: the test program started again in a role, and a conversation with it in lines.
//!
//! The peer's standard input and output are the conversation; when the test is gone its input ends, and
//! with it the peer. Nobody waits longer than [`DEADLINE`].

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// The longest a peer may take for anything: reaching it is a failure, not a measurement.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// The environment variable that makes a test program a peer: the role.
pub const ROLE: &str = "CSM_TEST_ROLE";

/// The environment variable that names the emulator of a test program built for another instruction set: the
/// kernel cannot start one by itself.
pub const RUNNER: &str = "CSM_TEST_RUNNER";

/// What a peer does.
pub type Role = fn(&mut Inside);

/// The conversation as the peer sees it.
pub struct Inside {
    args: Vec<String>,
}

impl Inside {
    /// Argument `i`.
    #[must_use]
    pub fn arg(&self, i: usize) -> &str {
        self.args.get(i).map(String::as_str).expect("an argument of the role")
    }

    /// Argument `i` as a number.
    #[must_use]
    pub fn number(&self, i: usize) -> u64 {
        self.arg(i).parse().expect("a number as argument of the role")
    }

    /// Whether there is an argument `i`.
    #[must_use]
    pub fn has(&self, i: usize) -> bool {
        i < self.args.len()
    }

    /// A flag that becomes true with the next line from the test, for a peer that is busy meanwhile.
    #[must_use]
    pub fn told(&self) -> Arc<AtomicBool> {
        let told = Arc::new(AtomicBool::new(false));
        let flag = told.clone();
        std::thread::spawn(move || {
            let _ = std::io::stdin().read_line(&mut String::new());
            flag.store(true, Ordering::Relaxed);
        });
        told
    }

    /// Says a line to the test.
    pub fn say(&self, line: impl std::fmt::Display) {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush()).expect("the test listens");
    }

    /// The next line from the test; without one the peer ends.
    #[must_use]
    pub fn hear(&self) -> String {
        let mut line = String::new();
        if std::io::stdin().read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            return line.trim_end().to_owned();
        }
        std::process::exit(99)
    }

    /// Waits for the test to say `line`.
    pub fn await_line(&self, line: &str) {
        assert_eq!(self.hear(), line);
    }
}

/// Runs the role that the environment asks for, if it does; returns the exit status then.
#[must_use]
pub fn run_role(roles: &[(&str, Role)]) -> Option<i32> {
    let wanted = std::env::var(ROLE).ok()?;
    let Some((_, role)) = roles.iter().find(|(name, _)| *name == wanted) else {
        eprintln!("no role {wanted:?}");
        return Some(98);
    };
    role(&mut Inside { args: std::env::args().skip(1).collect() });
    Some(0)
}

/// This program, to be started again: by the emulator that [`RUNNER`] names, if one does.
#[must_use]
pub fn this_program() -> Command {
    let program = std::env::current_exe().expect("this program");
    let Ok(runner) = std::env::var(RUNNER) else { return Command::new(program) };
    let mut command = Command::new(runner);
    command.arg(program);
    command
}

/// A peer as the test sees it. Killed when dropped.
pub struct Peer {
    role: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Peer {
    /// Starts this program in `role`.
    #[must_use]
    pub fn start(role: &str, args: &[&str]) -> Self {
        Self::start_with(role, args, &[])
    }

    /// Starts this program in `role`, with more in its environment.
    #[must_use]
    pub fn start_with(role: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut child = this_program()
            .args(args)
            .env(ROLE, role)
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starting a peer");
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().expect("a pipe"));
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Self { role: role.to_owned(), child, stdin, lines }
    }

    /// The peer's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the peer has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_none()
    }

    /// The next line the peer says; `None` when it ended.
    pub fn try_hear(&mut self) -> Option<String> {
        match self.lines.recv_timeout(DEADLINE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("peer {:?} says nothing for {DEADLINE:?}", self.role),
        }
    }

    /// The next line the peer says.
    pub fn hear(&mut self) -> String {
        self.try_hear().unwrap_or_else(|| panic!("peer {:?} ended: {:?}", self.role, self.child.wait()))
    }

    /// Waits for the peer to say `line`.
    pub fn await_line(&mut self, line: &str) {
        assert_eq!(self.hear(), line, "from peer {:?}", self.role);
    }

    /// Says a line to the peer.
    pub fn say(&mut self, line: impl std::fmt::Display) {
        let stdin = self.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).expect("the peer listens");
    }

    /// Sends the peer a signal.
    pub fn signal(&self, signal: i32) {
        let pid = libc::pid_t::try_from(self.pid()).expect("a process id");
        // SAFETY: plain system call; the peer was not waited for yet, so the number is its own.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0, "signal {signal}");
    }

    /// Kills the peer as a crash would, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// Kills the peer as a crash would, and returns what it had said that nobody heard.
    pub fn last_words(mut self) -> Vec<String> {
        self.child.kill().expect("kill");
        std::iter::from_fn(|| self.try_hear()).collect()
    }

    /// Ends the conversation and waits for the peer to end.
    pub fn wait(mut self) -> ExitStatus {
        drop(self.stdin.take());
        // Its output ends when it does; this is where the deadline holds.
        while self.try_hear().is_some() {}
        self.child.wait().expect("wait")
    }

    /// Waits for the peer to end, and well.
    pub fn finish(self) {
        let role = self.role.clone();
        let status = self.wait();
        assert!(status.success(), "peer {role:?} ended with {status}");
    }

    /// Waits for the peer to be ended by `signal`.
    pub fn finish_by(self, signal: i32) {
        let role = self.role.clone();
        let status = self.wait();
        assert_eq!(status.signal(), Some(signal), "peer {role:?} ended with {status}");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // What ended already cannot be killed, and that is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
