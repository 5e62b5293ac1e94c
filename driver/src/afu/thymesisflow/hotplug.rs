//! Borrowed memory as ordinary memory of this node: 256 MiB blocks, added to the kernel and taken back.
//!
//! Not for regions: what the kernel puts there moves and is nobody else's. The block that holds a link zone stays out.
//! sysfs knows `probe` (adds a block), `state` (`online_movable`, `offline`) and no way to remove a block: one that was taken
//! back stays listed, offline, and is used again the next time.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::units::MIB;

/// Bytes of a block.
pub const BLOCK_BYTES: u64 = 256 * MIB;

/// The real address at which POWER9 shows the card's address space.
pub const REAL_BASE: u64 = 0x2_0000_0000_0000;

/// Blocks that this process brought online. Dropping it tries to take them back.
#[derive(Debug)]
pub struct MemoryBlocks {
    root: PathBuf,
    /// Numbers of the blocks that are online because of this, in the order they were added.
    online: Vec<u64>,
}

impl MemoryBlocks {
    /// Adds `len_bytes` from `off_bytes` of the card's address space on, and onlines them as movable. `root` is
    /// `/sys/devices/system/memory`. `progress` hears how many blocks are online and may stop it.
    ///
    /// # Errors
    /// [`ErrorKind::BadSize`] unless multiples of 256 MiB; [`ErrorKind::Unsupported`] where the kernel has other blocks or no
    /// `probe`; [`ErrorKind::InUse`] for a block that is online already. What was done is taken back.
    pub fn add(
        root: &Path,
        off_bytes: u64,
        len_bytes: u64,
        progress: &mut dyn FnMut(u64) -> std::ops::ControlFlow<()>,
    ) -> Result<Self> {
        let aligned = off_bytes.is_multiple_of(BLOCK_BYTES) && len_bytes.is_multiple_of(BLOCK_BYTES);
        let end = REAL_BASE.checked_add(off_bytes).and_then(|start| start.checked_add(len_bytes));
        let (true, Some(end), false) = (aligned, end, len_bytes == 0) else {
            let text = format!(
                "hotplug of {len_bytes:#x} bytes at offset {off_bytes:#x}: both are multiples of 256 MiB ({BLOCK_BYTES:#x})"
            );
            return Err(Error::new(ErrorKind::BadSize, text));
        };
        check_block_size(root)?;
        let mut this = Self { root: root.to_owned(), online: Vec::new() };
        for address in (REAL_BASE + off_bytes..end).step_by(256 << 20) {
            let added = this.add_block(address).and_then(|()| {
                let going = progress(this.online.len() as u64).is_continue();
                let stopped = || Error::system("adding memory blocks was stopped", nix::libc::EINTR);
                going.then_some(()).ok_or_else(stopped)
            });
            if let Err(e) = added {
                return Err(match this.take_back() {
                    Ok(()) => e,
                    Err(undo) => e.hint(undo),
                });
            }
        }
        Ok(this)
    }

    /// How many blocks are online because of this.
    #[must_use]
    pub fn online(&self) -> u64 {
        self.online.len() as u64
    }

    /// Takes all blocks back, last first. May be called again for those that would not go.
    ///
    /// # Errors
    /// The blocks that stay online, and the kernel's reason for the first of them.
    pub fn take_back(&mut self) -> Result<()> {
        let mut stuck = Vec::new();
        let mut first = None;
        while let Some(number) = self.online.pop() {
            if let Err(e) = self.set_state(number, "offline") {
                stuck.push(number);
                first.get_or_insert(e);
            }
        }
        stuck.reverse();
        self.online = stuck;
        let Some(first) = first else { return Ok(()) };
        let list = self.online.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        Err(first.hint(format_args!(
            "memory blocks {list} stay online: end what uses them, then detach again; the link must not go before"
        )))
    }

    fn add_block(&mut self, address: u64) -> Result<()> {
        let number = address / BLOCK_BYTES;
        let state = self.state_path(number);
        if !state.exists() {
            let probe = self.root.join("probe");
            write(&probe, &format!("{address:#x}")).map_err(|e| match e.errno() {
                nix::libc::ENOENT => e
                    .hint("this kernel has no memory probe (CONFIG_ARCH_MEMORY_PROBE)")
                    .with_kind(ErrorKind::Unsupported),
                _ => e,
            })?;
        }
        let now = fs::read_to_string(&state).map_err(|e| failed("read", &state, &e))?;
        if now.trim() != "offline" {
            let text = format!(
                "memory block {number} ({address:#x}) is {} already, and not because of this process: another one has it",
                now.trim()
            );
            return Err(Error::new(ErrorKind::InUse, text));
        }
        self.set_state(number, "online_movable")?;
        self.online.push(number);
        Ok(())
    }

    fn state_path(&self, number: u64) -> PathBuf {
        self.root.join(format!("memory{number}")).join("state")
    }

    fn set_state(&self, number: u64, state: &str) -> Result<()> {
        write(&self.state_path(number), state)
    }
}

impl Drop for MemoryBlocks {
    fn drop(&mut self) {
        if let Err(e) = self.take_back() {
            log::warn!("{e}");
        }
    }
}

fn check_block_size(root: &Path) -> Result<()> {
    let path = root.join("block_size_bytes");
    let text = fs::read_to_string(&path).map_err(|e| failed("read", &path, &e))?;
    match u64::from_str_radix(text.trim(), 16) {
        Ok(BLOCK_BYTES) => Ok(()),
        _ => {
            let text = format!(
                "{} says {}: ThymesisFlow's memory comes in blocks of {BLOCK_BYTES:x} (hexadecimal)",
                path.display(),
                text.trim()
            );
            Err(Error::new(ErrorKind::Unsupported, text))
        }
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    // One write, no creation, no truncation: sysfs files are there or they are not.
    let written = fs::File::options()
        .write(true)
        .open(path)
        .and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()));
    written.map_err(|e| failed(&format!("write {text:?} to"), path, &e))
}

