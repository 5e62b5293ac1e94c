//! Other processes: the benchmark's own program started again in a role, which it is told by an environment variable.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const ROLE: &str = "CSM_BENCH_ROLE";

/// The role this process was started in and its argument, if it is another process of a benchmark.
#[must_use]
pub fn role() -> Option<(String, String)> {
    let text = std::env::var(ROLE).ok()?;
    let (role, argument) = text.split_once(' ').unwrap_or((&text, ""));
    Some((role.to_owned(), argument.to_owned()))
}

fn command(role: &str, argument: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    // What this program was asked for, --quick for one, holds for all of it.
    command.args(std::env::args().skip(1)).env(ROLE, format!("{role} {argument}"));
    command
}

/// Runs this program in a role to its end; it prints its series itself.
pub fn run(role: &str, argument: &str) {
    let status = command(role, argument).stdin(Stdio::null()).status().expect("another process");
    assert!(status.success(), "another process of this benchmark: {status}");
}

/// A process that answers a line with a line.
pub struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    /// Starts this program in a role.
    #[must_use]
    pub fn start(role: &str, argument: &str) -> Self {
        let mut child = command(role, argument)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("another process");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self { child, input, output }
    }

    /// Sends a line.
    pub fn tell(&mut self, line: &str) {
        writeln!(self.input.as_mut().expect("a pipe"), "{line}").expect("the other process has ended");
    }

    /// Waits for the next line.
    #[must_use]
    pub fn hear(&mut self) -> String {
        self.output.next().expect("the other process has ended").expect("text")
    }

    /// Waits for the next line, and takes it for numbers.
    #[must_use]
    pub fn hear_numbers(&mut self) -> Vec<f64> {
        self.hear().split_whitespace().map(|word| word.parse().expect("a number")).collect()
    }

    /// Waits until it ends by itself.
    pub fn finish(mut self) {
        self.input = None;
        let status = self.child.wait().expect("its end");
        assert!(status.success(), "another process of this benchmark: {status}");
    }

    /// Kills it, as a crash would.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.input = None;
        // An error says that it has ended already.
        let _ = self.child.kill();
        self.child.wait().expect("its end");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.end();
    }
}

/// The other process's side: says `answer`.
pub fn say(answer: &str) {
    println!("{answer}");
    std::io::stdout().flush().expect("standard output");
}

/// The other process's side: the lines it is told, until the benchmark ends.
pub fn told() -> impl Iterator<Item = String> {
    std::io::stdin().lines().map(|line| line.expect("text"))
}

/// Many processes in one role, that hold something until they are killed.
pub struct Crowd(Vec<Child>);

impl Crowd {
    /// Starts this program once for each argument. All have said [`say`] when this returns.
    #[must_use]
    pub fn start(role: &str, arguments: impl Iterator<Item = String>) -> Self {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let mut crowd = Self(Vec::new());
        for argument in arguments {
            let output = writer.try_clone().expect("a descriptor");
            let child = command(role, &argument).stdin(Stdio::null()).stdout(output).spawn();
            crowd.0.push(child.expect("another process"));
            // One after the other: they would only wait for each other.
            let mut byte = [0];
            while byte != *b"\n" {
                reader.read_exact(&mut byte).expect("a sign of the other process");
            }
        }
        crowd
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
        }
        for child in &mut self.0 {
            child.wait().expect("its end");
        }
    }
}

/// A member of a [`Crowd`]: says that it is there, and stays until it is killed.
pub fn stay() -> ! {
    say("ready");
    loop {
        std::thread::park();
    }
}
