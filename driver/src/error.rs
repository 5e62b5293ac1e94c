//! Errors: what failed, with which value, and what to do about it.
//!
//! One struct with a stable kind and a sentence. The kind is what a program
//! decides on (and the status code of the C ABI); the sentence is for people
//! and always names the thing, the value and the way out. The sentence is
//! built where the facts are, so there is no tree of error types to convert.

use std::fmt;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// What kind of thing went wrong. Codes are part of the C ABI and are never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(i32)]
        pub enum ErrorKind { $($(#[$doc])* $name = $code,)* }

        impl ErrorKind {
            /// Every kind, in code order.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$name,)*];

            /// The stable code, the C ABI's `csm_status_t`.
            #[must_use]
            pub const fn code(self) -> i32 {
                self as i32
            }

            /// The name of the kind, as it is spelled here.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(ErrorKind::$name => stringify!($name),)* }
            }
        }
    };
}

kinds! {
    /// An argument is out of its domain.
    InvalidArgument = 1,
    /// A URI does not parse, or names an unknown scheme or option.
    BadUri = 2,
    /// A size is zero, too small, too large or not a multiple.
    BadSize = 3,
    /// An address or size is not aligned as it must be.
    BadAlignment = 4,
    /// A name is empty, too long or not UTF-8.
    BadName = 5,

    /// There is no such region.
    RegionNotFound = 10,
    /// A region of that name is there already.
    RegionExists = 11,
    /// The operating system does not let this user do it.
    PermissionDenied = 12,
    /// The bytes are not a region.
    NotARegion = 13,
    /// The region has another layout version, or a feature this build lacks.
    LayoutMismatch = 14,
    /// The region lives at another base, or an option contradicts its superblock.
    OptionMismatch = 15,
    /// The region's file is shorter than its superblock says.
    Truncated = 16,
    /// The region is still in use.
    InUse = 17,
    /// The region belongs to another user.
    NotYours = 18,
    /// Something else is mapped where the region must be.
    AddressTaken = 19,
    /// The memory behind the region went away while it was mapped.
    RegionLost = 20,
    /// A structure of the region does not check.
    Corrupt = 21,
    /// The machine cannot provide the memory asked for.
    NoMemory = 22,
    /// Only the region's owner may do this.
    NotOwner = 23,
    /// The region was opened read-only.
    ReadOnly = 24,

    /// The region has no room for the allocation.
    RegionFull = 30,
    /// The pointer does not belong to this heap.
    ForeignPointer = 31,
    /// The extent was freed before.
    DoubleFree = 32,

    /// A table of that name is published already.
    NameTaken = 40,
    /// No table of that name is published.
    NameNotFound = 41,
    /// The catalog has no room for another name.
    CatalogFull = 42,
    /// The process holds as many leases as the region has room for.
    LeasesFull = 43,
    /// The region has no free process slot.
    MembersFull = 44,
    /// What the reference names was reclaimed.
    Stale = 45,
    /// The deadline passed first.
    TimedOut = 46,
    /// Arrow data that breaks the Arrow format.
    BadArrow = 47,
    /// A file that is not what it is said to be.
    BadFile = 48,
    /// Not possible on this device, machine or build.
    Unsupported = 49,

    /// The handle was closed.
    Closed = 50,
    /// The handle belongs to the process this one was forked from.
    Forked = 51,
    /// This node was declared off by an operator; its leases count no more.
    Fenced = 52,
    /// The simulated link found a line that was not written back, or an old one that was used.
    Incoherent = 53,

    /// A system call failed.
    System = 60,
    /// A fault of the library itself.
    Internal = 61,
}

/// An error of this crate.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    errno: i32,
    message: String,
}

impl Error {
    /// An error of `kind`; `message` names the thing, the value and what to do.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, errno: 0, message: message.into() }))
    }

    /// A failed system call: `call` is the call with its arguments.
    ///
    /// The kind follows from `errno` where that is plain (no permission, no
    /// memory), and is [`ErrorKind::System`] otherwise.
    #[must_use]
    pub fn system(call: impl fmt::Display, errno: i32) -> Self {
        let kind = match errno {
            libc::EACCES | libc::EPERM => ErrorKind::PermissionDenied,
            libc::ENOMEM | libc::ENOSPC => ErrorKind::NoMemory,
            _ => ErrorKind::System,
        };
        let text = std::io::Error::from_raw_os_error(errno);
        Self(Box::new(Inner { kind, errno, message: format!("{call}: {text}") }))
    }

    /// The same error with another kind.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The same error, its sentence led in by what was being done.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.0.message = format!("{what}: {}", self.0.message);
        self
    }

    /// The same error, its sentence followed by what to do.
    #[must_use]
    pub fn hint(mut self, what: impl fmt::Display) -> Self {
        self.0.message = format!("{}; {what}", self.0.message);
        self
    }

    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The system's error number, or 0 where no system call failed.
    #[must_use]
    pub fn errno(&self) -> i32 {
        self.0.errno
    }

    /// The sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind.name(), self.0.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_nonzero() {
        let mut codes: Vec<i32> = ErrorKind::ALL.iter().map(|k| k.code()).collect();
        assert!(codes.iter().all(|&c| c > 0));
        assert!(codes.is_sorted());
        codes.dedup();
        assert_eq!(codes.len(), ErrorKind::ALL.len());
    }

    #[test]
    fn an_error_keeps_its_errno_through_context_and_hint() {
        let e = Error::system("open(\"/x\")", libc::EACCES).context("region \"x\"").hint("ask its owner");
        assert_eq!((e.kind(), e.errno()), (ErrorKind::PermissionDenied, libc::EACCES));
        assert_eq!(
            e.to_string(),
            "region \"x\": open(\"/x\"): Permission denied (os error 13); ask its owner"
        );
    }
}
