//! Which end this is, and the window that is tested or measured: made for that where the device makes windows, taken as
//! it is elsewhere. What is there and may be somebody's is not destroyed unasked.

use std::time::Duration;

use csm::units::{MIB, format_size};
use csm::uri::{OPTIONS, Scheme, Sort, Uri};
use csm::{Context, Error, ErrorKind, Window};

use super::meeting::{is_vacant, wipe_first_page};
use super::memory::Memory;
use crate::failure::Done;
use crate::run::Run;
use crate::target::with_option;
use crate::wait::until;

/// The smallest window that all steps fit into, and what is made where nothing else is asked for.
const SIZE_MIN: u64 = 8 * MIB;
const SIZE_DEFAULT: u64 = 16 * MIB;

/// This end.
pub(crate) struct Ends {
    /// The window, as this node sees it.
    pub(crate) uri: String,
    parsed: Uri,
    /// What was asked for: cluster:REGION stands for another URI on each node.
    asked: String,
    /// 0 or 1.
    pub(crate) node: u64,
    /// The window's length; 0 until it is open.
    len_bytes: u64,
    /// The window was made for the test.
    made: bool,
}

/// A window that was made for the test, removed with this.
pub(crate) struct Made {
    uri: String,
    there: bool,
}

impl Made {
    /// It was removed.
    pub(crate) fn gone(&mut self) {
        self.there = false;
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.there
            && let Err(e) = Window::open(&self.uri).and_then(Window::remove)
        {
            eprintln!("csm-bringup: leaving {}: {e}", self.uri);
        }
    }
}

impl Ends {
    /// # Errors
    /// For a URI that does not parse, and a node that is no end of a link.
    pub(crate) fn new(asked: String) -> Done<Self> {
        let parsed = csm::cluster::uri(&asked)?;
        let node = match parsed.get("node") {
            None | Some("0") => 0,
            Some("1") => 1,
            Some(node) => {
                let text =
                    format!("node {node}: a test is of the link between the owner, node 0, and node 1");
                return Err(Error::new(ErrorKind::InvalidArgument, text).into());
            }
        };
        Ok(Self { uri: parsed.to_string(), parsed, asked, node, len_bytes: 0, made: false })
    }

    /// Whether one process is to start the other, unless it is told.
    pub(crate) fn is_one_machine(&self) -> bool {
        self.makes_windows() && self.parsed.get("node").is_none()
    }

    fn makes_windows(&self) -> bool {
        matches!(self.parsed.scheme(), Scheme::Shm | Scheme::Incoherent)
    }

    /// The same window as node 1 sees it: what shapes a new window is not said again.
    pub(crate) fn other_uri(&self) -> String {
        let shapes =
            |name: &str| OPTIONS.iter().any(|(option, sort, ..)| *option == name && *sort == Sort::Create);
        let (label, query) = self.asked.split_once('?').unwrap_or((&self.asked, ""));
        let keeps = |pair: &&str| {
            let name = pair.split('=').next().unwrap_or_default();
            !name.is_empty() && name != "node" && !shapes(name)
        };
        let options: Vec<&str> = query.split('&').filter(keeps).collect();
        let uri =
            if options.is_empty() { label.to_owned() } else { format!("{label}?{}", options.join("&")) };
        with_option(&uri, "node", 1)
    }

    /// The region that is made in the window: as large as it is, with room for two nodes and little more. What the window
    /// holds by then is the test's own.
    pub(crate) fn region_uri(&self) -> String {
        let size = (self.len_bytes / (2 * MIB) * (2 * MIB)).to_string();
        let mut options =
            vec![("size", &*size), ("nodes", "2"), ("members", "8"), ("leases", "64"), ("catalog", "64")];
        if !self.made && self.parsed.scheme().has("overwrite") {
            options.push(("overwrite", "yes"));
        }
        options.retain(|(option, _)| self.parsed.get(option).is_none());
        options.iter().fold(self.uri.clone(), |uri, (option, value)| with_option(&uri, option, value))
    }

