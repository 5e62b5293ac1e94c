//! Writes down each activity for one process and one link: where the write-backs, invalidations and
//! fences stand. This is what the real code has to follow.

use crate::config::{Config, Mutation, Order};
use crate::program::{At, Op, Word};

/// Writes programs, leaving out the cache work that the link does not ask of this process.
pub(crate) struct Writer<'a> {
    config: &'a Config,
    p: usize,
    pub(crate) ops: Vec<Op>,
    queued: bool,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(config: &'a Config, p: usize) -> Self {
        Self { config, p, ops: Vec::new(), queued: false }
    }

    fn has(&self, mutation: Mutation) -> bool {
        !self.config.lacks(mutation)
    }

    fn cached(&self) -> bool {
        self.config.has_cache(self.p)
    }

    fn remote(&self) -> bool {
        self.config.is_borrower(self.p)
    }

    /// Whether this process may find itself fenced.
    fn looks_at_mark(&self) -> bool {
        self.remote() && self.config.fences()
    }

    fn store(&mut self, at: At, word: Word) {
        self.ops.push(Op::Store(at, word));
    }

    fn write_back(&mut self, at: At) {
        if self.cached() {
            self.ops.push(Op::WriteBack(at));
            self.queued = true;
        }
    }

    fn invalidate(&mut self, at: At) {
        if self.cached() {
            self.ops.push(Op::Invalidate(at));
            self.queued = true;
        }
    }

    fn fence(&mut self) {
        if self.queued || !self.cached() {
            self.ops.push(Op::Fence);
            self.queued = false;
        }
    }

    /// The fence between an invalidation and the load that wants it; a coherent node needs none.
    fn fence_of_cache(&mut self) {
        if self.cached() {
            self.fence();
        }
    }

    pub(crate) fn open(&mut self) {
        if self.remote() {
            self.invalidate(At::Commit);
            if !self.has(Mutation::NoStagedAcquire) {
                self.invalidate(At::Tables);
            }
        }
        self.fence();
        self.ops.push(Op::Look);
        if !self.remote() && self.has(Mutation::NoHelpHome) {
            self.write_back(At::Commit);
            self.fence_of_cache();
        }
        self.ops.extend([Op::Found, Op::ReadRecord]);
        match self.config.order {
            Order::LeaseFirst => {
                self.lease();
                self.ops.push(Op::Opened);
                self.acquire();
            }
            Order::AcquireFirst => {
                self.acquire();
                self.lease();
                self.ops.push(Op::Opened);
            }
        }
        self.read_and_check();
        self.ops.push(Op::Close);
        self.store(At::OwnLease, Word::Zero);
        if self.has(Mutation::NoWriteBackClose) {
            if self.remote() {
                self.write_back(At::OwnLease);
            }
            self.fence();
        }
    }

    /// Everything that was read must have been read before the mark's line is dropped. A node's cache is
    /// modelled with loads in order: there, a missing fence is an invalidation that overtakes the read.
    fn read_and_check(&mut self) {
        let checks = self.looks_at_mark() && self.has(Mutation::NoCheck);
        if checks && self.has(Mutation::NoFenceCheck) {
            self.ops.push(Op::ReadData);
            self.fence();
        }
        if checks && self.has(Mutation::NoInvalidateCheck) {
            self.invalidate(At::Mark);
        }
        if !checks || !self.has(Mutation::NoFenceCheck) {
            self.ops.push(Op::ReadData);
        }
        if checks {
            self.fence_of_cache();
            self.ops.push(Op::CheckMark);
        }
    }

    fn look_at_mark(&mut self) {
        if self.looks_at_mark() && self.has(Mutation::NoMarkAtOpen) {
            self.ops.push(Op::LookMark);
        }
    }

    fn lease(&mut self) {
        if self.looks_at_mark() && !self.has(Mutation::MarkBeforeLease) {
            self.invalidate(At::Mark);
            self.fence_of_cache();
            self.look_at_mark();
        }
        self.store(At::OwnLease, Word::Place);
        if self.remote() && self.has(Mutation::NoWriteBackLease) {
            self.write_back(At::OwnLease);
        }
        if self.has(Mutation::NoStoreLoadFenceReader) {
            self.fence();
        }
        if self.has(Mutation::NoSecondLook) {
            if self.remote() && self.has(Mutation::NoInvalidateSecondLook) {
                self.invalidate(At::Commit);
            }
            if self.looks_at_mark() && self.has(Mutation::NoInvalidateMarkAtOpen) {
                self.invalidate(At::Mark);
            }
            self.fence_of_cache();
            self.ops.push(Op::LookAgain);
            if self.has(Mutation::MarkBeforeLease) {
                self.look_at_mark();
            }
        }
    }

    fn acquire(&mut self) {
        if self.has(Mutation::NoStagedAcquire) {
            if self.remote() {
                self.invalidate(At::Descriptor);
                self.invalidate(At::Data);
            }
            self.fence();
        }
        self.ops.push(Op::CheckDescriptor);
    }

    pub(crate) fn enter(&mut self) {
        self.ops.push(Op::Lock);
        if self.has(Mutation::NoHelpHome) {
            self.write_back(At::Commit);
            self.fence_of_cache();
        }
        self.ops.push(Op::Choose);
    }

    fn build(&mut self) {
        self.ops.push(Op::Claim);
        self.store(At::Descriptor, Word::Generation);
        self.store(At::Data, Word::Generation);
        self.store(At::Record, Word::Place);
        self.write_back(At::Descriptor);
        if self.has(Mutation::NoWriteBackData) {
            self.write_back(At::Data);
        }
        if self.has(Mutation::NoReleaseFence) {
            self.fence();
        }
    }

    pub(crate) fn publish(&mut self) {
        self.build();
        self.store(At::Commit, Word::Live);
        self.write_back(At::Commit);
        self.fence();
    }

    pub(crate) fn replace(&mut self) {
        self.build();
        self.retire(Word::Live);
    }

    pub(crate) fn remove(&mut self) {
        self.retire(Word::Empty);
    }

    fn retire(&mut self, word: Word) {
        if self.has(Mutation::RetireAfterSwing) {
            self.ops.push(Op::PushRetired);
        }
        self.store(At::Commit, word);
        self.write_back(At::Commit);
        if self.has(Mutation::NoStoreLoadFenceOwner) {
            self.fence();
        }
        if !self.has(Mutation::RetireAfterSwing) {
            self.ops.push(Op::PushRetired);
        }
        self.scan();
    }

    pub(crate) fn scan(&mut self) {
        if self.has(Mutation::NoInvalidateLeases) {
            self.invalidate(At::BorrowerLeases);
            if self.has(Mutation::NoInvalidateIncarnation) {
                self.invalidate(At::Incarnation);
            }
        }
        let helps = self.has(Mutation::NoHelpMark) && self.has(Mutation::NoWriteBackMark);
        if self.config.fences() && helps {
            self.write_back(At::Mark);
        }
        self.fence_of_cache();
        // Only an owner that has ground to void leases needs to look which incarnation they are of.
        if self.config.fences() {
            self.ops.push(Op::ScanMark);
        }
        let voids = [Mutation::VoidByIncarnation, Mutation::NoQuarantine];
        if self.config.fences() || voids.contains(&self.config.mutation) {
            self.ops.push(Op::ScanIncarnation);
        }
        let readers = usize::from(self.config.owners)..self.config.procs();
        self.ops.extend(readers.map(Op::Scan));
        self.ops.push(Op::Reclaim);
    }

    pub(crate) fn fence_node(&mut self) {
        self.invalidate(At::Incarnation);
        self.fence_of_cache();
        self.ops.push(Op::ReadIncarnation);
        self.store(At::Mark, Word::Bound);
        if self.has(Mutation::NoWriteBackFence) {
            if self.has(Mutation::NoWriteBackMark) {
                self.write_back(At::Mark);
            }
            self.fence();
        }
        self.ops.push(Op::Fenced);
    }

    pub(crate) fn reap(&mut self) {
        if !self.has(Mutation::NoHelpHome) {
            self.ops.push(Op::LookAtDead);
        }
        self.store(At::DeadLease, Word::Zero);
        self.write_back(At::DeadLease);
        self.fence();
        self.ops.push(Op::Reaped);
    }

    /// The slot's last holder is dead, whatever the mark says: its lease is cleared first.
    pub(crate) fn join(&mut self) {
        self.store(At::OwnLease, Word::Zero);
        self.write_back(At::OwnLease);
        if self.has(Mutation::NoHelpHome) {
            self.write_back(At::Incarnation);
        }
        if self.looks_at_mark() {
            self.invalidate(At::Mark);
        }
        self.fence();
        if self.looks_at_mark() {
            self.ops.push(Op::JoinMark);
        }
    }

    pub(crate) fn rejoin(&mut self) {
        if self.has(Mutation::NoRejoinClear) && self.has(Mutation::AnnounceBeforeClear) {
            self.clear_leases();
        }
        self.store(At::Incarnation, Word::NextIncarnation);
        if self.has(Mutation::NoWriteBackIncarnation) {
            self.write_back(At::Incarnation);
        }
        self.fence();
        if !self.has(Mutation::AnnounceBeforeClear) {
            self.clear_leases();
        }
    }

    fn clear_leases(&mut self) {
        let leases = if self.has(Mutation::ClearOwnOnly) { At::BorrowerLeases } else { At::OwnLease };
        self.store(leases, Word::Zero);
        self.write_back(leases);
        if self.has(Mutation::ClearAndAnnounce) {
            self.fence();
        }
    }
}
