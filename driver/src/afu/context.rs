//! One open context of an AFU: its metadata, its attachment to this process's addresses, its registers, interrupts
//! and events.
//!
//! [`AfuContext`] is the part that ThymesisFlow needs; a model of a card implements it as well. The kernel ends a context
//! when its file is closed, whoever forgot to.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

use nix::errno::Errno;
use nix::libc;

use crate::afu::event::{Event, TranslationFault, parse};
use crate::afu::find::{AfuInfo, Roots};
use crate::afu::global::{CounterLock, lock_counters, map_global_mmio};
use crate::afu::irq::{Irq, none_left};
use crate::afu::mapping::Mapping;
use crate::afu::mmio::{Area, Mmio};
use crate::afu::selector::Selector;
use crate::afu::uapi;
use crate::error::{Error, ErrorKind, Result};

/// What the AFU says of itself to an open context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Version of the AFU, major and minor.
    pub version: (u8, u8),
    /// The process address space id of this context: by it the AFU names our addresses.
    pub pasid: u32,
    /// Bytes of the registers of each context; 0 where there are none.
    pub per_pasid_mmio_bytes: u64,
    /// Bytes of the registers of the whole AFU.
    pub global_mmio_bytes: u64,
}

/// What the kernel offers beside the basics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// The AFU can wake a thread that waits by an instruction of POWER9.
    pub p9_wait: bool,
}

/// An open context of an AFU, as the link's two ends use it. Dropping it closes it.
pub trait AfuContext: Send {
    /// What people call the AFU.
    fn name(&self) -> String;
    /// What the AFU says of itself.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn metadata(&self) -> Result<Metadata>;
    /// Gives the AFU this process's address space, once.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn attach(&mut self) -> Result<()>;
    /// The registers of the whole AFU.
    ///
    /// # Errors
    /// When they cannot be mapped.
    fn map_global(&mut self) -> Result<Box<dyn Mmio>>;
    /// The registers of this context, which must be attached; None where the AFU has none.
    ///
    /// # Errors
    /// When they cannot be mapped.
    fn map_per_pasid(&mut self) -> Result<Option<Box<dyn Mmio>>>;
    /// The translation fault that waits to be reported, if any.
    ///
    /// # Errors
    /// When the kernel has closed the context: the card was reset or is gone.
    fn fault(&mut self) -> Result<Option<TranslationFault>>;
    /// The right to read the counters.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] while somebody else has it.
    fn counter_lock(&self) -> Result<CounterLock>;
}

/// A context of an AFU of this machine. One thread at a time; closed when dropped.
#[derive(Debug)]
pub struct Afu {
    file: Arc<File>,
    info: AfuInfo,
    attached: bool,
}

impl Afu {
    /// Opens a context on the AFU that `selector` means. The calling process may configure it from now on.
    ///
    /// # Errors
    /// As [`Roots::find`]; [`ErrorKind::InUse`] when all its contexts are taken, [`ErrorKind::PermissionDenied`].
    pub fn open(roots: &Roots, selector: &Selector) -> Result<Self> {
        let info = roots.find(selector)?;
        // Non-blocking: an event is asked for, never waited for here.
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
        let file = File::options()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(&info.dev_path)
            .map_err(|e| open_failed(&info, e.raw_os_error().unwrap_or(0)))?;
        Ok(Self { file: Arc::new(file), info, attached: false })
    }

    /// What the kernel said of the AFU when it was opened.
    #[must_use]
    pub fn info(&self) -> &AfuInfo {
        &self.info
    }

    /// What the AFU says of itself.
    ///
    /// # Errors
    /// When the file is not an AFU or the kernel has closed the context.
    pub fn metadata(&self) -> Result<Metadata> {
        let mut raw = uapi::Metadata::default();
        // SAFETY: the kernel writes one such struct.
        unsafe { uapi::get_metadata(self.file.as_raw_fd(), &raw mut raw) }
            .map_err(|e| self.failed("ioctl", "OCXL_IOCTL_GET_METADATA", e))?;
        Ok(Metadata {
            version: (raw.afu_version_major, raw.afu_version_minor),
            pasid: raw.pasid,
            per_pasid_mmio_bytes: raw.pp_mmio_size,
            global_mmio_bytes: raw.global_mmio_size,
        })
    }

