//! Handles: what C holds of an object, and how a stale one is told from a live one.
//!
//! A handle looks like a pointer and is none: it is the number of a slot and the slot's generation. It is
//! looked up, never dereferenced, so that closing twice, using after a close and passing one kind of handle
//! for another are errors. Slots are never unmapped, and a generation never comes back.
//!
//! A lookup must be cheap, since every allocation of Arrow makes one, and must hold the object while
//! another thread closes the handle. So each slot counts its readers: a lookup counts itself in, then looks
//! at the generation; a close ends the generation, then waits until nobody is counted any more. (Both steps
//! are sequentially consistent, so one of the two sees the other.) The count is spread over several lines,
//! of which a thread takes the one its stack address falls on: two threads seldom share one, and a lookup is
//! two uncontended atomic additions, about 4 ns. What takes long must not run inside: it clones the object.
//!
//! Everything here is lock-free because a fork may catch any thread anywhere. A child finds the parent's
//! handles forked, leaves their slots alone, and can open regions of its own.

#![expect(clippy::cast_possible_truncation, reason = "words are cut into the fields they are made of")]

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use csm::{Error, ErrorKind, Result};

use crate::fork;

const INDEX_BITS: u32 = 20;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;
const KIND_SHIFT: u32 = 52;
/// The upper byte of every handle: no user address has it.
const TAG: u64 = 0xC5 << 56;

const CHUNK_SLOTS: usize = 64;
const CHUNKS: usize = (1 << INDEX_BITS) / CHUNK_SLOTS;
const SHARDS: usize = 16;

/// A type of handle: an opaque C type, the object behind it, and the table of these.
pub(crate) trait Handle: Sized + 'static {
    type Object: Send + Sync;
    /// Unique among the handles, below 16.
    const KIND: u64;
    /// The C name, for messages.
    const NAME: &'static str;
    fn handles() -> &'static Handles<Self::Object>;
}

/// A count of readers on a line of its own.
#[repr(align(64))]
struct Readers(AtomicU32);

struct Slot<T> {
    /// The fork count the object was made under in the upper half, the generation in the lower one. An odd
    /// generation is a live object, an even one a free slot.
    state: AtomicU64,
    /// While free: the next free slot, plus one.
    next: AtomicU32,
    object: UnsafeCell<MaybeUninit<T>>,
    readers: [Readers; SHARDS],
}

// SAFETY: the object is written before its generation is published and taken out after the last reader
// left; in between it is shared, and only if its type allows that (Handle::Object).
unsafe impl<T: Send + Sync> Sync for Slot<T> {}

/// All slots of one kind of handle.
pub(crate) struct Handles<T> {
    chunks: [AtomicPtr<Slot<T>>; CHUNKS],
    /// Slots that were ever used.
    used: AtomicU32,
    /// The stack of free slots: a tag against reuse in the upper half, the first one plus one below.
    free: AtomicU64,
}

/// Counts a reader out.
struct Reading<'a>(&'a AtomicU32);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// The shard of this thread: stacks lie far apart.
fn shard() -> usize {
    let here = 0u8;
    let page = (&raw const here).addr() as u64 >> 16;
    (page.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60) as usize
}

fn generation_of(state: u64) -> u32 {
    state as u32
}

fn forks_of(state: u64) -> u32 {
    (state >> 32) as u32
}

impl<T: Send + Sync> Slot<T> {
    fn new() -> Self {
        Self {
            state: AtomicU64::new(0),
            next: AtomicU32::new(0),
            object: UnsafeCell::new(MaybeUninit::uninit()),
            readers: [const { Readers(AtomicU32::new(0)) }; SHARDS],
        }
    }

    fn read(&self) -> Reading<'_> {
        let readers = &self.readers[shard()].0;
        readers.fetch_add(1, Ordering::SeqCst);
        Reading(readers)
    }
}

impl<T: Send + Sync> Handles<T> {
    pub(crate) const fn new() -> Self {
        Self {
            chunks: [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS],
            used: AtomicU32::new(0),
            free: AtomicU64::new(0),
        }
    }

    fn slot(&self, index: u32) -> Option<&Slot<T>> {
        let chunk = self.chunks.get(index as usize / CHUNK_SLOTS)?.load(Ordering::Acquire);
        // SAFETY: a chunk is an array of CHUNK_SLOTS slots, whole when published and never freed.
        (!chunk.is_null()).then(|| unsafe { &*chunk.add(index as usize % CHUNK_SLOTS) })
    }

