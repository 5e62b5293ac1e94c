//! One state of the world: the memory, the processes, what the owner node keeps for itself, and
//! what has been seen to go wrong.

use crate::config::{Config, Mutation};
use crate::memory::{COMMIT, INCARNATION, LineSet, MARK, Memory, PLACES, PROCS, lease};
use crate::program::Activity;

/// The line of a catalog slot: its commit word, and two records that say where a table lies.
/// The word is a counter that only grows: `2g - 1` is "generation g is here", `2g` is "generation
/// g was the last". Generation g is described by record g mod 2, so that a record is never
/// written while the commit word still names it.
pub mod commit {
    const WORD: u8 = 0x0f;

    /// The commit word in the line.
    #[must_use]
    pub fn word(line: u8) -> u8 {
        line & WORD
    }

    /// The line with another commit word.
    #[must_use]
    pub fn with_word(line: u8, word: u8) -> u8 {
        line & !WORD | word
    }

    /// The place that record 0 or 1 names.
    #[must_use]
    pub fn record(line: u8, half: u8) -> u8 {
        line >> (4 + half) & 1
    }

    /// The line with another place in record 0 or 1.
    #[must_use]
    pub fn with_record(line: u8, half: u8, place: u8) -> u8 {
        let bit = 1 << (4 + half);
        if place == 0 { line & !bit } else { line | bit }
    }

    /// The word that names a generation.
    #[must_use]
    pub fn live(generation: u8) -> u8 {
        2 * generation - 1
    }

    /// The word after a generation was removed.
    #[must_use]
    pub fn empty(generation: u8) -> u8 {
        2 * generation
    }

    /// Whether the word names a table.
    #[must_use]
    pub fn is_live(word: u8) -> bool {
        word % 2 == 1
    }

    /// The generation it names, or named last.
    #[must_use]
    pub fn generation(word: u8) -> u8 {
        word.div_ceil(2)
    }
}

/// The word of a node's incarnation: a counter that only grows, and which boot it is of.
pub mod incarnation {
    const BOOTED: u8 = 0x80;

    /// The word for an incarnation.
    #[must_use]
    pub fn word(number: u8, rebooted: bool) -> u8 {
        if rebooted { number | BOOTED } else { number }
    }

    /// The incarnation in a word.
    #[must_use]
    pub fn number(word: u8) -> u8 {
        word & !BOOTED
    }

    /// Whether the word was written after the reboot.
    #[must_use]
    pub fn is_rebooted(word: u8) -> bool {
        word & BOOTED != 0
    }
}

/// Whether a process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Life {
    /// It does, or will.
    Running,
    /// It died, and its node's kernel says so to whoever asks on that node.
    Dead,
    /// It died, and its lease has been dealt with.
    Reaped,
}

/// One process: where it is, and what it holds in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Proc {
    /// Whether it lives.
    pub life: Life,
    /// What it is busy with.
    pub activity: Activity,
    /// Index of its next step.
    pub pc: u8,
    /// Opens done.
    pub opens: u8,
    /// Whether it may read the table it has opened.
    pub open: bool,
    /// The commit word it has read.
    pub word: u8,
    /// The newest commit word that was known when it began.
    pub floor: u8,
    /// The generation at hand.
    pub generation: u8,
    /// The incarnation of its node under which it joined, or the one that an owner is to fence.
    pub incarnation: u8,
    /// The mark that a scan has read.
    pub mark: u8,
    /// The mark of the last fence that stood when it began to open, or when it read.
    pub fenced: u8,
    /// Whether what it has read is of another table than it opened.
    pub misread: bool,
    /// Whether it has found that its node is fenced: it forgets what it read, closes and leaves.
    pub stale: bool,
    /// Whether the leases of the borrower node are void, by its incarnation.
    pub void: bool,
    /// The place at hand, once it is known.
    pub place: Option<u8>,
    /// The places that a scan found under lease, as bits.
    pub named: u8,
    /// The dead process being reaped.
    pub victim: u8,
    /// Lines to write back by the next fence.
    pub writing_back: LineSet,
    /// Lines to invalidate by the next fence.
    pub invalidating: LineSet,
}

impl Proc {
    pub(crate) const NEW: Self = Self {
        life: Life::Running,
        activity: Activity::Idle,
        pc: 0,
        opens: 0,
        open: false,
        word: 0,
        floor: 0,
        generation: 0,
        place: None,
        incarnation: 0,
        mark: 0,
        fenced: 0,
        misread: false,
        stale: false,
        void: false,
        named: 0,
        victim: 0,
        writing_back: 0,
        invalidating: 0,
    };

    /// Becomes idle and forgets its registers, so that equal futures are equal states.
    pub(crate) fn rest(&mut self) {
        let Self { life, opens, incarnation, writing_back, invalidating, .. } = *self;
        *self = Self { life, opens, incarnation, writing_back, invalidating, ..Self::NEW };
    }

    /// Dies. What it had queued may still happen, but that is for the adversary to say.
    pub(crate) fn die(&mut self) {
        *self = Self { life: Life::Dead, opens: self.opens, ..Self::NEW };
    }
}

/// What the owner node knows of a place. It is metadata that only the owner node's processes
/// touch, under the catalog lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The heap has it.
    Free,
    /// A process has it, or it is published.
    Used,
    /// On the retired list.
    Retired,
    /// On the retired list, and a node that does not answer has a lease on it.
    Quarantined,
}

/// What must never happen, and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Wrongs {
    /// A reader saw bytes of another generation, or a table only half there.
    pub saw_other_bytes: bool,
    /// The owner wrote where a reader had a table open.
    pub reused_under_lease: bool,
    /// An open succeeded that began when its process was fenced.
    pub opened_fenced: bool,
    /// A check passed though its process was fenced when it read.
    pub passed_fenced: bool,
    /// An open found less than an earlier open, anywhere, had already acted on.
    pub went_back: bool,
}

