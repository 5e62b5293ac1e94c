//! Waiting for a name.

use std::time::Duration;

use csm::{Context, ErrorKind};

use crate::fixture::small;
use crate::process::{DEADLINE, Inside, Peer};
use crate::table::{publish_stamp, read_stamp};
use crate::{Fixture, Outcome, Scratch};

/// Waits for the table of argument 1 in region 0, and says its stamp.
pub(super) fn role(inside: &mut Inside) {
    let region = Context::new().expect("context").open(inside.arg(0)).expect("open");
    inside.say("waiting");
    region.wait(inside.arg(1), DEADLINE).expect("it is published");
    inside.say(read_stamp(&region, inside.arg(1)));
}

pub(super) fn arrives(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create(&small(2));
    let uris = if fixture.nodes() < 2 {
        vec![scratch.uri.clone()]
    } else {
        vec![scratch.uri.clone(), scratch.with("node=1")]
    };
    let mut waiting: Vec<Peer> = uris.iter().map(|uri| Peer::start("wait", &[uri, "late"])).collect();
    for peer in &mut waiting {
        peer.await_line("waiting");
    }
    publish_stamp(&region, "other", 10, 1).expect("publish");
    publish_stamp(&region, "late", 10, 2).expect("publish");
    for mut peer in waiting {
        peer.await_line("2");
        peer.finish();
    }
    region.wait("late", Duration::ZERO).expect("there already");
    Ok(())
}

pub(super) fn times_out(fixture: &dyn Fixture) -> Outcome {
    let scratch = Scratch::new(fixture);
    let region = scratch.create(&small(2));
    publish_stamp(&region, "other", 10, 1).expect("publish");
    for timeout in [Duration::ZERO, Duration::from_millis(30)] {
        let e = region.wait("never", timeout).expect_err("nobody publishes it");
        assert!(e.kind() == ErrorKind::TimedOut && e.message().contains("never"), "{e}");
    }
    for name in ["", &"x".repeat(256), "\0hidden"] {
        assert_eq!(region.wait(name, Duration::ZERO).expect_err("no name").kind(), ErrorKind::BadName);
        assert_eq!(publish_stamp(&region, name, 1, 1).expect_err("no name").kind(), ErrorKind::BadName);
        assert_eq!(region.remove(name).expect_err("no name").kind(), ErrorKind::BadName);
    }
    for name in ["x".repeat(255).as_str(), "naïve ☃ / ?&=%", "a\nb"] {
        publish_stamp(&region, name, 1, 3).expect("a name");
        region.wait(name, Duration::ZERO).expect("there");
        assert_eq!(read_stamp(&region, name), 3);
    }
    Ok(())
}
