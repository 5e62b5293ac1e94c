//! Structs that may grow: each begins with `struct_size`, which the caller sets to what its compiler saw.
//!
//! Options that are shorter than ours are filled up with zeroes, which always mean the default. Longer ones
//! come from a newer header: what we do not know must be zero, or we would ignore what was asked for.
//! Results are written as far as the caller has room, and zeroes beyond what we know.

use std::mem::MaybeUninit;
use std::ptr;

use csm::Result;

use crate::boundary::Arg;

/// No struct will ever be larger than this, so a larger `struct_size` was not set.
const STRUCT_BYTES_MAX: u64 = 4096;
const SIZE_BYTES: usize = size_of::<u64>();

/// A struct of the C ABI that begins with `struct_size`.
///
/// # Safety
/// `repr(C)`, aligned to 8, the first field is `struct_size: u64`, there is no padding, and all zeroes are
/// a value.
pub(crate) unsafe trait CStruct: Copy {
    const NAME: &'static str;
}

macro_rules! c_structs {
    ($($type:ident),*) => {$(
        // SAFETY: as the trait asks; that there is no padding shows in the fields.
        unsafe impl $crate::options::CStruct for $type {
            const NAME: &'static str = stringify!($type);
        }
    )*};
}
pub(crate) use c_structs;

fn struct_size<T: CStruct>(arg: &Arg<*const T>) -> Result<usize> {
    let name = T::NAME;
    if !arg.value.is_aligned() {
        return Err(arg.invalid(format_args!("{:p} is not aligned to {} bytes", arg.value, align_of::<T>())));
    }
    // SAFETY: every struct of this sort begins with its size, and Arg vouches for the pointer.
    let struct_size = unsafe { arg.value.cast::<u64>().read() };
    if struct_size < SIZE_BYTES as u64 || struct_size > STRUCT_BYTES_MAX {
        let why = format_args!(
            "its struct_size is {struct_size}; set it to sizeof({name}), which is {}",
            size_of::<T>()
        );
        return Err(arg.invalid(why));
    }
    Ok(usize::try_from(struct_size).unwrap_or(usize::MAX))
}

impl<T: CStruct> Arg<*const T> {
    /// The options, or None for NULL.
    pub(crate) fn options(&self) -> Result<Option<T>> {
        if self.value.is_null() {
            return Ok(None);
        }
        let given = struct_size(self)?;
        let bytes = self.value.cast::<u8>();
        // SAFETY: Arg vouches for as many bytes as the struct says it has.
        let beyond = (size_of::<T>()..given).find(|&at| unsafe { bytes.add(at).read() } != 0);
        if let Some(at) = beyond {
            let why = format!(
                "it has {given} bytes, of which byte {at} is set; this libcsm knows {} bytes of {}: use the library that goes with the header",
                size_of::<T>(),
                T::NAME
            );
            return Err(self.invalid(why));
        }
        let mut options = MaybeUninit::<T>::zeroed();
        // SAFETY: `given` bytes are there; zeroes fill up what is missing, and are a value.
        unsafe {
            ptr::copy_nonoverlapping(bytes, options.as_mut_ptr().cast(), given.min(size_of::<T>()));
            Ok(Some(options.assume_init()))
        }
    }

    /// A field that says yes or no.
    pub(crate) fn flag(&self, field: &str, value: u32) -> Result<bool> {
        match value {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.invalid(format_args!("{field} is {other}; set it to 0 or 1"))),
        }
    }
}

/// Room for a result struct.
pub(crate) struct Room<T> {
    at: *mut u8,
    len: usize,
    marker: std::marker::PhantomData<T>,
}

impl<T: CStruct> Arg<*mut T> {
    /// The room for a result. Asked for first, so that nothing is done in vain.
    pub(crate) fn room(&self) -> Result<Room<T>> {
        let at = self.place()?.as_ptr();
        // SAFETY: the same argument, read before it is written.
        let readable = unsafe { Arg::new(at.cast_const(), self.name()) };
        Ok(Room { at: at.cast(), len: struct_size(&readable)?, marker: std::marker::PhantomData })
    }
}

impl<T: CStruct> Room<T> {
    /// Writes the result, except for its `struct_size`, which stays the caller's.
    pub(crate) fn fill(self, value: &T) {
        let known = self.len.min(size_of::<T>());
        // SAFETY: Arg vouches for `len` bytes, and `T` has no padding.
        unsafe {
            let from = ptr::from_ref(value).cast::<u8>();
            ptr::copy_nonoverlapping(from.add(SIZE_BYTES), self.at.add(SIZE_BYTES), known - SIZE_BYTES);
            ptr::write_bytes(self.at.add(known), 0, self.len - known);
        }
    }
}