/// The state of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The lines, at home and in caches.
    pub memory: Memory,
    /// The processes: owners, then local readers, then borrowers.
    pub procs: [Proc; PROCS],
    /// Who holds the catalog lock.
    pub lock: Option<u8>,
    /// The places.
    pub places: [Place; PLACES],
    /// A time-out has fired for the borrower node.
    pub silent: bool,
    /// The borrower node has lost its power once.
    pub rebooted: bool,
    /// Whether the borrower node was switched off, and whether it still is.
    pub off: Option<bool>,
    /// It is off and has not been fenced yet.
    pub unfenced: bool,
    /// The owner has been told to fence it, which is what it does next.
    pub told: bool,
    /// How often an operator has said so though nothing was known.
    pub words: u8,
    /// The mark of the last fence that stands.
    pub fenced: u8,
    /// The newest commit word that an open has acted on, where that is tracked.
    pub acted_on: u8,
    /// What went wrong.
    pub wrongs: Wrongs,
}

impl State {
    pub(crate) fn new(config: &Config) -> Self {
        let mut state = Self {
            memory: Memory::new(),
            procs: [Proc::NEW; PROCS],
            lock: None,
            places: [Place::Free; PLACES],
            silent: false,
            rebooted: false,
            off: None,
            unfenced: false,
            told: false,
            words: 0,
            fenced: 0,
            acted_on: 0,
            wrongs: Wrongs::default(),
        };
        let late = config.procs() - usize::from(config.latecomers)..config.procs();
        late.for_each(|p| state.procs[p].life = Life::Reaped);
        state
    }

    /// The commit word as the owner node sees it.
    #[must_use]
    pub fn commit_word(&self) -> u8 {
        // The view of the first owner process: the cache of its node or, without one, a store
        // buffer that is empty whenever the lock is free.
        commit::word(self.memory.peek(0, COMMIT))
    }

    /// Whether the leases of the borrower node are void, by the words of its incarnation and of the mark.
    #[must_use]
    pub fn is_void(&self, config: &Config, incarnation: u8, mark: u8) -> bool {
        let number = incarnation::number(incarnation);
        number < mark
            || (mark != 0 && config.lacks(Mutation::VoidForever))
            || (self.silent && config.lacks(Mutation::NoQuarantine))
            || (number != 0 && config.lacks(Mutation::VoidByIncarnation))
    }

    /// Whether process `p` was fenced though it lives: what it reads may be anything, until it checks.
    #[must_use]
    pub fn is_outcast(&self, config: &Config, p: usize) -> bool {
        let mark = (0..PROCS).map(|view| self.memory.peek(view, MARK)).max().unwrap_or_default();
        self.words > 0 && config.is_borrower(p) && self.procs[p].incarnation < mark
    }

    /// Who holds a lease on `place` that counts, by the lease words as they stand at home (and, on
    /// the owner node, in its cache).
    pub fn holders(&self, config: &Config, place: usize) -> impl Iterator<Item = usize> {
        let void = self.is_void(config, self.memory.home(INCARNATION), self.memory.peek(0, MARK));
        let named = move |&q: &usize| {
            let view = if config.is_borrower(q) { None } else { Some(config.view(q)) };
            let word = match view {
                Some(view) if config.has_cache(q) => self.memory.peek(view, lease(q)),
                _ => self.memory.home(lease(q)),
            };
            usize::from(word) == place + 1 && !(void && config.is_borrower(q))
        };
        (usize::from(config.owners)..config.procs()).filter(named)
    }

    /// Whether any process that could reap `q` is alive.
    #[must_use]
    pub fn has_neighbour(&self, config: &Config, q: usize) -> bool {
        (0..config.procs())
            .any(|p| config.is_borrower(p) == config.is_borrower(q) && self.procs[p].life == Life::Running)
    }

    /// Whether the place waits to be given back.
    #[must_use]
    pub fn is_retired(&self, place: usize) -> bool {
        matches!(self.places[place], Place::Retired | Place::Quarantined)
    }

    /// What an owner process that holds the lock may do.
    #[must_use]
    pub fn work(&self, config: &Config, word: u8) -> Vec<Activity> {
        if self.told && !config.lacks(Mutation::NoLockFence) {
            return vec![Activity::Fence];
        }
        let next = commit::generation(word) + 1;
        let room =
            next <= config.generations && self.places[usize::from(config.place_of(next))] == Place::Free;
        let mut work = match (commit::is_live(word), room) {
            (true, true) => vec![Activity::Replace],
            (true, false) => vec![Activity::Remove],
            (false, true) => vec![Activity::Publish],
            (false, false) => vec![],
        };
        if (0..PLACES).any(|place| self.is_retired(place)) {
            work.push(Activity::Reclaim);
        }
        work
    }

    /// Whether it is worth an idle owner's while to take the lock. Polling leases that still stand
    /// changes nothing and is left out.
    #[must_use]
    pub fn has_work(&self, config: &Config) -> bool {
        self.work(config, self.commit_word()).iter().any(|&activity| match activity {
            Activity::Reclaim => (0..PLACES)
                .any(|place| self.is_retired(place) && self.holders(config, place).next().is_none()),
            _ => true,
        })
    }

    /// Whether process `p`, if it has a table open, still has its lease.
    #[must_use]
    pub fn lease_stands(&self, config: &Config, p: usize) -> bool {
        let proc = &self.procs[p];
        let word = self.memory.peek(config.view(p), lease(p));
        !proc.open || proc.place.is_some_and(|place| word == place + 1) || self.is_outcast(config, p)
    }
}
