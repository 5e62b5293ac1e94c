//! The socket by which an attach process is asked: one request a connection, a line of JSON each way.
//!
//! `{"do": "status", "link": false}` and `{"do": "detach", "force": false}`. An answer has `"ok"` and, if that is false, `"error"`. The socket is the user's
//! alone. A client that stalls holds the process up for a second, no longer.

use std::fs::{self, Permissions};
use std::io::{ErrorKind as IoKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use csm::{Error, ErrorKind, Result};
use csm_tools::fail::system;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};

use crate::failure::{Done, Failure};
use crate::run::Run;

/// How long a client may take.
const CLIENT: Duration = Duration::from_secs(1);
const REQUEST_BYTES_MAX: u64 = 4096;

/// What an attach process can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Status { link: bool },
    Detach { force: bool },
}

impl Request {
    fn json(self) -> Value {
        match self {
            Self::Status { link } => json!({ "do": "status", "link": link }),
            Self::Detach { force } => json!({ "do": "detach", "force": force }),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let json: Value = serde_json::from_str(text).ok()?;
        match json["do"].as_str()? {
            "status" => Some(Self::Status { link: json["link"].as_bool()? }),
            "detach" => Some(Self::Detach { force: json["force"].as_bool()? }),
            _ => None,
        }
    }
}

/// Where an attach process listens. The socket goes with it.
pub(crate) struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    pub(crate) fn listen(path: &Path) -> Result<Self> {
        // Left by a process that died: whoever listens has the state file locked, and that is this process.
        let _ = fs::remove_file(path);
        let failed = |call: &str, e| system(format_args!("{call}({path:?})"), &e);
        let listener = UnixListener::bind(path).map_err(|e| failed("bind", e))?;
        let server = Self { listener, path: path.to_owned() };
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(|e| failed("chmod", e))?;
        server.listener.set_nonblocking(true).map_err(|e| failed("fcntl", e))?;
        Ok(server)
    }

    /// Readable when somebody asks.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Somebody who asks.
    pub(crate) fn accept(&self) -> Result<Option<UnixStream>> {
        match self.listener.accept() {
            Ok((client, _)) => Ok(Some(client)),
            Err(e)
                if matches!(
                    e.kind(),
                    IoKind::WouldBlock | IoKind::Interrupted | IoKind::ConnectionAborted
                ) =>
            {
                Ok(None)
            }
            Err(e) => Err(system(format_args!("accept({:?})", self.path), &e)),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Answers one client. What goes wrong with it is its own trouble.
pub(crate) fn answer(mut client: UnixStream, serve: impl FnOnce(Request) -> Result<Value>) {
    let limits = client
        .set_nonblocking(false)
        .and_then(|()| client.set_read_timeout(Some(CLIENT)))
        .and_then(|()| client.set_write_timeout(Some(CLIENT)));
    if limits.is_err() {
        return;
    }
    let refused = |error: Value| json!({ "ok": false, "error": error });
    let answer = match line(&mut client).and_then(|text| Request::parse(&text)).map(serve) {
        None => refused(json!({ "kind": ErrorKind::InvalidArgument.name(), "message": "no such request" })),
        Some(Err(e)) => {
            refused(json!({ "kind": e.kind().name(), "errno": e.errno(), "message": e.message() }))
        }
        Some(Ok(mut json)) => {
            json["ok"] = true.into();
            json
        }
    };
    let _ = client.write_all(format!("{answer}\n").as_bytes());
}

/// The line that a client sends, within its time.
fn line(client: &mut UnixStream) -> Option<String> {
    let deadline = Instant::now() + CLIENT;
    let mut text = Vec::new();
    let mut byte = [0; 256];
    while !text.ends_with(b"\n") && text.len() as u64 <= REQUEST_BYTES_MAX && Instant::now() < deadline {
        match client.read(&mut byte).ok()? {
            0 => break,
            n => text.extend_from_slice(byte.get(..n)?),
        }
    }
    String::from_utf8(text).ok()
}

/// Asks the process that listens at `path`, and waits for its answer.
pub(crate) fn ask(run: &Run, path: &Path, request: Request, timeout: Duration) -> Done<Value> {
    let deadline = Instant::now() + timeout;
    let mut server = UnixStream::connect(path).map_err(|e| system(format_args!("connect({path:?})"), &e))?;
    let failed = |call: &str, e: std::io::Error| system(format_args!("{call} {path:?}"), &e);
    server.write_all(format!("{}\n", request.json()).as_bytes()).map_err(|e| failed("write", e))?;
    server.set_nonblocking(true).map_err(|e| failed("fcntl", e))?;
    let mut text = Vec::new();
    loop {
        let mut bytes = [0; 4096];
        match server.read(&mut bytes) {
            Ok(0) => break,
            Ok(n) => text.extend_from_slice(bytes.get(..n).unwrap_or_default()),
            Err(e) if matches!(e.kind(), IoKind::WouldBlock | IoKind::Interrupted) => {}
            Err(e) => return Err(failed("read", e).into()),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let text = format!(
                "no answer from the attach process ({path:?}) after {} ms; see --timeout",
                timeout.as_millis()
            );
            return Err(Error::new(ErrorKind::TimedOut, text).into());
        }
        let mut fds = [
            PollFd::new(run.interrupt().fd(), PollFlags::POLLIN),
            PollFd::new(server.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(Error::system(format_args!("poll({path:?})"), e as i32).into()),
        }
        if run.interrupt().raised() {
            return Err(Failure::interrupted("the attach process may still do what it was asked"));
        }
    }
    let json: Value = serde_json::from_slice(&text).map_err(|e| {
        Error::new(
            ErrorKind::System,
            format!("the attach process ({path:?}) went away without an answer: {e}"),
        )
    })?;
    if json["ok"] == Value::Bool(true) {
        return Ok(json);
    }
    let error = &json["error"];
    let name = error["kind"].as_str().unwrap_or_default();
    let kind = ErrorKind::ALL.iter().copied().find(|kind| kind.name() == name).unwrap_or(ErrorKind::System);
    Err(Error::new(kind, error["message"].as_str().unwrap_or("no message")).into())
}