    /// Opens the window as this end: node 0 makes it where there is none, node 1 waits for it. What is to be removed
    /// afterwards comes first, so that the window is unmapped before.
    ///
    /// # Errors
    /// When it holds something that may not be lost; when it is too small.
    pub(super) fn open(
        &mut self,
        run: &Run,
        timeout: Duration,
        overwrite: bool,
    ) -> Done<(Option<Made>, Memory)> {
        let (made, memory) = if self.node == 0 {
            self.open_alone(overwrite, SIZE_DEFAULT)?
        } else {
            (None, Memory(self.wait(run, timeout)?))
        };
        self.len_bytes = memory.0.len_bytes();
        if self.len_bytes < SIZE_MIN {
            let text = format!(
                "{}: the window has {}; the test needs {} at least",
                self.parsed.label(),
                format_size(self.len_bytes),
                format_size(SIZE_MIN)
            );
            return Err(Error::new(ErrorKind::BadSize, text).into());
        }
        Ok((made, memory))
    }

    /// Opens the window without regard to another end; one that is made has `size_bytes` unless the URI says otherwise.
    ///
    /// # Errors
    /// When it holds something that may not be lost.
    pub(crate) fn open_alone(&mut self, overwrite: bool, size_bytes: u64) -> Done<(Option<Made>, Memory)> {
        if overwrite {
            self.clear()?;
        }
        let window = match Window::open(&self.uri) {
            Ok(_) if self.makes_windows() && self.node == 0 => {
                let text = format!(
                    "{} is there already, and what is there would be destroyed; choose another name, or add --overwrite if it may be lost",
                    self.parsed.label()
                );
                return Err(Error::new(ErrorKind::RegionExists, text).into());
            }
            Err(e) if e.kind() == ErrorKind::RegionNotFound && self.is_made() && self.node == 0 => {
                let uri = match self.parsed.get("size") {
                    Some(_) => self.uri.clone(),
                    None => with_option(&self.uri, "size", size_bytes),
                };
                self.made = true;
                let window = Window::create(&uri)?;
                let made = Made { uri: self.uri.clone(), there: true };
                return Ok((Some(made), Memory(window)));
            }
            opened => opened?,
        };
        let memory = Memory(window);
        if !overwrite && !is_vacant(&memory) {
            let text = format!(
                "{}: the window begins with something that is not zero, a region perhaps (csm stat '{}' shows it), and what is there \
                 would be destroyed; add --overwrite if it may be lost",
                self.parsed.label(),
                self.uri
            );
            return Err(Error::new(ErrorKind::RegionExists, text).into());
        }
        Ok((None, memory))
    }

    /// Leaves a window that was there before such that a region can be made in it.
    pub(crate) fn leave(&self, memory: &Memory) {
        if !self.made {
            wipe_first_page(memory);
        }
    }

    fn wait(&self, run: &Run, timeout: Duration) -> Done<Window> {
        let what = format!(
            "{}, which node 0 makes: run csm-bringup selftest with --node 0 at the same time",
            self.uri
        );
        until(&what, timeout, run.interrupt(), || match Window::open(&self.uri) {
            Ok(window) => Ok(Some(window)),
            Err(e) if e.kind() == ErrorKind::RegionNotFound && self.is_made() => Ok(None),
            Err(e) => Err(e.into()),
        })
    }

    /// Whether windows of this scheme are made by node 0.
    fn is_made(&self) -> bool {
        self.makes_windows() || self.parsed.scheme() == Scheme::File
    }

    /// Destroys the region that is in the window, if it is not in use.
    fn clear(&self) -> Done {
        match Context::new()?.destroy(&self.uri) {
            Err(e) if e.kind() == ErrorKind::NotARegion && self.makes_windows() => {
                // Left by a test that was killed.
                Window::open(&self.uri)?.remove()?;
            }
            Err(e) if !matches!(e.kind(), ErrorKind::NotARegion | ErrorKind::RegionNotFound) => {
                return Err(e.into());
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_1_gets_the_same_window_and_shapes_nothing() {
        let uri = |text: &str| Ends::new(text.to_owned()).map(|ends| ends.other_uri()).expect("a URI");
        assert_eq!(uri("shm:t"), "shm:t?node=1");
        assert_eq!(uri("shm:t?size=16M&mode=0660&node=0&numa=0"), "shm:t?size=16M&node=1");
        assert_eq!(uri("file:/a%20b?fixed=yes&off=2M"), "file:/a%20b?fixed=yes&off=2M&node=1");
    }
}
