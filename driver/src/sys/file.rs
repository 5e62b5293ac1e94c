//! Files: creating a whole one at once, size, backing, byte locks.

use std::fs::File;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, FallocateFlags, FcntlArg, Flock, FlockArg, OFlag};
use nix::sys::stat::Mode;
use nix::unistd::Whence;

use crate::error::{Error, Result};

fn failed(call: &str, path: &Path, errno: Errno) -> Error {
    Error::system(format_args!("{call}({})", path.display()), errno as i32)
}

/// Opens an unnamed file in `dir`, to be filled and then named by [`name_file`].
pub(crate) fn create_unnamed(dir: &Path) -> Result<File> {
    let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
    // Others get at it only by its name, which it has not yet; the mode is set before that.
    let fd = nix::fcntl::open(dir, flags, Mode::S_IRUSR | Mode::S_IWUSR)
        .map_err(|e| failed("open O_TMPFILE", dir, e))?;
    Ok(File::from(fd))
}

/// Gives an unnamed file its name. `EEXIST` when the name is taken: nothing is replaced.
pub(crate) fn name_file(file: &File, mode: u32, path: &Path) -> Result<()> {
    let mode = Mode::from_bits_truncate(mode);
    nix::sys::stat::fchmod(file, mode).map_err(|e| failed("fchmod", path, e))?;
    let proc_path = format!("/proc/self/fd/{}", file.as_raw_fd());
    nix::unistd::linkat(
        nix::fcntl::AT_FDCWD,
        proc_path.as_str(),
        nix::fcntl::AT_FDCWD,
        path,
        AtFlags::AT_SYMLINK_FOLLOW,
    )
    .map_err(|e| failed("linkat", path, e))
}

/// Opens a file that is there, following no symbolic link.
pub(crate) fn open(path: &Path, writable: bool) -> Result<File> {
    let access = if writable { OFlag::O_RDWR } else { OFlag::O_RDONLY };
    let flags = access | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    nix::fcntl::open(path, flags, Mode::empty()).map(File::from).map_err(|e| failed("open", path, e))
}

/// Takes the advisory lock of a directory, waiting at most `patience`; None when somebody holds it that long.
pub(crate) fn lock_dir(dir: &Path, patience: Duration) -> Option<Flock<File>> {
    let mut file = File::open(dir).ok()?;
    let deadline = Instant::now() + patience;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Some(lock),
            Err((back, Errno::EWOULDBLOCK | Errno::EINTR)) if Instant::now() < deadline => file = back,
            Err(_) => return None,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Where processes that hold devices say so: /run/csm, or `$CSM_RUN_DIR`.
pub(crate) fn run_dir() -> PathBuf {
    let dir = std::env::var_os("CSM_RUN_DIR").filter(|dir| !dir.is_empty());
    dir.map_or_else(|| PathBuf::from("/run/csm"), PathBuf::from)
}

/// Whether some process has the exclusive advisory lock of a file.
pub(crate) fn is_flocked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| {
        matches!(Flock::lock(file, FlockArg::LockSharedNonblock), Err((_, Errno::EWOULDBLOCK)))
    })
}

/// Removes a name.
pub(crate) fn unlink(path: &Path) -> Result<()> {
    nix::unistd::unlink(path).map_err(|e| failed("unlink", path, e))
}

/// Length in bytes, owner's uid and mode.
pub(crate) fn stat(file: &File, path: &Path) -> Result<(u64, u32, u32)> {
    let meta = file.metadata().map_err(|e| {
        Error::system(format_args!("fstat({})", path.display()), e.raw_os_error().unwrap_or(0))
    })?;
    Ok((meta.len(), meta.uid(), meta.mode() & 0o7777))
}

/// Which file it is, whatever its name: device and inode.
pub(crate) fn identity(file: &File, path: &Path) -> Result<(u64, u64)> {
    let meta = file.metadata().map_err(|e| {
        Error::system(format_args!("fstat({})", path.display()), e.raw_os_error().unwrap_or(0))
    })?;
    Ok((meta.dev(), meta.ino()))
}

/// Which file has the name `path`, without opening it.
pub(crate) fn identity_at(path: &Path) -> Result<(u64, u64)> {
    let meta = path.symlink_metadata().map_err(|e| {
        Error::system(format_args!("lstat({})", path.display()), e.raw_os_error().unwrap_or(0))
    })?;
    Ok((meta.dev(), meta.ino()))
}

/// The parts of a file that were ever written; the rest reads as zeroes.
pub(crate) fn data_ranges(file: &File, path: &Path) -> Result<Vec<Range<u64>>> {
    let seek = |from: i64, whence| match nix::unistd::lseek(file.as_fd(), from, whence) {
        Ok(at) => Ok(Some(at)),
        Err(Errno::ENXIO) => Ok(None),
        Err(e) => Err(failed("lseek", path, e)),
    };
    let (mut ranges, mut at) = (Vec::new(), 0);
    while let Some(start) = seek(at, Whence::SeekData)?
        && let Some(end) = seek(start, Whence::SeekHole)?
    {
        ranges.push(start.cast_unsigned()..end.cast_unsigned());
        at = end;
    }
    Ok(ranges)
}

