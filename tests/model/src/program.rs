//! The protocol, written down: each activity as the list of its micro-steps, in the order in which
//! the real code has to take them. A mutation is a step that is missing here.

use crate::config::{Config, Mutation, Order};

/// One micro-step. A process may be stopped, for a while or for good, before each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Waits until everything this process has written back or invalidated is done ("fence" and
    /// `drain()` together). On a coherent node: a full fence.
    Fence,
    /// Queues a write-back.
    WriteBack(At),
    /// Queues an invalidation.
    Invalidate(At),
    /// Stores a word.
    Store(At, Word),

    /// Reader: reads the commit word.
    Look,
    /// Reader: ends here when that named no table.
    Found,
    /// Reader: reads where the table lies.
    ReadRecord,
    /// Reader: reads the commit word again; another one means: give the lease back.
    LookAgain,
    /// Reader: from here to its `Close` the table is its to read.
    Opened,
    /// Reader: copies the descriptor out and checks the copy.
    CheckDescriptor,
    /// Reader: reads the data.
    ReadData,
    /// Reader: from here on it reads no more; failed opens go on here too.
    Close,

    /// Owner: takes the catalog lock, from a dead holder if need be, and then recovers.
    Lock,
    /// Owner: decides what to do.
    Choose,
    /// Owner: takes the place from the heap.
    Claim,
    /// Owner: puts the published table on the retired list.
    PushRetired,
    /// Owner: reads the borrower node's incarnation.
    ScanIncarnation,
    /// Owner: reads the lease word of one process.
    Scan(usize),
    /// Owner: gives back the retired places that no lease named.
    Reclaim,
    /// Owner: drops the catalog lock (with release order).
    Unlock,

    /// Reaper: looks at the dead process's lease word.
    LookAtDead,
    /// Reaper: that one is dealt with.
    Reaped,

    /// The activity is over.
    End,
}

/// What an operation works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The line of the catalog slot; stores change its commit word.
    Commit,
    /// The record in it that is for the generation at hand.
    Record,
    /// The descriptor of the place at hand.
    Descriptor,
    /// The data of the place at hand.
    Data,
    /// Descriptor and data of all places.
    Tables,
    /// This process's own lease word.
    OwnLease,
    /// The lease word of the dead process being reaped.
    DeadLease,
    /// The lease words of all processes of the borrower node.
    BorrowerLeases,
    /// The incarnation of the borrower node.
    Incarnation,
}

/// What is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Zero.
    Zero,
    /// The generation at hand.
    Generation,
    /// The name of the place at hand.
    Place,
    /// The commit word that names the generation at hand.
    Live,
    /// The commit word after that.
    Empty,
    /// One: the second incarnation.
    One,
}

/// What a process may be busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Activity {
    /// Nothing.
    Idle,
    /// Open, read, close.
    Open,
    /// Take the catalog lock and decide.
    Enter,
    /// Publish a table where there is none.
    Publish,
    /// Publish a table in place of another.
    Replace,
    /// Remove the table.
    Remove,
    /// Look whether retired tables can be given back.
    Reclaim,
    /// Drop the catalog lock.
    Leave,
    /// Clear the lease of a dead process of the same node.
    Reap,
    /// Take a member slot.
    Join,
    /// The same as first process of a rebooted node.
    Rejoin,
}

/// The programs of one process.
pub(crate) struct Programs(Vec<(Activity, Vec<Op>)>);

impl Programs {
    /// Writes down what process `p` does.
    pub(crate) fn new(config: &Config, p: usize) -> Self {
        use Activity::{Enter, Join, Leave, Open, Publish, Reap, Reclaim, Rejoin, Remove, Replace};
        let all = [Open, Enter, Publish, Replace, Remove, Reclaim, Leave, Reap, Join, Rejoin];
        let write = |activity| {
            let mut writer = Writer { config, p, ops: Vec::new(), queued: false };
            match activity {
                Open => writer.open(),
                Enter => writer.enter(),
                Publish => writer.publish(),
                Replace => writer.replace(),
                Remove => writer.remove(),
                Reclaim => writer.scan(),
                Reap => writer.reap(),
                Join => writer.join(),
                Rejoin => writer.rejoin(),
                Leave | Activity::Idle => {}
            }
            if matches!(activity, Publish | Replace | Remove | Reclaim | Leave) {
                writer.ops.push(Op::Unlock);
            }
            writer.ops.push(Op::End);
            (activity, writer.ops)
        };
        Self(all.into_iter().map(write).collect())
    }

    /// The steps of an activity; an idle process has none.
    pub(crate) fn ops(&self, activity: Activity) -> &[Op] {
        self.0.iter().find(|(name, _)| *name == activity).map_or(&[], |(_, ops)| ops)
    }
}

/// Writes programs, leaving out the cache work that the link does not ask of this process.
struct Writer<'a> {
    config: &'a Config,
    p: usize,
    ops: Vec<Op>,
    queued: bool,
}

impl Writer<'_> {
    fn has(&self, mutation: Mutation) -> bool {
        !self.config.lacks(mutation)
    }

    fn cached(&self) -> bool {
        self.config.has_cache(self.p)
    }

    fn remote(&self) -> bool {
        self.config.is_borrower(self.p)
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

    fn open(&mut self) {
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
        self.ops.extend([Op::ReadData, Op::Close]);
        self.store(At::OwnLease, Word::Zero);
        if self.has(Mutation::NoWriteBackClose) {
            if self.remote() {
                self.write_back(At::OwnLease);
            }
            self.fence();
        }
    }

    fn lease(&mut self) {
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
            self.fence_of_cache();
            self.ops.push(Op::LookAgain);
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

    fn enter(&mut self) {
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

    fn publish(&mut self) {
        self.build();
        self.store(At::Commit, Word::Live);
        self.write_back(At::Commit);
        self.fence();
    }

    fn replace(&mut self) {
        self.build();
        self.retire(Word::Live);
    }

    fn remove(&mut self) {
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

    fn scan(&mut self) {
        if self.has(Mutation::NoInvalidateLeases) {
            self.invalidate(At::BorrowerLeases);
            self.invalidate(At::Incarnation);
        }
        self.fence_of_cache();
        // Only an owner that has ground to void leases needs to look which incarnation they are of.
        let voids = [Mutation::VoidByIncarnation, Mutation::NoQuarantine];
        if self.config.faults.detach || voids.contains(&self.config.mutation) {
            self.ops.push(Op::ScanIncarnation);
        }
        let readers = usize::from(self.config.owners)..self.config.procs();
        self.ops.extend(readers.map(Op::Scan));
        self.ops.push(Op::Reclaim);
    }

    fn reap(&mut self) {
        if !self.has(Mutation::NoHelpHome) {
            self.ops.push(Op::LookAtDead);
        }
        self.store(At::DeadLease, Word::Zero);
        self.write_back(At::DeadLease);
        self.fence();
        self.ops.push(Op::Reaped);
    }

    fn join(&mut self) {
        self.store(At::OwnLease, Word::Zero);
        self.write_back(At::OwnLease);
        if self.has(Mutation::NoHelpHome) {
            self.write_back(At::Incarnation);
        }
        self.fence();
    }

    fn rejoin(&mut self) {
        if self.has(Mutation::NoRejoinClear) {
            self.store(At::BorrowerLeases, Word::Zero);
            self.write_back(At::BorrowerLeases);
            self.fence();
        }
        self.store(At::Incarnation, Word::One);
        if self.has(Mutation::NoWriteBackIncarnation) {
            self.write_back(At::Incarnation);
        }
        self.fence();
    }
}
