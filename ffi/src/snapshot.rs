//! Lists: what was so when it was read, to be looked at entry by entry.

use csm::{Error, ErrorKind, Result};

use crate::boundary::Arg;
use crate::handle::{self, Handle};
use crate::options::CStruct;

/// Makes a handle of what was read.
pub(crate) fn open<H: Handle<Object = Vec<T>>, T>(entries: Vec<T>, place: &Arg<*mut *mut H>) -> Result<()> {
    place.place()?.set(handle::open(entries)?);
    Ok(())
}

/// How many entries there are; 0 where there is no list.
pub(crate) fn len<H: Handle<Object = Vec<T>>, T>(list: &Arg<*const H>) -> u64 {
    list.with(|entries| Ok(entries.len() as u64)).unwrap_or(0)
}

/// Writes an entry out.
pub(crate) fn entry<H: Handle<Object = Vec<T>>, T, C: CStruct + for<'a> From<&'a T>>(
    list: &Arg<*const H>,
    index: &Arg<u64>,
    out: &Arg<*mut C>,
) -> Result<()> {
    let room = out.room()?;
    let found = list.with(|entries| {
        let at = usize::try_from(index.value).ok();
        let entry = at.and_then(|at| entries.get(at)).ok_or_else(|| {
            let text = format!("there is no entry {}, the list has {}", index.value, entries.len());
            Error::new(ErrorKind::InvalidArgument, text)
        })?;
        Ok(C::from(entry))
    })?;
    room.fill(&found);
    Ok(())
}
