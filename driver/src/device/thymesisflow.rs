//! `thymesisflow:AFU?role=memory|compute&name=NAME`: memory that one host lends to another.
//!
//! A process of `csm-bringup attach` holds the AFU and the window; here the window is only mapped, and only while that
//! process lives: an access to a link that is not up makes the host fence it. Its state file, `/run/csm/NAME.json`, is
//! locked as long as it lives and says when it is done. The lender's processes map the shared file that it lends, a
//! borrower's the character device (via=) where the section begins. The link zone at the window's end is no part of it.
//!
//! The lender's hardware answers for the lender's caches, so the borrowers alone write back and invalidate; that is what
//! the specification says and no card has confirmed here: coherence= overrides it.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::CoherenceReport;
use super::shm_file::{self, SHM_DIR};
use super::window::{Place, Window};
use crate::afu::thymesisflow::ZONE_BYTES;
use crate::error::{Error, ErrorKind, Result};
use crate::sys::{file, mem};
use crate::units::TIB;
use crate::uri::Uri;

const WINDOW_PREFIX: &str = "csm-tf.";
const VIA: &str = "/dev/tfshmem";
/// As the state file has it once the link is up.
const ATTACHED: &str = "\"state\": \"attached\"";

#[derive(Clone, Copy)]
enum Role {
    Memory,
    Compute,
}

pub(super) fn open(uri: &Uri) -> Result<Window> {
    let role = uri.choice("role", &[("memory", Role::Memory), ("compute", Role::Compute)])?;
    let Some(role) = role else {
        let text = format!(
            "region {:?} needs a role; add role=memory on the node that lends its memory, role=compute on one that borrows",
            uri.label()
        );
        return Err(Error::new(ErrorKind::BadUri, text));
    };
    let name = uri.get("name").unwrap_or("0");
    if name.contains('/') {
        return Err(uri.invalid("name", "a name has no slash"));
    }
    check_attached(uri, name)?;
    let (path, device_bytes, file_off) = match role {
        Role::Memory => {
            let path = Path::new(SHM_DIR).join(format!("{WINDOW_PREFIX}{name}"));
            let bytes = path.metadata().map_or(0, |meta| meta.len());
            (path, Some(bytes.saturating_sub(ZONE_BYTES)), 0)
        }
        Role::Compute => {
            let section = uri.number("section")?.unwrap_or(0);
            let off = if uri.get("off").is_some() { 0 } else { section.saturating_mul(TIB) };
            (via(uri)?, None, off)
        }
    };
    let place = Place {
        file: shm_file::open_window(uri, &path)?,
        path,
        file_off,
        device_bytes,
        page_bytes: mem::page_bytes(),
        report: CoherenceReport::LENDER,
        sync: false,
        keep: None,
    };
    Window::new(uri, place)
}

/// The character device that maps what is borrowed.
fn via(uri: &Uri) -> Result<PathBuf> {
    let via = uri.get("via").unwrap_or(VIA);
    if via == "hotplug" {
        return Err(uri.invalid(
            "via",
            "hotplugged memory belongs to the system, which gives it to any program, at any address: a region needs a character device, as /dev/tfshmem",
        ));
    }
    match Path::new(via).metadata() {
        Ok(meta) if meta.file_type().is_char_device() => Ok(via.into()),
        Ok(_) => Err(uri.invalid("via", "this is no character device")),
        Err(e) => Err(uri.invalid("via", format_args!("{e}; load the module that makes it"))),
    }
}

/// Whether a process holds the link, and is done with setting it up.
fn check_attached(uri: &Uri, name: &str) -> Result<()> {
    let path = file::run_dir().join(format!("{name}.json"));
    let state = fs::read_to_string(&path).unwrap_or_default();
    let held = file::is_flocked(&path);
    let why = match (held, state.contains(ATTACHED)) {
        (true, true) => return Ok(()),
        (true, false) => "is being set up at this moment; wait for it".to_owned(),
        (false, _) => format!(
            "is not attached on this node; as root, run: csm-bringup attach '{uri}' (and leave it running)"
        ),
    };
    let text = format!("region {:?}: the link's window {name:?} {why} (see {})", uri.label(), path.display());
    Err(Error::new(ErrorKind::RegionNotFound, text))
}