    /// The slot, its chunk made if need be.
    fn make_slot(&self, index: u32) -> Option<&Slot<T>> {
        let chunk = self.chunks.get(index as usize / CHUNK_SLOTS)?;
        if chunk.load(Ordering::Acquire).is_null() {
            let fresh: Box<[Slot<T>]> = (0..CHUNK_SLOTS).map(|_| Slot::new()).collect();
            let fresh = Box::into_raw(fresh);
            let raced =
                chunk.compare_exchange(ptr::null_mut(), fresh.cast(), Ordering::AcqRel, Ordering::Acquire);
            if raced.is_err() {
                // SAFETY: made above and not published.
                drop(unsafe { Box::from_raw(fresh) });
            }
        }
        self.slot(index)
    }

    fn pop_free(&self) -> Option<(u32, &Slot<T>)> {
        loop {
            let head = self.free.load(Ordering::Acquire);
            let index = (head as u32).checked_sub(1)?;
            let slot = self.slot(index)?;
            let rest = ((head >> 32).wrapping_add(1) << 32) | u64::from(slot.next.load(Ordering::Relaxed));
            if self.free.compare_exchange(head, rest, Ordering::AcqRel, Ordering::Acquire).is_err() {
                continue;
            }
            // A slot that was freed before a fork may have counted a reader that the child lacks.
            if forks_of(slot.state.load(Ordering::Relaxed)) == fork::count() {
                return Some((index, slot));
            }
        }
    }