    /// What the kernel offers beside the basics.
    ///
    /// # Errors
    /// As [`Afu::metadata`].
    pub fn features(&self) -> Result<Features> {
        let mut raw = uapi::Features::default();
        // SAFETY: the kernel writes one such struct.
        unsafe { uapi::get_features(self.file.as_raw_fd(), &raw mut raw) }
            .map_err(|e| self.failed("ioctl", "OCXL_IOCTL_GET_FEATURES", e))?;
        Ok(Features { p9_wait: raw.flags[0] & uapi::FEATURE_P9_WAIT != 0 })
    }

    /// Gives the AFU this process's address space, once. `amr` masks the POWER storage keys it may use; 0 masks none.
    ///
    /// # Errors
    /// When the context is attached already or the kernel refuses.
    pub fn attach(&mut self, amr: u64) -> Result<()> {
        let arg = uapi::Attach { amr, ..Default::default() };
        // SAFETY: the kernel reads one such struct.
        unsafe { uapi::attach(self.file.as_raw_fd(), &raw const arg) }.map_err(|e| {
            let error = self.failed("ioctl", &format!("OCXL_IOCTL_ATTACH, amr {amr:#x}"), e);
            match e {
                Errno::EIO => {
                    error.hint("a context attaches once, and not after the card was reset: open a new one")
                }
                Errno::EBUSY => error
                    .hint("another context is attached: ThymesisFlow's AFU has one")
                    .with_kind(ErrorKind::InUse),
                _ => error.hint("see dmesg"),
            }
        })?;
        self.attached = true;
        Ok(())
    }

    /// Maps the registers of the whole AFU.
    ///
    /// # Errors
    /// When the area cannot be opened (it is root's) or mapped.
    pub fn global_mmio(&self) -> Result<Box<dyn Mmio>> {
        map_global_mmio(&self.info, self.metadata()?.global_mmio_bytes)
    }

    /// Maps the registers of this context, which must be attached. None where the AFU has none.
    ///
    /// # Errors
    /// When the context is not attached (an access would end the process) or the kernel refuses.
    pub fn per_pasid_mmio(&self) -> Result<Option<Box<dyn Mmio>>> {
        let len_bytes = self.metadata()?.per_pasid_mmio_bytes;
        if len_bytes == 0 {
            return Ok(None);
        }
        if !self.attached {
            let text = format!(
                "AFU {}: a context's own registers can be reached once it is attached",
                self.info.file_name()
            );
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        let mapping = Mapping::new(&*self.file, &self.info.dev_path, Area::PerPasid, len_bytes)?;
        Ok(Some(Box::new(mapping)))
    }

    /// A new interrupt that the AFU may raise.
    ///
    /// # Errors
    /// [`ErrorKind::NoMemory`] when the AFU has none left.
    pub fn irq(&self) -> Result<Irq> {
        Irq::new(Arc::clone(&self.file)).map_err(none_left).map_err(|e| self.named(e))
    }

    /// The translation fault that waits to be reported, if any. Never blocks; [`Afu::as_fd`] can be polled.
    ///
    /// # Errors
    /// When the kernel has closed the context: the card was reset or is gone.
    pub fn fault(&self) -> Result<Option<TranslationFault>> {
        loop {
            let mut bytes = [0; uapi::EVENT_BYTES];
            let read = match (&*self.file).read(&mut bytes) {
                Ok(read) => read,
                Err(e) => match Errno::from_raw(e.raw_os_error().unwrap_or(0)) {
                    Errno::EAGAIN => return Ok(None),
                    Errno::EINTR => continue,
                    errno => {
                        return Err(self.failed("read", &format!("{} bytes of events", bytes.len()), errno));
                    }
                },
            };
            match parse(bytes.get(..read).unwrap_or(&bytes)).map_err(|e| self.named(e))? {
                Event::Fault(fault) => return Ok(Some(fault)),
                Event::Unknown { last: true } => return Ok(None),
                Event::Unknown { last: false } => {}
                Event::Closed => {
                    let text = "the kernel has closed the context: the card was reset or is gone; detach, and see dmesg";
                    return Err(self.named(Error::new(ErrorKind::Closed, text)));
                }
            }
        }
    }

    /// The device file, to be polled for events.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.file.as_fd()
    }

    fn named(&self, error: Error) -> Error {
        error.context(format_args!("AFU {}", self.info.file_name()))
    }

    fn failed(&self, call: &str, args: &str, errno: Errno) -> Error {
        let error =
            Error::system(format_args!("{call}({}, {args})", self.info.dev_path.display()), errno as i32);
        match errno {
            Errno::ENOTTY => error.hint("it is not an AFU of the kernel's ocxl driver"),
            _ => error,
        }
    }
}

