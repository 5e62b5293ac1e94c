//! An opt-in handler that survives the loss of a window.
//!
//! When the file behind a mapped window is truncated, the next access is a SIGBUS and the process dies.
//! A program may ask for this handler instead: it puts zero pages in place of the window, marks it lost, and
//! lets the access go on; every later call on the region answers that it is lost. A fault elsewhere goes
//! to the handler that was there before. The handler touches a fixed table of atomics and two system calls.

use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::units::index;

const WATCHES: usize = 64;

struct Slot {
    base: AtomicU64,
    len: AtomicU64,
    lost: AtomicBool,
}

static SLOTS: [Slot; WATCHES] =
    [const { Slot { base: AtomicU64::new(0), len: AtomicU64::new(0), lost: AtomicBool::new(false) } };
        WATCHES];
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();

/// A window under watch.
#[derive(Debug)]
pub(super) struct Watch(Option<usize>);

impl Watch {
    /// Watches a window, as long as the table has room: a window without a slot is just not survived.
    pub(super) fn new(base: u64, len: u64) -> Self {
        let slot = SLOTS
            .iter()
            .position(|slot| slot.len.compare_exchange(0, len, Ordering::AcqRel, Ordering::Relaxed).is_ok());
        if let Some(i) = slot {
            SLOTS[i].lost.store(false, Ordering::Relaxed);
            SLOTS[i].base.store(base, Ordering::Release);
        }
        Self(slot)
    }

    pub(super) fn is_lost(&self) -> bool {
        self.0.is_some_and(|i| SLOTS[i].lost.load(Ordering::Relaxed))
    }

    pub(super) fn end(&self) {
        if let Some(i) = self.0 {
            SLOTS[i].base.store(0, Ordering::Release);
            SLOTS[i].len.store(0, Ordering::Release);
        }
    }
}

/// Installs the handler for the whole process, once.
///
/// # Errors
/// When the system refuses to install it.
pub(crate) fn install() -> Result<()> {
    if PREVIOUS.get().is_some() {
        return Ok(());
    }
    let mut previous = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: `sigaction` reads the action given and fills `previous`, both of which are valid.
    let done = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGBUS, &raw const action, previous.as_mut_ptr())
    };
    if done != 0 {
        return Err(Error::system(
            "sigaction(SIGBUS)",
            std::io::Error::last_os_error().raw_os_error().unwrap_or(0),
        ));
    }
    // SAFETY: filled by the call above.
    let _ = PREVIOUS.set(unsafe { previous.assume_init() });
    Ok(())
}

extern "C" fn on_fault(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo for SIGBUS.
    let address = unsafe { (*info).si_addr() } as u64;
    for slot in &SLOTS {
        let (base, len) = (slot.base.load(Ordering::Acquire), slot.len.load(Ordering::Acquire));
        if base == 0 || address < base || address - base >= len {
            continue;
        }
        slot.lost.store(true, Ordering::Relaxed);
        // SAFETY: replaces a window of ours, whose memory is gone, by zero pages: nothing that was there
        // could be read any more.
        let got = unsafe {
            libc::mmap(
                base as *mut libc::c_void,
                index(len),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if got != libc::MAP_FAILED {
            return;
        }
    }
    pass_on(signal, info, context);
}

/// Does what would have happened without this handler.
fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    match PREVIOUS.get() {
        Some(previous) if previous.sa_sigaction > libc::SIG_IGN => {
            if previous.sa_flags & libc::SA_SIGINFO != 0 {
                // SAFETY: the previous handler was installed as one that takes three arguments.
                let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                    unsafe { std::mem::transmute(previous.sa_sigaction) };
                handler(signal, info, context);
            } else {
                // SAFETY: the previous handler was installed as one that takes one argument.
                let handler: extern "C" fn(libc::c_int) =
                    unsafe { std::mem::transmute(previous.sa_sigaction) };
                handler(signal);
            }
        }
        _ => {
            // SAFETY: back to the default action; the access faults again and ends the process.
            unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
        }
    }
}
