//! The protocol, written down: each activity as the list of its micro-steps, in the order in which
//! the real code has to take them. A mutation is a step that is missing here.

use crate::config::{Config, Mutation};
use crate::memory::{COMMIT, INCARNATION, LineSet, MARK, data, descriptor, lease};
use crate::state::Proc;
use crate::writer::Writer;

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
    /// Reader: reads the mark; a fenced process gives the lease back.
    LookMark,
    /// Reader: from here to its `Close` the table is its to read.
    Opened,
    /// Reader: copies the descriptor out and checks the copy.
    CheckDescriptor,
    /// Reader: reads the data.
    ReadData,
    /// Reader: reads the mark; a fenced process forgets what it has read.
    CheckMark,
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
    /// Owner: reads its mark for the borrower node.
    ScanMark,
    /// Owner: reads the borrower node's incarnation.
    ScanIncarnation,
    /// Owner: reads the lease word of one process.
    Scan(usize),
    /// Owner: gives back the retired places that no lease named.
    Reclaim,
    /// Owner: drops the catalog lock (with release order).
    Unlock,
    /// Owner: reads which incarnation of the borrower node it is to fence.
    ReadIncarnation,
    /// Owner: the fence stands, the operator is told.
    Fenced,

    /// Reaper: looks at the dead process's lease word.
    LookAtDead,
    /// Reaper: that one is dealt with.
    Reaped,

    /// Joiner: reads the mark; on a fenced node it goes on to `Rejoin` if it is alone, or leaves.
    JoinMark,

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
    /// The owner's mark for it.
    Mark,
}

/// The lines that `at` means to process `p`.
pub(crate) fn resolve(config: &Config, proc: &Proc, p: usize, at: At) -> LineSet {
    let table = |place| 1 << descriptor(place) | 1 << data(place);
    match (at, proc.place) {
        (At::Commit | At::Record, _) => 1 << COMMIT,
        (At::Descriptor, Some(place)) => 1 << descriptor(place),
        (At::Data, Some(place)) => 1 << data(place),
        (At::Descriptor | At::Data | At::Tables, _) => {
            (0..config.places).map(table).fold(0, |all, set| all | set)
        }
        (At::Incarnation, _) => 1 << INCARNATION,
        (At::Mark, _) => 1 << MARK,
        (At::OwnLease, _) => 1 << lease(p),
        (At::DeadLease, _) => 1 << lease(usize::from(proc.victim)),
        (At::BorrowerLeases, _) => {
            let borrowers = (0..config.procs()).filter(|&p| config.is_borrower(p));
            borrowers.fold(0, |all, p| all | 1 << lease(p))
        }
    }
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
    /// The incarnation after this process's.
    NextIncarnation,
    /// The same, as a mark: all before it are fenced.
    Bound,
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
    /// Fence the borrower node, on an operator's word.
    Fence,
    /// Drop the catalog lock.
    Leave,
    /// Clear the lease of a dead process of the same node.
    Reap,
    /// Take a member slot.
    Join,
    /// The same as the first process of a node that was rebooted or fenced.
    Rejoin,
}

/// The programs of one process.
pub(crate) struct Programs(Vec<(Activity, Vec<Op>)>);

impl Programs {
    /// Writes down what process `p` does.
    pub(crate) fn new(config: &Config, p: usize) -> Self {
        use Activity::{Enter, Fence, Join, Leave, Open, Publish, Reap, Reclaim, Rejoin, Remove, Replace};
        let all = [Open, Enter, Publish, Replace, Remove, Reclaim, Fence, Leave, Reap, Join, Rejoin];
        let write = |activity| {
            let mut writer = Writer::new(config, p);
            match activity {
                Open => writer.open(),
                Enter => writer.enter(),
                Publish => writer.publish(),
                Replace => writer.replace(),
                Remove => writer.remove(),
                Reclaim => writer.scan(),
                Fence => writer.fence_node(),
                Reap => writer.reap(),
                Join => writer.join(),
                Rejoin => writer.rejoin(),
                Leave | Activity::Idle => {}
            }
            let unlocked = activity == Fence && config.lacks(Mutation::NoLockFence);
            if matches!(activity, Publish | Replace | Remove | Reclaim | Fence | Leave) && !unlocked {
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
