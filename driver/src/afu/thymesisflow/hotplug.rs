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
    // One write, no creation: sysfs files are there or they are not.
    let written = fs::File::options()
        .write(true)
        .open(path)
        .and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()));
    written.map_err(|e| failed(&format!("write {text:?} to"), path, &e))
}

fn failed(call: &str, path: &Path, error: &io::Error) -> Error {
    Error::system(format_args!("{call} {}", path.display()), error.raw_os_error().unwrap_or(0))
}