/// Sets the length, leaving holes.
pub(crate) fn set_len(file: &File, path: &Path, len: u64) -> Result<()> {
    nix::unistd::ftruncate(file, libc::off_t::try_from(len).unwrap_or(libc::off_t::MAX))
        .map_err(|e| Error::system(format_args!("ftruncate({}, {len})", path.display()), e as i32))
}

/// Puts memory or disk behind `start .. end`; fails now rather than with a SIGBUS later.
pub(crate) fn allocate(file: &File, path: &Path, start: u64, end: u64) -> Result<()> {
    let (start_off, len) = (start.cast_signed(), end.saturating_sub(start).cast_signed());
    loop {
        match nix::fcntl::fallocate(file.as_fd(), FallocateFlags::FALLOC_FL_KEEP_SIZE, start_off, len) {
            Ok(()) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(e) => {
                return Err(Error::system(
                    format_args!("fallocate({}, {start}, {len})", path.display()),
                    e as i32,
                ));
            }
        }
    }
}

/// A POSIX write lock on one byte. Held by the process (not by threads or children); gone with it.
fn lock_of(byte: u64, kind: i32) -> libc::flock {
    libc::flock {
        l_type: libc::c_short::try_from(kind).unwrap_or(0),
        l_whence: 0,
        l_start: byte.cast_signed(),
        l_len: 1,
        l_pid: 0,
    }
}

/// Takes the lock on `byte` if nobody else has it.
pub(crate) fn try_lock_byte(file: &File, byte: u64) -> Result<bool> {
    match nix::fcntl::fcntl(file, FcntlArg::F_SETLK(&lock_of(byte, libc::F_WRLCK))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(e) => Err(Error::system(format_args!("fcntl(F_SETLK, byte {byte})"), e as i32)),
    }
}

/// Takes the lock on `byte`, waiting for whoever has it.
pub(crate) fn lock_byte(file: &File, byte: u64) -> Result<()> {
    loop {
        match nix::fcntl::fcntl(file, FcntlArg::F_SETLKW(&lock_of(byte, libc::F_WRLCK))) {
            Ok(_) => return Ok(()),
            // The kernel takes threads of one process for one another and sees circles where there are none.
            Err(Errno::EDEADLK) => std::thread::yield_now(),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(Error::system(format_args!("fcntl(F_SETLKW, byte {byte})"), e as i32)),
        }
    }
}

/// Gives the lock on `byte` up.
pub(crate) fn unlock_byte(file: &File, byte: u64) -> Result<()> {
    nix::fcntl::fcntl(file, FcntlArg::F_SETLK(&lock_of(byte, libc::F_UNLCK)))
        .map(|_| ())
        .map_err(|e| Error::system(format_args!("fcntl(F_UNLCK, byte {byte})"), e as i32))
}

/// Whether another process has the lock on `byte`.
pub(crate) fn byte_is_locked(file: &File, byte: u64) -> Result<bool> {
    let mut lock = lock_of(byte, libc::F_WRLCK);
    nix::fcntl::fcntl(file, FcntlArg::F_GETLK(&mut lock))
        .map_err(|e| Error::system(format_args!("fcntl(F_GETLK, byte {byte})"), e as i32))?;
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

/// Whether another process has a lock on any of `bytes`; `0..0` is all of them.
pub(crate) fn any_byte_is_locked(file: &File, bytes: Range<u64>) -> Result<bool> {
    // Length 0 is "to the end of the file, however long".
    let len = (bytes.end - bytes.start).cast_signed();
    let mut lock = libc::flock { l_len: len, ..lock_of(bytes.start, libc::F_WRLCK) };
    nix::fcntl::fcntl(file, FcntlArg::F_GETLK(&mut lock))
        .map_err(|e| Error::system(format_args!("fcntl(F_GETLK, bytes {bytes:?})"), e as i32))?;
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

/// Whether any process, this one included, has a lock on any byte of the file at `path`; false where there is none.
pub(crate) fn is_locked_at(path: &Path) -> Result<bool> {
    let file = match open(path, true) {
        Ok(file) => file,
        Err(e) if e.errno() == libc::ENOENT => return Ok(false),
        Err(e) => return Err(e),
    };
    // Closing a descriptor drops the locks that this process has: where there are locks, it stays open.
    let mut file = ManuallyDrop::new(file);
    // Asked as somebody else, this process's own locks are seen too.
    let mut lock = libc::flock { l_len: 0, ..lock_of(0, libc::F_WRLCK) };
    nix::fcntl::fcntl(&*file, FcntlArg::F_OFD_GETLK(&mut lock))
        .map_err(|e| failed("fcntl F_OFD_GETLK", path, e))?;
    let locked = i32::from(lock.l_type) != libc::F_UNLCK;
    if !locked {
        // SAFETY: dropped once, here.
        unsafe { ManuallyDrop::drop(&mut file) };
    }
    Ok(locked)
}

/// Opens by descriptor number: only to hand a duplicate to a mapping.
#[cfg(test)]
pub(crate) fn memory_file(len: u64) -> File {
    // SAFETY: the descriptor is new and owned by the caller.
    let fd = unsafe {
        <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(libc::memfd_create(
            c"csm-test".as_ptr(),
            libc::MFD_CLOEXEC,
        ))
    };
    let file = File::from(fd);
    file.set_len(len).ok();
    file
}