fn open_failed(info: &AfuInfo, errno: i32) -> Error {
    let error = Error::system(format_args!("open({}, O_RDWR)", info.dev_path.display()), errno);
    match errno {
        libc::ENOENT => error.hint("the kernel knows the AFU, udev made no device file for it"),
        libc::EACCES | libc::EPERM => {
            error.hint("run as root, or let a udev rule give the device to your group")
        }
        // The kernel allocates the context here, not when it is attached.
        libc::ENOSPC | libc::EBUSY => {
            let text = format!(
                "its {} context(s) are taken: end the process that has it (fuser {})",
                info.contexts_max,
                info.dev_path.display()
            );
            error.hint(text).with_kind(ErrorKind::InUse)
        }
        libc::ENODEV | libc::ENXIO => error.hint("the card is gone; see dmesg"),
        _ => error,
    }
}

impl AfuContext for Afu {
    fn name(&self) -> String {
        self.info.file_name()
    }

    fn metadata(&self) -> Result<Metadata> {
        Self::metadata(self)
    }

    fn attach(&mut self) -> Result<()> {
        Self::attach(self, 0)
    }

    fn map_global(&mut self) -> Result<Box<dyn Mmio>> {
        self.global_mmio()
    }

    fn map_per_pasid(&mut self) -> Result<Option<Box<dyn Mmio>>> {
        self.per_pasid_mmio()
    }

    fn fault(&mut self) -> Result<Option<TranslationFault>> {
        Self::fault(self)
    }

    fn counter_lock(&self) -> Result<CounterLock> {
        lock_counters(&self.info)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Ordinary files in the place of the kernel's: what is not a card is told with the call that failed.
    #[test]
    fn every_failing_call_is_reported_with_its_arguments() {
        let root = std::env::temp_dir().join(format!("csm-context-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let (name, selector) = ("IBM,RMEM.0006:00:00.1.0", "IBM,RMEM".parse().unwrap());
        let roots = Roots::default().with_dev(root.join("dev")).with_sys(root.join("sys"));
        let sys = roots.sys().join(name);
        fs::create_dir_all(&sys).unwrap();
        fs::create_dir_all(roots.dev()).unwrap();
        for (file, text) in [
            ("afu_version", "1:0"),
            ("contexts", "0/1"),
            ("global_mmio_size", "65536"),
            ("pp_mmio_size", "0"),
        ] {
            fs::write(sys.join(file), text).unwrap();
        }
        let dev = roots.dev().join(name);
        let error = Afu::open(&roots, &selector).unwrap_err();
        assert_eq!(error.errno(), libc::ENOENT);
        assert!(error.message().contains(&format!("open({}, O_RDWR)", dev.display())), "{error}");
        assert!(error.message().contains("udev"), "{error}");
        fs::write(&dev, "").unwrap();
        let mut afu = Afu::open(&roots, &selector).unwrap();
        let error = afu.metadata().unwrap_err();
        assert_eq!(error.errno(), libc::ENOTTY);
        assert!(
            error.message().contains("OCXL_IOCTL_GET_METADATA") && error.message().contains("not an AFU")
        );
        assert!(afu.attach(5).unwrap_err().message().contains("OCXL_IOCTL_ATTACH, amr 0x5"));
        assert!(afu.features().unwrap_err().message().contains("OCXL_IOCTL_GET_FEATURES"));
        assert!(afu.irq().unwrap_err().message().contains("OCXL_IOCTL_IRQ_ALLOC"));
        // The end of a file is no event.
        assert!(afu.fault().unwrap_err().message().contains("an AFU event of 0 bytes"));
        let error = lock_counters(afu.info()).err().unwrap();
        assert!(error.message().contains("global_mmio_area, O_RDWR"), "{error}");
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn contexts_that_are_taken_say_who_may_have_them() {
        let info = AfuInfo {
            name: "IBM,RMEM".into(),
            function: "0006:00:00.1".into(),
            index: 0,
            version: (1, 0),
            contexts_used: 1,
            contexts_max: 1,
            global_mmio_bytes: 0x8_0000,
            per_pasid_mmio_bytes: 0x1_0000,
            dev_path: "/dev/ocxl/x".into(),
            sys_path: "/sys/class/ocxl/x".into(),
            has_dev: true,
        };
        let error = open_failed(&info, libc::ENOSPC);
        assert_eq!((error.kind(), error.errno()), (ErrorKind::InUse, libc::ENOSPC));
        assert!(error.message().contains("fuser /dev/ocxl/x"), "{error}");
        assert_eq!(open_failed(&info, libc::EACCES).kind(), ErrorKind::PermissionDenied);
    }
}
