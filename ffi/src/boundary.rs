//! The boundary between C and Rust: the macro that makes every exported function, and the arguments.
//!
//! `export!` takes functions in Rust's own syntax. One that returns `Result` gets the `csm_error_t` as its
//! last argument and returns a status; any other type must have a [`Fallback`]. Either way a panic stops
//! here. In the body each argument is an [`Arg`]: the C value (`.value`) and checked access to what it
//! points to. That the access is sound is the C caller's word, given in one place: at `Arg::new`, which only
//! the macro calls. (examples/header.rs reads the same macro to write the header.)

use std::any::Any;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use csm::table::cdata::{ArrowArray, ArrowArrayStream, ArrowSchema};
use csm::{Error, ErrorKind, Result};

use crate::handle::{self, Handle};

macro_rules! export {
    () => {};
    ($(#[$meta:meta])* pub fn $name:ident($($arg:ident: $type:ty),* $(,)?) -> Result $body:block $($rest:tt)*) => {
        $(#[$meta])*
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            $($arg: $type,)*
            error: *mut $crate::error::csm_error_t,
        ) -> $crate::error::csm_status_t {
            let result = $crate::boundary::guard(|| -> csm::Result<()> {
                // SAFETY: the caller keeps what the header says of each argument.
                $(let $arg = unsafe { $crate::boundary::Arg::new($arg, stringify!($arg)) };)*
                $body
            });
            match result {
                Ok(()) => $crate::error::CSM_OK,
                // SAFETY: as above.
                Err(e) => unsafe { $crate::error::report(&e.context(stringify!($name)), error) },
            }
        }
        export! { $($rest)* }
    };
    ($(#[$meta:meta])* pub fn $name:ident($($arg:ident: $type:ty),* $(,)?) -> $result:ty $body:block $($rest:tt)*) => {
        $(#[$meta])*
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($arg: $type),*) -> $result {
            let result = $crate::boundary::guard(|| -> csm::Result<$result> {
                // SAFETY: the caller keeps what the header says of each argument.
                $(let $arg = unsafe { $crate::boundary::Arg::new($arg, stringify!($arg)) };)*
                Ok($body)
            });
            result.unwrap_or(<$result as $crate::boundary::Fallback>::VALUE)
        }
        export! { $($rest)* }
    };
}

/// Runs the body of an exported function; a panic becomes an error.
pub(crate) fn guard<R>(body: impl FnOnce() -> Result<R>) -> Result<R> {
    // Unwind safety is for what a panic leaves half done. Of the caller's that is nothing: results are written
    // last. What it is of the library's own the status says: a fault, to be reported.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(from_panic(&*panic)))
}

fn from_panic(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let text =
        text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("of an unknown kind");
    Error::new(ErrorKind::Internal, format!("a fault in libcsm, please report it: panic: {text}"))
}

/// What a function without a status returns when it fails.
pub(crate) trait Fallback {
    const VALUE: Self;
}

impl Fallback for () {
    const VALUE: Self = ();
}

impl Fallback for bool {
    const VALUE: Self = false;
}

impl Fallback for u64 {
    const VALUE: Self = 0;
}

impl Fallback for crate::error::csm_status_t {
    const VALUE: Self = ErrorKind::Internal.code();
}

impl Fallback for *const c_char {
    const VALUE: Self = c"".as_ptr();
}

impl Fallback for *mut c_void {
    const VALUE: Self = std::ptr::null_mut();
}

/// An argument as C passed it.
#[derive(Clone, Copy)]
pub(crate) struct Arg<T> {
    pub(crate) value: T,
    name: &'static str,
}

impl<T> Arg<T> {
    /// # Safety
    /// If the value is a pointer other than NULL, it is valid until the function returns for what its type
    /// says: a string ended by a zero byte; a struct to be read, or to be written if it is a pointer to
    /// mutable. (A handle need not be valid.)
    pub(crate) unsafe fn new(value: T, name: &'static str) -> Self {
        Self { value, name }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn invalid(&self, why: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::InvalidArgument, format!("argument {}: {why}", self.name))
    }
}

impl Arg<*const c_char> {
    /// The string; what does not decode is an error of `kind`.
    pub(crate) fn text(&self, kind: ErrorKind) -> Result<&str> {
        if self.value.is_null() {
            return Err(self.invalid("it is NULL; pass a string"));
        }
        // SAFETY: the contract of Arg::new.
        let bytes = unsafe { CStr::from_ptr(self.value) };
        bytes.to_str().map_err(|_| Error::new(kind, format!("{} {bytes:?} is not UTF-8", self.name)))
    }
}

impl Arg<*const u64> {
    /// A list of `count` numbers; NULL for none.
    pub(crate) fn list(&self, count: u64) -> Result<&[u64]> {
        if count == 0 {
            return Ok(&[]);
        }
        let len = usize::try_from(count).ok().filter(|len| *len <= isize::MAX as usize / 8);
        match len {
            Some(len) if !self.value.is_null() && self.value.is_aligned() => {
                // SAFETY: the caller says that so many numbers are there.
                Ok(unsafe { std::slice::from_raw_parts(self.value, len) })
            }
            _ => Err(self.invalid(format_args!("{:p} is no list of {count} numbers", self.value))),
        }
    }
}

impl<T> Arg<*mut T> {
    /// The place a result goes to. Asked for first, so that nothing is done in vain.
    pub(crate) fn place(&self) -> Result<Place<T>> {
        let Some(place) = NonNull::new(self.value) else {
            return Err(self.invalid("it is NULL; pass the address of a variable for the result"));
        };
        if !place.is_aligned() {
            return Err(self.invalid(format_args!("{place:p} is not aligned to {} bytes", align_of::<T>())));
        }
        Ok(Place(place))
    }
}

/// Where a result goes, as [`Arg::new`] promised.
pub(crate) struct Place<T>(NonNull<T>);

impl<T> Place<T> {
    /// Writes the result; what was there is not looked at.
    pub(crate) fn set(self, value: T) {
        // SAFETY: valid for writes by the contract of Arg::new, and aligned.
        unsafe { self.0.write(value) }
    }

    pub(crate) fn as_ptr(&self) -> *mut T {
        self.0.as_ptr()
    }
}

impl<H: Handle> Arg<*const H> {
    /// Calls `f` with the object, which cannot be closed meanwhile: for what is short.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&H::Object) -> Result<R>) -> Result<R> {
        handle::with(self.value, f)
    }

    /// The object itself, to work on it for long.
    pub(crate) fn object(&self) -> Result<H::Object>
    where
        H::Object: Clone,
    {
        self.with(|object| Ok(object.clone()))
    }
}

impl<H: Handle> Arg<*mut H> {
    /// Ends the handle and gives back its object.
    pub(crate) fn close(&self) -> Result<H::Object> {
        handle::close(self.value.cast_const())
    }
}

macro_rules! take {
    ($type:ident) => {
        impl Arg<*mut $type> {
            /// Moves the struct out and leaves it released. Dropping it releases it.
            pub(crate) fn take(&self) -> Result<$type> {
                let place = self.place()?;
                // SAFETY: a struct to be read and written, by the contract of Arg::new, and aligned.
                let taken = unsafe { $type::from_raw(place.as_ptr()) };
                if taken.is_released() {
                    let e = self.invalid(concat!(
                        "the ",
                        stringify!($type),
                        " was released already; pass a live one"
                    ));
                    return Err(e.with_kind(ErrorKind::BadArrow));
                }
                Ok(taken)
            }
        }
    };
}

take!(ArrowSchema);
take!(ArrowArray);
take!(ArrowArrayStream);

#[cfg(test)]
#[allow(clippy::expect_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_that_quotes_it() {
        let e = guard(|| -> Result<()> { panic!("slot {}", 7) }).expect_err("a panic");
        assert_eq!(e.kind(), ErrorKind::Internal);
        assert!(e.message().contains("slot 7"), "{e}");
        let e = guard(|| -> Result<()> { std::panic::panic_any(7) }).expect_err("a panic");
        assert!(e.message().contains("unknown kind"), "{e}");
    }
}
