//! The library's log, delivered to the functions that contexts were given.
//!
//! The crate `log` knows one logger a process. This one asks the table of contexts at every line, so a
//! context that is freed is heard no more, and a child that was forked is silent until it has its own.

use std::ffi::{CString, c_char, c_void};
use std::sync::OnceLock;

use csm::{Error, ErrorKind, Result};
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::boundary::Arg;
use crate::ctx::{csm_ctx_options_t, csm_ctx_t};
use crate::handle::Handle;

/// A call failed in a way that no status could tell.
pub const CSM_LOG_ERROR: u32 = 1;
/// Something is not as it should be.
pub const CSM_LOG_WARN: u32 = 2;
/// What the library does on its own account, such as clearing up after a dead process.
pub const CSM_LOG_INFO: u32 = 3;
/// For the library's developers.
pub const CSM_LOG_DEBUG: u32 = 4;
/// Everything.
pub const CSM_LOG_TRACE: u32 = 5;

/// A function that takes log lines.
pub(crate) struct Sink {
    level: u32,
    call: unsafe extern "C" fn(*mut c_void, u32, *const c_char),
    user: *mut c_void,
}

// SAFETY: the header says that the function is called on any thread, with `user`.
unsafe impl Send for Sink {}
// SAFETY: as above, several at once.
unsafe impl Sync for Sink {}

/// The sink that options ask for.
pub(crate) fn sink(arg: &Arg<*const csm_ctx_options_t>, options: &csm_ctx_options_t) -> Result<Option<Sink>> {
    let level = match options.log_level {
        0 => CSM_LOG_WARN,
        level @ CSM_LOG_ERROR..=CSM_LOG_TRACE => level,
        other => return Err(arg.invalid(format_args!("log_level is {other}; use one of CSM_LOG_..."))),
    };
    Ok(options.log.map(|call| Sink { level, call, user: options.log_user }))
}

struct Logger;

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            Level::Error => CSM_LOG_ERROR,
            Level::Warn => CSM_LOG_WARN,
            Level::Info => CSM_LOG_INFO,
            Level::Debug => CSM_LOG_DEBUG,
            Level::Trace => CSM_LOG_TRACE,
        };
        let mut text = None;
        csm_ctx_t::handles().for_each(|ctx| {
            let Some(sink) = ctx.sink.as_ref().filter(|sink| level <= sink.level) else { return };
            let text = text.get_or_insert_with(|| c_string(record.args().to_string()));
            // SAFETY: the function and its data, as the context was given them; the context cannot be freed
            // meanwhile.
            unsafe { (sink.call)(sink.user, level, text.as_ptr()) };
        });
    }

    fn flush(&self) {}
}

/// Makes the crate `log` call the contexts.
pub(crate) fn install() -> Result<()> {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    if *INSTALLED.get_or_init(|| log::set_logger(&Logger).is_ok()) {
        log::set_max_level(LevelFilter::Trace);
        return Ok(());
    }
    let text =
        "this program has another logger for the Rust crate log; leave the option log out and use that one";
    Err(Error::new(ErrorKind::Unsupported, text))
}

/// A C string of `text`; a zero byte, which C could not pass over, becomes a space.
pub(crate) fn c_string(text: String) -> CString {
    CString::new(text.replace('\0', " ")).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "tests")]
mod tests {
    use std::ffi::CStr;
    use std::ptr;
    use std::sync::Mutex;

    use super::*;
    use crate::ctx::{csm_ctx_free, csm_ctx_new};

    type Lines = Mutex<Vec<(u32, String)>>;

    unsafe extern "C" fn keep(user: *mut c_void, level: u32, message: *const c_char) {
        // SAFETY: `new` passes the lines; the logger a string.
        let (lines, message) = unsafe { (&*user.cast::<Lines>(), CStr::from_ptr(message)) };
        let message = message.to_str().expect("UTF-8").to_owned();
        lines.lock().expect("lines").push((level, message));
    }

    fn new(lines: &Lines, log_level: u32) -> *mut csm_ctx_t {
        let options = csm_ctx_options_t {
            struct_size: size_of::<csm_ctx_options_t>() as u64,
            survive_region_loss: 0,
            log_level,
            log: Some(keep),
            log_user: ptr::from_ref(lines).cast_mut().cast(),
            patience_ns: 0,
        };
        let mut ctx = ptr::null_mut();
        // SAFETY: valid pointers.
        assert_eq!(unsafe { csm_ctx_new(&raw const options, &raw mut ctx, ptr::null_mut()) }, 0);
        ctx
    }

    #[test]
    fn each_context_hears_what_it_asked_for_until_it_is_freed() {
        let (few, all) = (Lines::default(), Lines::default());
        let contexts = [new(&few, 0), new(&all, CSM_LOG_TRACE)];
        log::info!("one");
        log::warn!("two\0{}", 2);
        for ctx in contexts {
            // SAFETY: a context, freed once.
            assert_eq!(unsafe { csm_ctx_free(ctx) }, 0);
        }
        log::error!("nobody hears this");
        let two = (CSM_LOG_WARN, "two 2".to_owned());
        let heard = |lines: Lines| lines.into_inner().expect("lines");
        assert_eq!(heard(few), vec![two.clone()]);
        assert_eq!(heard(all), [(CSM_LOG_INFO, "one".to_owned()), two]);
    }
}