    fn push_free(&self, index: u32, slot: &Slot<T>) {
        let mut head = self.free.load(Ordering::Relaxed);
        loop {
            slot.next.store(head as u32, Ordering::Relaxed);
            let new = ((head >> 32).wrapping_add(1) << 32) | u64::from(index + 1);
            match self.free.compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Stores an object; the index and generation it is found under.
    fn insert(&self, object: T) -> Option<(u32, u32)> {
        fork::watch();
        let (index, slot) = match self.pop_free() {
            Some(found) => found,
            None => {
                let index = self.used.fetch_add(1, Ordering::Relaxed);
                match self.make_slot(index) {
                    Some(slot) => (index, slot),
                    None => {
                        self.used.fetch_sub(1, Ordering::Relaxed);
                        return None;
                    }
                }
            }
        };
        let generation = generation_of(slot.state.load(Ordering::Relaxed)) + 1;
        // SAFETY: the slot is free and this call's alone; a reader with a stale handle looks at the
        // generation and goes away.
        unsafe { (*slot.object.get()).write(object) };
        slot.state.store(u64::from(fork::count()) << 32 | u64::from(generation), Ordering::SeqCst);
        Some((index, generation))
    }

    /// Calls `f` with each live object of this process.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&T)) {
        for index in 0..self.used.load(Ordering::Acquire) {
            let Some(slot) = self.slot(index) else { continue };
            let _reading = slot.read();
            let state = slot.state.load(Ordering::SeqCst);
            if generation_of(state) % 2 == 1 && forks_of(state) == fork::count() {
                // SAFETY: live when looked at, and held by the count of readers.
                f(unsafe { (*slot.object.get()).assume_init_ref() });
            }
        }
    }
}

/// Why a handle is refused.
enum Refused {
    Closed,
    Forked,
}

/// Splits a handle into slot and generation if it is of this kind at all.
fn find<H: Handle>(handle: *const H) -> Option<(u32, &'static Slot<H::Object>, u32)> {
    let bits = handle.addr() as u64;
    if bits & (u64::MAX << KIND_SHIFT) != TAG | H::KIND << KIND_SHIFT {
        return None;
    }
    let index = (bits & INDEX_MASK) as u32;
    Some((index, H::handles().slot(index)?, (bits >> INDEX_BITS) as u32))
}

fn check(state: u64, generation: u32) -> Result<(), Refused> {
    if generation_of(state) != generation {
        return Err(Refused::Closed);
    }
    if forks_of(state) != fork::count() { Err(Refused::Forked) } else { Ok(()) }
}

fn refuse<H: Handle>(refused: Refused, handle: *const H) -> Error {
    let name = H::NAME;
    if handle.is_null() {
        return Error::new(ErrorKind::InvalidArgument, format!("the {name} is NULL"));
    }
    match refused {
        Refused::Closed => Error::new(
            ErrorKind::Closed,
            format!(
                "{handle:p} is no open {name}: it was closed before, or never was one; use what the library gave, and nothing after its close"
            ),
        ),
        Refused::Forked => Error::new(
            ErrorKind::Forked,
            format!(
                "the {name} {handle:p} belongs to the process that this one was forked from; open the region again in this process"
            ),
        ),
    }
}

/// Makes a handle for `object`.
pub(crate) fn open<H: Handle>(object: H::Object) -> Result<*mut H> {
    let Some((index, generation)) = H::handles().insert(object) else {
        let text = format!("{} handles of the kind {} are open; close some", 1 << INDEX_BITS, H::NAME);
        return Err(Error::new(ErrorKind::NoMemory, text));
    };
    let bits = TAG | H::KIND << KIND_SHIFT | u64::from(generation) << INDEX_BITS | u64::from(index);
    Ok(ptr::without_provenance_mut(bits as usize))
}

/// Calls `f` with the object of a handle, which cannot be closed meanwhile: `f` must be short.
pub(crate) fn with<H: Handle, R>(handle: *const H, f: impl FnOnce(&H::Object) -> Result<R>) -> Result<R> {
    let Some((_, slot, generation)) = find(handle) else { return Err(refuse(Refused::Closed, handle)) };
    let _reading = slot.read();
    check(slot.state.load(Ordering::SeqCst), generation).map_err(|refused| refuse(refused, handle))?;
    // SAFETY: live when looked at, and held by the count of readers.
    f(unsafe { (*slot.object.get()).assume_init_ref() })
}

/// Ends a handle, once nobody is inside it, and gives back its object.
pub(crate) fn close<H: Handle>(handle: *const H) -> Result<H::Object> {
    let Some((index, slot, generation)) = find(handle) else { return Err(refuse(Refused::Closed, handle)) };
    let state = slot.state.load(Ordering::SeqCst);
    check(state, generation).map_err(|refused| refuse(refused, handle))?;
    if slot.state.compare_exchange(state, state + 1, Ordering::SeqCst, Ordering::SeqCst).is_err() {
        return Err(refuse(Refused::Closed, handle));
    }
    for readers in &slot.readers {
        while readers.0.load(Ordering::SeqCst) != 0 {
            std::thread::yield_now();
        }
    }
    // SAFETY: this call alone ended the generation, and the last reader has left.
    let object = unsafe { (*slot.object.get()).assume_init_read() };
    // A slot whose generations are used up stays closed for good.
    if generation != u32::MAX {
        H::handles().push_free(index, slot);
    }
    Ok(object)
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "tests")]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Barrier};

    use super::*;

    struct Tested;

    impl Handle for Tested {
        type Object = Arc<AtomicBool>;
        const KIND: u64 = 15;
        const NAME: &'static str = "tested_t";
        fn handles() -> &'static Handles<Self::Object> {
            static HANDLES: Handles<Arc<AtomicBool>> = Handles::new();
            &HANDLES
        }
    }

    #[test]
    fn a_close_waits_for_who_is_inside_and_lets_nobody_else_in() {
        let left = Arc::new(AtomicBool::new(false));
        let handle = open::<Tested>(left.clone()).expect("open").addr();
        let inside = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let handle = ptr::without_provenance::<Tested>(handle);
                with(handle, |object| {
                    inside.wait();
                    // The close has begun once the handle opens no more.
                    while with(handle, |_| Ok(())).is_ok() {}
                    object.store(true, Ordering::Relaxed);
                    Ok(())
                })
                .expect("the handle was open");
            });
            inside.wait();
            let object = close(ptr::without_provenance::<Tested>(handle)).expect("close");
            assert!(object.load(Ordering::Relaxed), "closed under a reader");
            assert_eq!(Arc::strong_count(&left), 2);
        });
    }

    #[test]
    fn a_slot_whose_generations_are_used_up_is_not_used_again() {
        static HANDLES: Handles<u8> = Handles::new();
        let (index, generation) = HANDLES.insert(1).expect("room");
        let slot = HANDLES.slot(index).expect("slot");
        assert_eq!((index, generation), (0, 1));
        slot.state.store(u64::from(u32::MAX - 1), Ordering::Relaxed);
        HANDLES.push_free(index, slot);
        assert_eq!(HANDLES.insert(2), Some((0, u32::MAX)));
        assert_eq!(HANDLES.insert(3), Some((1, 1)), "another slot");
    }

    #[test]
    fn free_slots_are_used_in_any_order_and_chunks_added() {
        static HANDLES: Handles<usize> = Handles::new();
        let all: Vec<_> = (0..3 * CHUNK_SLOTS).map(|i| HANDLES.insert(i).expect("room")).collect();
        let mut seen = Vec::new();
        HANDLES.for_each(|object| seen.push(*object));
        assert_eq!(seen, (0..3 * CHUNK_SLOTS).collect::<Vec<_>>());
        for &(index, _) in all.iter().step_by(2) {
            let slot = HANDLES.slot(index).expect("slot");
            slot.state.fetch_add(1, Ordering::Relaxed);
            HANDLES.push_free(index, slot);
        }
        let again: Vec<_> = (0..all.len() / 2).map(|_| HANDLES.insert(7).expect("room")).collect();
        assert!(again.iter().all(|(index, generation)| index % 2 == 0 && *generation == 3));
        assert_eq!(HANDLES.insert(8), Some((3 * CHUNK_SLOTS as u32, 1)));
    }
}
