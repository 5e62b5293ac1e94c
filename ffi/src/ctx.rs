//! `csm_ctx_t`: what regions are opened under, and where the library's log goes.

use std::ffi::{c_char, c_void};
use std::time::Duration;

use csm::{Context, ContextOptions, Result};

use crate::handle::{Handle, Handles, open};
use crate::log_callback::{self, Sink};
use crate::options::c_structs;

/// A context. Regions are created and opened under one; usually a process has one.
pub struct csm_ctx_t {
    _opaque: [u8; 0],
}

pub(crate) struct Ctx {
    context: Context,
    pub(crate) sink: Option<Sink>,
}

impl Handle for csm_ctx_t {
    type Object = Ctx;
    const KIND: u64 = 1;
    const NAME: &'static str = "csm_ctx_t";
    fn handles() -> &'static Handles<Ctx> {
        static HANDLES: Handles<Ctx> = Handles::new();
        &HANDLES
    }
}

/// Takes a line of the library's log: `message` is UTF-8 and valid during the call, `level` is one of
/// `CSM_LOG_...`. It is called on whatever thread has something to say, several at once; it must not call
/// this library. It is not called any more once `csm_ctx_free` has returned, nor in a forked child.
pub type csm_log_t = Option<unsafe extern "C" fn(user: *mut c_void, level: u32, message: *const c_char)>;

/// How a context behaves. Zeroes are the defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct csm_ctx_options_t {
    /// Set by the caller: `sizeof(csm_ctx_options_t)`.
    pub struct_size: u64,
    /// 1: a handler of SIGBUS turns a region whose file was truncated into `CSM_E_REGION_LOST` where it
    /// would end the process. It passes on every other SIGBUS.
    pub survive_region_loss: u32,
    /// The least important messages that `log` gets: one of `CSM_LOG_...`; 0 is `CSM_LOG_WARN`.
    pub log_level: u32,
    /// Where the library's log goes, or NULL.
    pub log: csm_log_t,
    /// Passed to `log` as it is.
    pub log_user: *mut c_void,
    /// The longest a call waits for another process that holds a lock, in nanoseconds; 0 is 10 seconds. A
    /// region's `wait` option overrides it.
    pub patience_ns: u64,
}

c_structs!(csm_ctx_options_t);

impl Ctx {
    /// The context itself, which regions are opened under.
    pub(crate) fn context(&self) -> Result<Context> {
        Ok(self.context.clone())
    }
}

export! {
    /// Makes a context. `options` may be NULL.
    ///
    /// Free it with `csm_ctx_free`. Thread-safe.
    /// Errors: `CSM_E_INVALID_ARGUMENT`; `CSM_E_UNSUPPORTED` if the program has a `log` of its own, which is
    /// so only where libcsm.a is part of a Rust program.
    pub fn csm_ctx_new(options: *const csm_ctx_options_t, ctx: *mut *mut csm_ctx_t) -> Result {
        let place = ctx.place()?;
        let (mut core, mut sink) = (ContextOptions::default(), None);
        if let Some(given) = options.options()? {
            core.survive_region_loss = options.flag("survive_region_loss", given.survive_region_loss)?;
            if given.patience_ns != 0 {
                core.patience = Duration::from_nanos(given.patience_ns);
            }
            sink = log_callback::sink(&options, &given)?;
        }
        let context = Context::with_options(core)?;
        if sink.is_some() {
            log_callback::install()?;
        }
        place.set(open(Ctx { context, sink })?);
        Ok(())
    }

    /// Ends a context. Regions that were opened under it stay open.
    ///
    /// Returns `CSM_OK`, `CSM_E_INVALID_ARGUMENT` (it is NULL), `CSM_E_CLOSED` or `CSM_E_FORKED`.
    /// Thread-safe; waits for calls of the log function that are under way, so it must not be called in one.
    pub fn csm_ctx_free(ctx: *mut csm_ctx_t) -> crate::error::csm_status_t {
        crate::error::status(ctx.close().map(drop))
    }
}
