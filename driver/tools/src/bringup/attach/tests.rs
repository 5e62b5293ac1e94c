//! Two attach processes as two threads, on the library's model of two cards: what they answer, and in which order they
//! go.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use csm::afu::model::{Card, Fabric, Flaw};
use csm::afu::thymesisflow::{Side, Training};
use csm::uri::Uri;

use super::{compute, memory};
use crate::failure::{Done, Exit};
use crate::hold::control::{Request, Server, ask};
use crate::hold::state::{self, Entry};
use crate::hold::{Held, hold};
use crate::link::{End, Link};
use crate::run::Run;

const LONG: Duration = Duration::from_secs(20);

/// Two machines that share a directory, and the cards between them.
struct Rig {
    dir: PathBuf,
    fabric: Fabric,
    slot: u64,
}

impl Rig {
    fn new(test: &str, slot: u64) -> Self {
        let dir = std::env::temp_dir().join(format!("csm-attach-{test}-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("directory");
        Self { dir, fabric: Fabric::new(), slot }
    }

    fn run(&self) -> (Run, UnixStream) {
        let (wake, ctrl_c) = UnixStream::pair().expect("socketpair");
        (Run::of_test(&self.dir, wake), ctrl_c)
    }

    fn uri(&self, role: &str) -> Uri {
        let name = format!("{role}-{}-{}", self.slot, std::process::id());
        let uri = format!("thymesisflow:IBM,RMEM?role={role}&name={name}&size=2M&slot={}", self.slot);
        Uri::parse(&uri).expect("uri")
    }

    fn name(&self, role: &str) -> String {
        state::name_of(&self.uri(role)).expect("name")
    }

    /// One end as `attach` does it, on a card of the model; `attached` is called when it is held.
    fn attach(&self, run: &Run, role: &str, attached: impl FnOnce()) -> Done {
        let uri = self.uri(role);
        let link = Link::of(&uri)?;
        let entry = Entry::claim(run, &uri)?;
        let held: &mut dyn Held = match link.end.clone() {
            End::Memory { file } => {
                &mut memory::attach(run, &link, &file, 0o666, self.fabric.open(Side::Memory)?)?
            }
            End::Compute { section, device, .. } => {
                let zone = self.fabric.window(section.start_off(), link.window_bytes);
                let way = (self.fabric.open(Side::Compute)?, zone);
                let training = Training { deadline: LONG, ..Training::default() };
                &mut compute::attach(run, &link, section, &device, way, training)?
            }
        };
        let server = Server::listen(&entry.socket())?;
        entry.write(&uri.to_string(), "attached", &held.describe())?;
        attached();
        hold(run, &server, &entry, held)
    }

    /// Runs `with` while both ends are held, each in a thread; returns how the two ended.
    fn both(&self, with: impl FnOnce(&Run, &mut UnixStream, &mut UnixStream)) -> (Done, Done) {
        let (lender, mut stop_lender) = self.run();
        let (borrower, mut stop_borrower) = self.run();
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            let say = tell.clone();
            let first = scope.spawn(move || self.attach(&lender, "memory", || say.send(()).expect("told")));
            told.recv_timeout(LONG).expect("the lender is attached");
            let second =
                scope.spawn(move || self.attach(&borrower, "compute", || tell.send(()).expect("told")));
            told.recv_timeout(LONG).expect("the borrower is attached");
            let (run, _ctrl_c) = self.run();
            let done = catch_unwind(AssertUnwindSafe(|| with(&run, &mut stop_lender, &mut stop_borrower)));
            if let Err(panic) = done {
                // Else the two would be waited for without end.
                for role in ["compute", "memory"] {
                    let _ = self.ask(&run, role, Request::Detach { force: true });
                }
                resume_unwind(panic);
            }
            (first.join().expect("no panic"), second.join().expect("no panic"))
        })
    }

    fn ask(&self, run: &Run, role: &str, request: Request) -> Done<serde_json::Value> {
        ask(run, &state::find(run, &self.name(role))?.socket(), request, LONG)
    }

    /// The card is as after power-on, whatever it counted.
    fn is_reset(&self, side: Side) -> bool {
        let Card { open, attached, mapped, control, sections, aurora, fenced, .. } = self.fabric.card(side);
        !open && !attached && !fenced && mapped == 0 && control == 0 && sections == [0; 8] && aurora == 0
    }

