//! Made-up /sys, /dev and /proc.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::Scratch;

/// A root directory.
pub(crate) struct Tree {
    pub(crate) scratch: Scratch,
    root: PathBuf,
}

impl Tree {
    pub(crate) fn new(test: &str) -> Self {
        let scratch = Scratch::new(test);
        let root = scratch.0.join("root");
        fs::create_dir_all(&root).expect("root");
        Self { scratch, root }
    }

    pub(crate) fn root(&self) -> &str {
        self.root.to_str().expect("UTF-8")
    }

    pub(crate) fn file(&self, path: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("parent")).expect("directory");
        fs::write(path, text).expect("file");
        self
    }

    /// A symbolic link whose target's last part is what matters.
    pub(crate) fn link(&self, path: &str, target: &str) -> &Self {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("parent")).expect("directory");
        symlink(target, path).expect("link");
        self
    }
}
