//! The lock among the processes of a node, under a scheduler that tries interleavings.
//!
//! `driver/src/region/lock.rs` is compiled here as it stands, on words whose every access is a choice of the
//! scheduler, and with a futex that returns at once: a lost wake is not seen here, only what the lock promises without it.
#![allow(dead_code, reason = "the lock's neighbours are compiled as they stand")]

#[path = "../../../driver/src/error.rs"]
pub mod error;

#[path = "../../../driver/src/region"]
mod region {
    pub(crate) mod lock;

    pub(crate) mod word {
        use shuttle::sync::atomic::{AtomicU64, Ordering};

        #[derive(Debug)]
        pub(crate) struct Word(pub(crate) AtomicU64);

        impl Word {
            pub(crate) fn load(&self) -> u64 {
                self.0.load(Ordering::Acquire)
            }
            pub(crate) fn replace(&self, old: u64, new: u64) -> bool {
                self.0.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire).is_ok()
            }
            pub(crate) fn swap(&self, value: u64) -> u64 {
                self.0.swap(value, Ordering::AcqRel)
            }
            pub(crate) fn as_ptr(&self) -> *const u64 {
                std::ptr::null()
            }
        }
    }
}

mod sys {
    pub(crate) mod futex {
        use std::time::Duration;

        pub(crate) fn wait_low(_word: *const u64, _expected: u64, _at_most: Duration) {
            shuttle::thread::yield_now();
        }
        pub(crate) fn wake_low(_word: *const u64, _count: i32) {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shuttle::sync::Arc;
    use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use shuttle::thread;

    use super::region::lock::{Holder, lock};
    use super::region::word::Word;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// The lock, what it protects, and who is dead.
    struct Shared {
        word: Word,
        inside: AtomicBool,
        /// Stored and loaded, never added to: a second holder would lose an update.
        count: AtomicU64,
        dead: [AtomicBool; 4],
        takeovers: AtomicU64,
    }

    struct Process {
        slot: u16,
        shared: Arc<Shared>,
    }

    impl Holder for Process {
        fn identity(&self) -> (u16, u32) {
            (self.slot, 1)
        }
        fn is_alive(&self, slot: u16, epoch: u32) -> bool {
            epoch == 1 && !self.shared.dead[usize::from(slot)].load(Ordering::SeqCst)
        }
        fn describe(&self, slot: u16) -> String {
            format!("process {slot}")
        }
    }

    fn shared() -> Arc<Shared> {
        Arc::new(Shared {
            word: Word(AtomicU64::new(0)),
            inside: AtomicBool::new(false),
            count: AtomicU64::new(0),
            dead: [const { false }; 4].map(AtomicBool::new),
            takeovers: AtomicU64::new(0),
        })
    }

    fn enter(process: &Process) {
        let shared = &process.shared;
        let guard = lock(&shared.word, process, PATIENCE).expect("lock");
        shared.takeovers.fetch_add(u64::from(guard.recovered), Ordering::SeqCst);
        assert!(!shared.inside.swap(true, Ordering::SeqCst), "two holders");
        let count = shared.count.load(Ordering::SeqCst);
        shared.count.store(count + 1, Ordering::SeqCst);
        shared.inside.store(false, Ordering::SeqCst);
        drop(guard);
    }

    #[test]
    fn one_holder_at_a_time() {
        shuttle::check_random(
            || {
                let shared = shared();
                let enter_twice = |slot| {
                    let process = Process { slot, shared: shared.clone() };
                    thread::spawn(move || (0..2).for_each(|_| enter(&process)))
                };
                let threads: Vec<_> = (0..3).map(enter_twice).collect();
                threads.into_iter().for_each(|thread| thread.join().expect("thread"));
                assert_eq!(shared.count.load(Ordering::SeqCst), 6);
                assert_eq!(shared.takeovers.load(Ordering::SeqCst), 0);
                assert_eq!(shared.word.load(), 0);
            },
            300,
        );
    }

    #[test]
    fn one_taker_over_from_the_dead() {
        shuttle::check_random(
            || {
                let shared = shared();
                let victim = Process { slot: 3, shared: shared.clone() };
                let dies = thread::spawn(move || {
                    std::mem::forget(lock(&victim.shared.word, &victim, PATIENCE).expect("lock"));
                    victim.shared.dead[3].store(true, Ordering::SeqCst);
                });
                let enter_once = |slot| {
                    let process = Process { slot, shared: shared.clone() };
                    thread::spawn(move || enter(&process))
                };
                let threads: Vec<_> = (0..3).map(enter_once).chain([dies]).collect();
                threads.into_iter().for_each(|thread| thread.join().expect("thread"));
                enter(&Process { slot: 0, shared: shared.clone() });
                assert_eq!(shared.count.load(Ordering::SeqCst), 4);
                assert_eq!(shared.takeovers.load(Ordering::SeqCst), 1, "exactly one is told to repair");
            },
            300,
        );
    }
}