fn failed(call: &str, path: &Path, error: &io::Error) -> Error {
    Error::system(format_args!("{call} {}", path.display()), error.raw_os_error().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;

    const FIRST: u64 = REAL_BASE / BLOCK_BYTES;
    const GO_ON: fn(u64) -> ControlFlow<()> = |_| ControlFlow::Continue(());

    struct Tree(PathBuf);

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    impl Tree {
        /// Files in the place of sysfs: they take what is written to them and make nothing of it.
        fn new(name: &str, blocks: &[u64]) -> Self {
            let root = std::env::temp_dir().join(format!("csm-blocks-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&root);
            fs::create_dir_all(&root).unwrap();
            fs::write(root.join("block_size_bytes"), "10000000\n").unwrap();
            fs::write(root.join("probe"), "").unwrap();
            let this = Self(root);
            for n in blocks {
                fs::create_dir_all(this.0.join(format!("memory{}", FIRST + n))).unwrap();
                this.set(*n, "offline");
            }
            this
        }

        fn path(&self, n: u64) -> PathBuf {
            self.0.join(format!("memory{}/state", FIRST + n))
        }

        fn set(&self, n: u64, state: &str) {
            fs::write(self.path(n), state).unwrap();
        }

        /// What was written last; a file keeps the tail of what was longer.
        fn is(&self, n: u64, state: &str) -> bool {
            fs::read_to_string(self.path(n)).unwrap().starts_with(state)
        }
    }

    #[test]
    fn blocks_come_and_go() {
        let tree = Tree::new("life", &[1, 2]);
        let mut heard = Vec::new();
        let mut blocks = MemoryBlocks::add(&tree.0, BLOCK_BYTES, 2 * BLOCK_BYTES, &mut |n| {
            heard.push(n);
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!((heard, blocks.online()), (vec![1, 2], 2));
        assert!(tree.is(1, "online_movable") && tree.is(2, "online_movable"));
        // They were listed: the kernel is not asked to find them again.
        assert_eq!(fs::read_to_string(tree.0.join("probe")).unwrap(), "");
        blocks.take_back().unwrap();
        assert!(tree.is(1, "offline") && tree.is(2, "offline") && blocks.online() == 0);
    }

    #[test]
    fn a_block_that_fails_takes_the_others_back() {
        // Block 1 has to be probed, and then is not there.
        let tree = Tree::new("fails", &[0]);
        let error = MemoryBlocks::add(&tree.0, 0, 2 * BLOCK_BYTES, &mut { GO_ON }).unwrap_err();
        assert_eq!(error.errno(), nix::libc::ENOENT, "{error}");
        assert_eq!(fs::read_to_string(tree.0.join("probe")).unwrap(), "0x2000010000000");
        assert!(tree.is(0, "offline"));
        // Stopped: the same.
        let tree = Tree::new("stopped", &[0, 1]);
        let stop = &mut |n| if n == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let error = MemoryBlocks::add(&tree.0, 0, 2 * BLOCK_BYTES, stop).unwrap_err();
        assert_eq!(error.errno(), nix::libc::EINTR);
        assert!(tree.is(0, "offline") && tree.is(1, "offline"));
    }

    #[test]
    fn a_block_of_somebody_else_is_left_alone() {
        let tree = Tree::new("other", &[0, 1]);
        tree.set(1, "online\n");
        let error = MemoryBlocks::add(&tree.0, 0, 2 * BLOCK_BYTES, &mut { GO_ON }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InUse);
        assert!(tree.is(0, "offline") && tree.is(1, "online\n"));
    }

    #[test]
    fn a_block_that_will_not_go_is_named_and_tried_again() {
        let tree = Tree::new("stuck", &[0, 1]);
        let mut blocks = MemoryBlocks::add(&tree.0, 0, 2 * BLOCK_BYTES, &mut { GO_ON }).unwrap();
        fs::remove_file(tree.path(0)).unwrap();
        let error = blocks.take_back().unwrap_err();
        assert!(error.message().contains(&format!("memory blocks {FIRST} stay online")), "{error}");
        assert!(tree.is(1, "offline") && blocks.online() == 1);
        tree.set(0, "online");
        blocks.take_back().unwrap();
        assert_eq!(blocks.online(), 0);
    }

    #[test]
    fn sizes_and_kernels_that_do_not_fit_are_refused() {
        let tree = Tree::new("sizes", &[]);
        for (off, len) in
            [(0, 0), (0, 128 * MIB), (MIB, BLOCK_BYTES), (u64::MAX - BLOCK_BYTES + 1, BLOCK_BYTES)]
        {
            let error = MemoryBlocks::add(&tree.0, off, len, &mut { GO_ON }).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadSize, "{off:#x} {len:#x}");
        }
        fs::write(tree.0.join("block_size_bytes"), "8000000\n").unwrap();
        let error = MemoryBlocks::add(&tree.0, 0, BLOCK_BYTES, &mut { GO_ON }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        fs::write(tree.0.join("block_size_bytes"), "10000000\n").unwrap();
        fs::remove_file(tree.0.join("probe")).unwrap();
        let error = MemoryBlocks::add(&tree.0, 0, BLOCK_BYTES, &mut { GO_ON }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(
            error.message().contains("write \"0x2000000000000\"")
                && error.message().contains("no memory probe")
        );
    }
}