    /// All is as before: the cards, the run directory, /dev/shm.
    fn is_clean(&self) {
        assert!(self.is_reset(Side::Memory) && self.is_reset(Side::Compute), "the cards");
        assert_eq!(
            fs::read_dir(&self.dir).expect("directory").count(),
            0,
            "state files and sockets are gone"
        );
        assert!(!Path::new("/dev/shm").join(format!("csm-tf.{}", self.name("memory"))).exists());
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn the_borrower_goes_before_the_lender() {
    let rig = Rig::new("order", 12);
    let ended = rig.both(|run, _, _| {
        let found = state::find(run, &rig.name("memory")).expect("state file");
        assert!(found.live && found.json["state"] == "attached", "{}", found.json);
        assert_eq!(found.json["device"]["ea"], "0x4c0000000000");
        assert_eq!(found.json["device"]["window_bytes"], 4 << 20);
        let window =
            fs::metadata(found.json["device"]["file"].as_str().expect("a file")).expect("the window");
        assert_eq!((window.len(), window.permissions().mode() & 0o777), (4 << 20, 0o666));
        let borrower = state::find(run, &rig.name("compute")).expect("state file");
        assert_eq!(borrower.json["device"]["section"], 0);

        let status = rig.ask(run, "memory", Request::Status { link: true }).expect("status");
        assert_eq!((&status["borrower"], &status["answers_arrived"]), (&"attached".into(), &true.into()));
        assert_eq!(
            rig.ask(run, "compute", Request::Status { link: true }).expect("status")["lender"],
            "attached"
        );

        let refused =
            rig.ask(run, "memory", Request::Detach { force: false }).expect_err("a borrower is there");
        assert!(refused.message().contains("detach the borrower first"), "{refused:?}");
        assert_eq!(
            rig.ask(run, "memory", Request::Status { link: true }).expect("still there")["borrower"],
            "attached"
        );

        rig.ask(run, "compute", Request::Detach { force: false }).expect("the borrower goes");
        assert_eq!(
            rig.ask(run, "memory", Request::Status { link: true }).expect("status")["borrower"],
            "detached"
        );
        rig.ask(run, "memory", Request::Detach { force: false }).expect("now the lender");
    });
    assert!(ended.0.is_ok() && ended.1.is_ok(), "{ended:?}");
    rig.is_clean();
}

#[test]
fn ctrl_c_detaches_and_a_lender_that_must_not_stays() {
    let rig = Rig::new("ctrl-c", 13);
    let ended = rig.both(|run, lender, borrower| {
        lender.write_all(b"^").expect("Ctrl-C");
        // It answers, so it is still there, and its card still works.
        assert_eq!(
            rig.ask(run, "memory", Request::Status { link: true }).expect("status")["borrower"],
            "attached"
        );
        assert_eq!(
            rig.ask(run, "compute", Request::Status { link: true }).expect("status")["lender"],
            "attached"
        );
        borrower.write_all(b"^").expect("Ctrl-C");
        crate::wait::until("the borrower to go", LONG, run.interrupt(), || {
            Ok(rig.is_reset(Side::Compute).then_some(()))
        })
        .expect("the borrower goes");
        lender.write_all(b"^").expect("Ctrl-C");
    });
    assert!(ended.0.is_ok() && ended.1.is_ok(), "{ended:?}");
    rig.is_clean();
}

#[test]
fn an_operator_may_force_a_lender() {
    let rig = Rig::new("force", 14);
    let ended = rig.both(|run, _, _| {
        rig.ask(run, "memory", Request::Detach { force: true }).expect("the operator's word");
        // The link is dead now: the borrower must not touch it either.
        rig.ask(run, "compute", Request::Detach { force: true }).expect("the operator's word");
    });
    assert!(ended.0.is_ok() && ended.1.is_ok(), "{ended:?}");
    rig.is_clean();
}

#[test]
fn a_name_is_attached_once_and_nonsense_gets_an_answer() {
    let rig = Rig::new("once", 15);
    let (run, mut stop) = rig.run();
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        let held = scope.spawn(|| rig.attach(&run, "memory", move || tell.send(()).expect("told")));
        told.recv_timeout(LONG).expect("attached");
        let (again, _ctrl_c) = rig.run();
        let e = rig.attach(&again, "memory", || ()).expect_err("taken");
        assert!(e.message().contains("is attached already, by process"), "{e:?}");
        assert_eq!(e.exit(), Exit::Failed);

        let socket = state::find(&again, &rig.name("memory")).expect("found").socket();
        for nonsense in [
            "\n",
            "{}\n",
            "{\"do\":\"dance\"}\n",
            "{\"do\":\"detach\"}\n",
            "{\"do\":\"status\"}\n",
            "\u{0}\n",
        ] {
            let mut client = UnixStream::connect(&socket).expect("connect");
            client.write_all(nonsense.as_bytes()).expect("write");
            let answer = std::io::read_to_string(client).expect("an answer");
            assert!(answer.contains("no such request"), "{nonsense:?}: {answer}");
        }
        stop.write_all(b"^").expect("Ctrl-C");
        held.join().expect("no panic").expect("detached");
    });
    rig.is_clean();
}

#[test]
fn training_that_fails_or_is_stopped_leaves_nothing() {
    let rig = Rig::new("training", 16);
    let (run, mut stop) = rig.run();
    rig.fabric.set_flaw(Flaw::Dead);
    stop.write_all(b"^").expect("Ctrl-C");
    let e = rig.attach(&run, "compute", || ()).expect_err("stopped");
    assert_eq!(e.exit(), Exit::Interrupted, "{e:?}");
    assert!(e.message().contains("what was done has been undone"), "{e:?}");
    rig.is_clean();
    let e = rig.attach(&run, "memory", || ()).expect_err("stopped while it locks");
    assert_eq!(e.exit(), Exit::Interrupted, "{e:?}");
    rig.is_clean();
}

#[test]
fn what_a_dead_lender_left_is_cleared_up() {
    let rig = Rig::new("dead", 17);
    let (run, _ctrl_c) = rig.run();
    let file = PathBuf::from(format!("/dev/shm/csm-tf.{}", rig.name("memory")));
    fs::write(&file, b"old").expect("a window");
    let state = rig.dir.join(format!("{}.json", rig.name("memory")));
    fs::write(&state, "{\"pid\":1,\"state\":\"attached\"}").expect("a state file");
    assert!(!state::find(&run, &rig.name("memory")).expect("found").live, "nobody has it locked");
    let entry = Entry::claim(&run, &rig.uri("memory")).expect("claimed");
    memory::clear_up(&run, &entry, &file).expect("cleared up");
    assert!(!file.exists());
    assert!(state::find(&run, &rig.name("memory")).expect("found").live);
    drop(entry);
    // Without a state file nobody says that it is a dead lender's: it stays.
    fs::write(&file, b"mine").expect("a window");
    let entry = Entry::claim(&run, &rig.uri("memory")).expect("claimed");
    memory::clear_up(&run, &entry, &file).expect("nothing to do");
    assert!(file.exists());
    drop(entry);
    fs::remove_file(&file).expect("removed");
    rig.is_clean();
}
