//! Links that this process has open, each once.
//!
//! POSIX locks go when a process closes *any* descriptor of the file. So the link file is opened once a process, and
//! closed only when nobody uses it any more and before anybody opens it again.
#![allow(unsafe_code, reason = "a file that is closed only by who opened it")]

use std::collections::BTreeMap;
use std::fs::File;
use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::super::shm_file::ShmFile;
use super::link::Link;
use super::names::Names;
use crate::error::{Error, ErrorKind, Result};
use crate::sys::{file, process};

/// Device and inode.
type Identity = (u64, u64);

struct Known {
    link: Weak<Link>,
    forks: u32,
}

static OPEN: Mutex<BTreeMap<Identity, Known>> = Mutex::new(BTreeMap::new());

fn open_links() -> MutexGuard<'static, BTreeMap<Identity, Known>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The descriptor of a link file: one a process.
pub(super) struct OpenOnce {
    file: ManuallyDrop<File>,
    identity: Identity,
    forks: u32,
}

impl OpenOnce {
    pub(super) fn get(&self) -> &File {
        &self.file
    }

    pub(super) fn is_inherited(&self) -> bool {
        self.forks != process::fork_count()
    }
}

impl Drop for OpenOnce {
    fn drop(&mut self) {
        // Closing an inherited descriptor would drop the locks that a forked child took itself.
        if !self.is_inherited() {
            let mut open = open_links();
            // SAFETY: dropped once, here.
            unsafe { ManuallyDrop::drop(&mut self.file) };
            open.remove(&self.identity);
        }
    }
}

/// Makes `link`, a new file without a name, the link of a region whose home is `home`.
pub(super) fn create(names: Names, link: ShmFile, home: &ShmFile) -> Result<Arc<Link>> {
    let identity = file::identity(&link.file, &link.path)?;
    register(&mut open_links(), identity, names, link, home)
}

/// Opens the link of the region whose home is `home`, or hands out the one this process has open.
///
/// # Errors
/// [`ErrorKind::NotYours`] when the link is not the user's who owns home.
pub(super) fn open(names: Names, home: &ShmFile) -> Result<Arc<Link>> {
    let path = names.link();
    loop {
        let mut open = open_links();
        let identity = file::identity_at(&path).map_err(|e| {
            e.context("the region's link is gone")
                .hint(format_args!("remove {} and create the region anew", home.path.display()))
        })?;
        match open.get(&identity).filter(|known| known.forks == process::fork_count()) {
            Some(known) => match known.link.upgrade() {
                Some(link) => return Ok(link),
                // Another thread is closing it: opening it now would lose us the lock.
                None => {
                    drop(open);
                    std::thread::yield_now();
                }
            },
            None => {
                let link = home.sibling(path)?;
                if file::identity(&link.file, &link.path)? == identity {
                    return register(&mut open, identity, names, link, home);
                }
                let text = format!("{} was replaced at this moment; try again", link.path.display());
                return Err(Error::new(ErrorKind::RegionNotFound, text));
            }
        }
    }
}

fn register(
    open: &mut BTreeMap<Identity, Known>,
    identity: Identity,
    names: Names,
    link: ShmFile,
    home: &ShmFile,
) -> Result<Arc<Link>> {
    // What can fail comes first: from the descriptor's registration on, closing it takes the lock held here.
    let (content, home) = (Link::read(&link)?, home.duplicate()?);
    let forks = process::fork_count();
    let file = OpenOnce { file: ManuallyDrop::new(link.file), identity, forks };
    let link = Arc::new(Link::new(names, file, content, home));
    open.insert(identity, Known { link: Arc::downgrade(&link), forks });
    Ok(link)
}
