//! What is checked: the link, who takes part, what may go wrong, and which step is taken out.

/// What the memory between the two nodes is like: which of them sees it through a cache of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// One coherent memory (`shm`). What remains are the store buffer and the early loads of each
    /// processor, as weak as on ARM and POWER.
    Coherent,
    /// Home is the owner's own memory and answers from its coherent host (ThymesisFlow): only the
    /// borrower has a cache that nobody keeps coherent.
    Lender,
    /// Memory outside both hosts: both nodes have such a cache.
    Incoherent,
}

/// In which order a reader takes the two halves of open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Look, lease, look again, and only then acquire descriptor and data.
    LeaseFirst,
    /// Look, acquire descriptor and data, lease, look again.
    AcquireFirst,
}

/// What is left out of, or done wrong in, the protocol. `None` is the protocol itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// The protocol as it stands.
    None,
    /// Open does not read the commit word again after the lease is home.
    NoSecondLook,
    /// The words compared by the second look carry no generation, only "committed".
    NoGeneration,
    /// The catalog slot has one record, which is written over while the commit word names it.
    OneRecord,
    /// Nobody writes home what another process of its node wrote first.
    NoHelpHome,
    /// Commit word, descriptor and data are invalidated together, before the first look.
    NoStagedAcquire,
    /// A time-out counts as proof of death.
    NoQuarantine,
    /// The reader does not wait for its lease to be home before it looks again.
    NoStoreLoadFenceReader,
    /// The owner does not wait for the retired word to be home before it scans.
    NoStoreLoadFenceOwner,
    /// The commit word may get home before the data.
    NoReleaseFence,
    /// Publish forgets to write the data back.
    NoWriteBackData,
    /// The reader forgets to write its lease back.
    NoWriteBackLease,
    /// A lease is given up without waiting for the word to be home.
    NoWriteBackClose,
    /// The second look reads whatever copy the cache has.
    NoInvalidateSecondLook,
    /// The owner scans whatever copies of the lease words its cache has.
    NoInvalidateLeases,
    /// The commit word is swung before the old table is on the retired list.
    RetireAfterSwing,
    /// A dead process's lease word is cleared without holding its slot.
    NoSlotLock,
    /// A rebooted node takes up work without clearing the leases of its earlier life.
    NoRejoinClear,
    /// A rebooted node forgets to write its new incarnation back.
    NoWriteBackIncarnation,
    /// The owner goes on voiding the leases of a detached node after it came back.
    VoidForever,
    /// The owner takes a new boot incarnation to void every lease of that node.
    VoidByIncarnation,
    /// The mark is written home neither by who stores it nor by who scans.
    NoWriteBackMark,
    /// Who scans does not write home the mark that another process may have stored.
    NoHelpMark,
    /// Who stores the mark leaves it to the next scan to write it home.
    NoWriteBackFence,
    /// The mark is stored without holding the catalog lock.
    NoLockFence,
    /// The owner scans with whatever copy of the incarnation its cache has.
    NoInvalidateIncarnation,
    /// The check is not held back until what was read has been read.
    NoFenceCheck,
    /// The check reads whatever copy of the mark the cache has.
    NoInvalidateCheck,
    /// What was read is used without a check.
    NoCheck,
    /// Check and open ask only whether the mark names this very incarnation.
    MarkNamesOne,
    /// Open does not read the mark.
    NoMarkAtOpen,
    /// Open reads whatever copy of the mark the cache has.
    NoInvalidateMarkAtOpen,
    /// Open reads the mark before it leases.
    MarkBeforeLease,
    /// A node's new incarnation is announced before its leases are cleared.
    AnnounceBeforeClear,
    /// Leases are cleared and the new incarnation is announced under one fence.
    ClearAndAnnounce,
    /// A node's first process clears no lease but its own.
    ClearOwnOnly,
    /// A process gives its fenced node a new incarnation though others of the node live.
    JoinBesideLiving,
    /// Both: beside living processes, which ask only for their very incarnation.
    JoinBesideAndNamesOne,
    /// Both: beside living processes, and without the lock that lets processes join one by one.
    JoinBesideUnlocked,
    /// Processes of a node join at the same time.
    NoJoinLock,
}

