//! Whether this process is still the one that made a handle.
//!
//! A forked child has its parent's handles and mappings, but neither its locks nor its identity in a
//! region. Each handle therefore remembers the count of forks it was made under.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

static FORKS: AtomicU32 = AtomicU32::new(0);

extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Makes forks count from here on.
pub(crate) fn watch() {
    static REGISTER: Once = Once::new();
    REGISTER.call_once(|| {
        // SAFETY: the handler does nothing but add to an atomic, which is allowed after fork.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

/// How many forks lie between the first process and this one.
pub(crate) fn count() -> u32 {
    FORKS.load(Ordering::Relaxed)
}