/// What may happen besides the steps of the protocol. Pauses need no knob: any process may
/// always be the one that does not step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Owner processes may die, each at any step.
    pub owners_crash: bool,
    /// Readers may die, each at any step.
    pub readers_crash: bool,
    /// New processes may take the slots of dead readers.
    pub restart: bool,
    /// A time-out may fire for the borrower node, at any time, rightly or not.
    pub silence: bool,
    /// The borrower node may lose its power and come back, once.
    pub reboot: bool,
    /// The borrower node may be switched off, and the owner told: an operator who is right. It comes back,
    /// by a reboot, only after the owner has fenced it.
    pub detach: bool,
    /// How often an operator may say that the borrower node is off though nothing is known of it.
    pub words: u8,
}

/// One model to check.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The link between the nodes.
    pub link: Link,
    /// Processes of the owner node that publish, remove and reclaim.
    pub owners: u8,
    /// Readers on the owner node.
    pub locals: u8,
    /// Readers on the borrower node.
    pub borrowers: u8,
    /// How many of those, the last ones, have yet to join.
    pub latecomers: u8,
    /// Places (extents) a table can lie in: with one, every publish but the first is a reuse; with
    /// two, tables are replaced.
    pub places: u8,
    /// Generations to publish.
    pub generations: u8,
    /// How often a reader tries to open, successes included.
    pub opens: u8,
    /// The order of the two halves of open.
    pub order: Order,
    /// Check that no open finds less than an earlier one acted on.
    pub track_order: bool,
    /// Follow every copy and every early invalidation, even those that nobody could notice.
    pub exhaustive_copies: bool,
    /// What may go wrong.
    pub faults: Faults,
    /// What is left out.
    pub mutation: Mutation,
}

impl Config {
    /// One owner process and one reader on the other node, one place, two generations, no faults.
    #[must_use]
    pub fn new(link: Link) -> Self {
        Self {
            link,
            owners: 1,
            locals: 0,
            borrowers: 1,
            latecomers: 0,
            places: 1,
            generations: 2,
            opens: 1,
            order: Order::LeaseFirst,
            track_order: false,
            exhaustive_copies: false,
            faults: Faults::default(),
            mutation: Mutation::None,
        }
    }

    /// The same with something left out.
    #[must_use]
    pub fn without(self, mutation: Mutation) -> Self {
        Self { mutation, ..self }
    }

    /// Whether `mutation` is the one in force.
    #[must_use]
    pub fn lacks(&self, mutation: Mutation) -> bool {
        self.mutation == mutation
    }

    /// Whether the owner may have to fence the borrower node.
    #[must_use]
    pub fn fences(&self) -> bool {
        self.faults.detach || self.faults.words > 0
    }

    /// Number of processes.
    #[must_use]
    pub fn procs(&self) -> usize {
        usize::from(self.owners + self.locals + self.borrowers)
    }

    /// Whether process `p` may publish.
    #[must_use]
    pub fn is_owner(&self, p: usize) -> bool {
        p < usize::from(self.owners)
    }

    /// Whether process `p` runs on the borrower node.
    #[must_use]
    pub fn is_borrower(&self, p: usize) -> bool {
        p >= usize::from(self.owners + self.locals)
    }

    /// Whether the node of process `p` sees the memory through a cache of its own.
    #[must_use]
    pub fn has_cache(&self, p: usize) -> bool {
        match self.link {
            Link::Coherent => false,
            Link::Lender => self.is_borrower(p),
            Link::Incoherent => true,
        }
    }

    /// Which view of the memory process `p` has: the node's cache, or its own processor's.
    #[must_use]
    pub fn view(&self, p: usize) -> usize {
        match (self.has_cache(p), self.is_borrower(p)) {
            (false, _) => p,
            (true, true) => usize::from(self.owners + self.locals),
            (true, false) => 0,
        }
    }

    /// Where the table of a generation lies.
    #[must_use]
    pub fn place_of(&self, generation: u8) -> u8 {
        (generation - 1) % self.places
    }
}
