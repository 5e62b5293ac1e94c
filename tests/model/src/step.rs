//! Taking one micro-step of a program. What only queues or only changes registers is done together
//! with the step before it: nobody could tell the difference.

use crate::config::{Config, Mutation};
use crate::memory::{COMMIT, INCARNATION, LINES, LineSet, MARK, PLACES, data, descriptor, lease, lines};
use crate::program::{Activity, At, Op, Programs, Word, resolve};
use crate::state::{Life, Place, State, commit, incarnation};

/// A process about to take a step.
pub(crate) struct Step<'a> {
    pub(crate) config: &'a Config,
    pub(crate) programs: &'a Programs,
    pub(crate) state: &'a mut State,
    pub(crate) p: usize,
}

impl Step<'_> {
    /// Begins an activity and takes its first step.
    pub(crate) fn begin(mut self, activity: Activity) {
        let (floor, fenced) = (self.state.acted_on, self.state.fenced);
        let proc = &mut self.state.procs[self.p];
        proc.activity = activity;
        proc.pc = 0;
        if activity == Activity::Open {
            proc.floor = floor;
            proc.fenced = fenced;
        }
        self.settle_silent_ops();
        self.run();
    }

    /// Goes on with what was decided under the lock: no step of its own.
    pub(crate) fn decide(mut self, activity: Activity) {
        let proc = &mut self.state.procs[self.p];
        let last = commit::generation(proc.word);
        proc.activity = activity;
        proc.pc = 0;
        proc.generation =
            if matches!(activity, Activity::Publish | Activity::Replace) { last + 1 } else { last };
        self.settle_silent_ops();
    }

    /// Takes one step, and all that nobody can see after it.
    pub(crate) fn run(mut self) {
        if let Some(op) = self.next_op() {
            self.state.procs[self.p].pc += 1;
            self.visible(op);
            self.settle_silent_ops();
        }
    }

    /// The step that is next.
    pub(crate) fn next_op(&self) -> Option<Op> {
        let proc = &self.state.procs[self.p];
        self.programs.ops(proc.activity).get(usize::from(proc.pc)).copied()
    }

    pub(crate) fn settle_silent_ops(&mut self) {
        while let Some(op) = self.next_op() {
            if !self.silent(op) {
                return;
            }
        }
    }

    /// Does an operation that no other process can see, if it is one.
    fn silent(&mut self, op: Op) -> bool {
        let config = self.config;
        match op {
            Op::WriteBack(at) => {
                let set = self.resolve(at);
                self.state.procs[self.p].writing_back |= set;
            }
            Op::Invalidate(at) => {
                let set = self.resolve(at);
                self.state.procs[self.p].invalidating |= set;
            }
            Op::Found if !commit::is_live(self.state.procs[self.p].word) => {
                self.jump(Op::End);
                return true;
            }
            Op::Found => {
                let proc = &mut self.state.procs[self.p];
                proc.generation = commit::generation(proc.word);
            }
            Op::Opened => {
                let proc = &mut self.state.procs[self.p];
                proc.open = true;
                self.state.wrongs.opened_fenced |=
                    config.is_borrower(self.p) && proc.incarnation < proc.fenced;
            }
            Op::Fenced => {
                self.state.fenced = std::mem::take(&mut self.state.procs[self.p].incarnation) + 1;
                self.state.unfenced = false;
            }
            Op::Close => {
                let proc = &mut self.state.procs[self.p];
                proc.open = false;
                self.state.wrongs.saw_other_bytes |= proc.misread && !proc.stale;
            }
            Op::Claim => {
                let place = config.place_of(self.state.procs[self.p].generation);
                self.state.procs[self.p].place = Some(place);
                self.state.places[usize::from(place)] = Place::Used;
            }
            Op::Reclaim => self.reclaim(),
            Op::Reaped => {
                let victim = usize::from(self.state.procs[self.p].victim);
                self.state.procs[victim].life = Life::Reaped;
            }
            Op::End => {
                self.end();
                return true;
            }
            _ => return false,
        }
        self.state.procs[self.p].pc += 1;
        true
    }

    /// Does a step proper.
    fn visible(&mut self, op: Op) {
        match op {
            Op::Fence => self.fence(),
            Op::Store(at, word) => self.store(at, word),
            Op::Look => {
                let word = commit::word(self.load(COMMIT));
                let proc = &mut self.state.procs[self.p];
                proc.word = word;
                self.state.wrongs.went_back |= word < proc.floor;
            }
            Op::ReadRecord => {
                let line = self.load(COMMIT);
                let half = self.half();
                self.state.procs[self.p].place = Some(commit::record(line, half));
            }
            Op::LookAgain => {
                let again = commit::word(self.load(COMMIT));
                let word = self.state.procs[self.p].word;
                let same = if self.config.lacks(Mutation::NoGeneration) {
                    commit::is_live(again) == commit::is_live(word)
                } else {
                    again == word
                };
                if !same {
                    self.jump(Op::Close);
                }
            }
            Op::CheckDescriptor => {
                let proc = self.state.procs[self.p];
                let copy = self.load(descriptor(self.place()));
                if copy != proc.generation {
                    self.state.wrongs.saw_other_bytes |=
                        proc.open && !self.state.is_outcast(self.config, self.p);
                    self.jump(if proc.open { Op::Close } else { Op::End });
                }
            }
            Op::ReadData => {
                let bytes = self.load(data(self.place()));
                let wrong = bytes != self.state.procs[self.p].generation;
                let proc = &mut self.state.procs[self.p];
                proc.misread = wrong;
                proc.fenced = self.state.fenced;
                self.state.wrongs.saw_other_bytes |= wrong && !self.state.is_outcast(self.config, self.p);
            }
            Op::LookMark => self.look_at_mark(),
            Op::CheckMark => {
                let stale = self.is_fenced();
                let proc = &mut self.state.procs[self.p];
                proc.stale = stale;
                self.state.wrongs.passed_fenced |= !stale && proc.incarnation < proc.fenced;
            }
            Op::Lock => self.lock(),
            Op::PushRetired => {
                let old = commit::generation(self.state.procs[self.p].word);
                self.state.places[usize::from(self.config.place_of(old))] = Place::Retired;
            }
            Op::ScanMark => self.state.procs[self.p].mark = self.load(MARK),
            Op::ScanIncarnation => {
                let incarnation = self.load(INCARNATION);
                let mark = self.state.procs[self.p].mark;
                self.state.procs[self.p].void = self.state.is_void(self.config, incarnation, mark);
            }
            Op::Scan(q) => {
                let word = self.load(lease(q));
                let void = self.config.is_borrower(q) && self.state.procs[self.p].void;
                if word != 0 && !void {
                    self.state.procs[self.p].named |= 1 << (word - 1);
                }
            }
            Op::Unlock => {
                if !self.config.has_cache(self.p) {
                    self.state.memory.settle(self.p);
                }
                self.state.lock = None;
            }
            Op::LookAtDead => {
                let victim = usize::from(self.state.procs[self.p].victim);
                if self.load(lease(victim)) == 0 {
                    self.jump(Op::Reaped);
                }
            }
            Op::ReadIncarnation => {
                // The operator's word is in this process's hands now, and may die with it.
                self.state.told = false;
                let incarnation = self.load(INCARNATION);
                self.state.procs[self.p].incarnation = incarnation::number(incarnation);
            }
            Op::JoinMark => self.rejoin_or_leave(),
            // `Choose` is an action of its own, and the rest is silent.
            _ => {}
        }
    }

    fn place(&self) -> u8 {
        self.state.procs[self.p].place.unwrap_or_default()
    }

    /// Reads the mark: whether it fences this process.
    fn is_fenced(&mut self) -> bool {
        let mark = self.load(MARK);
        let mine = self.state.procs[self.p].incarnation;
        let one = [Mutation::MarkNamesOne, Mutation::JoinBesideAndNamesOne];
        if one.contains(&self.config.mutation) { mine + 1 == mark } else { mine < mark }
    }

    fn look_at_mark(&mut self) {
        if self.is_fenced() {
            self.state.procs[self.p].stale = true;
            self.jump(Op::Close);
        }
    }

    /// On a fenced node: only who is alone may give it a new incarnation. Its kernel knows.
    fn rejoin_or_leave(&mut self) {
        if !self.is_fenced() {
            return;
        }
        let beside =
            [Mutation::JoinBesideLiving, Mutation::JoinBesideAndNamesOne, Mutation::JoinBesideUnlocked];
        let lives =
            |q: usize| q != self.p && self.config.is_borrower(q) && self.state.procs[q].life == Life::Running;
        let alone = !(0..self.config.procs()).any(lives);
        let proc = &mut self.state.procs[self.p];
        if alone || beside.contains(&self.config.mutation) {
            proc.activity = Activity::Rejoin;
            proc.pc = 0;
        } else {
            proc.stale = true;
            self.jump(Op::End);
        }
    }

    /// Which record of the catalog slot is for the generation at hand.
    fn half(&self) -> u8 {
        if self.config.lacks(Mutation::OneRecord) { 0 } else { self.state.procs[self.p].generation % 2 }
    }

    fn resolve(&self, at: At) -> LineSet {
        resolve(self.config, &self.state.procs[self.p], self.p, at)
    }

    fn load(&mut self, line: usize) -> u8 {
        let config = self.config;
        // Lease lines belong to the reader's node, all others to the owner's.
        let own = match line.checked_sub(lease(0)) {
            Some(_) if line == INCARNATION => config.is_borrower(self.p),
            Some(_) if line == MARK => !config.is_borrower(self.p),
            Some(q) => config.is_borrower(q) == config.is_borrower(self.p),
            None => !config.is_borrower(self.p),
        };
        let caches = config.has_cache(self.p) && !own;
        self.state.memory.load(config.view(self.p), line, caches)
    }

    fn store(&mut self, at: At, word: Word) {
        let proc = self.state.procs[self.p];
        let word = match word {
            Word::Zero => 0,
            Word::Generation => proc.generation,
            Word::Place => self.place() + 1,
            Word::Live => commit::live(proc.generation),
            Word::NextIncarnation => {
                let number = proc.incarnation + 1;
                self.state.procs[self.p].incarnation = number;
                incarnation::word(number, self.state.rebooted)
            }
            Word::Bound => proc.incarnation + 1,
            Word::Empty => commit::empty(proc.generation),
        };
        if matches!(at, At::Descriptor | At::Data) {
            let place = self.place();
            let state = &mut *self.state;
            let reads = |q: usize| {
                let reader = &state.procs[q];
                reader.open && reader.place == Some(place) && !state.is_outcast(self.config, q)
            };
            state.wrongs.reused_under_lease |= (0..self.config.procs()).any(reads);
        }
        let view = self.config.view(self.p);
        for line in lines(self.resolve(at)) {
            let old = self.state.memory.peek(view, line);
            let new = match at {
                At::Commit => commit::with_word(old, word),
                At::Record => commit::with_record(old, self.half(), proc.place.unwrap_or_default()),
                _ => word,
            };
            self.state.memory.store(view, line, new);
        }
    }

    fn fence(&mut self) {
        let view = self.config.view(self.p);
        if !self.config.has_cache(self.p) {
            return self.state.memory.settle(view);
        }
        let proc = &mut self.state.procs[self.p];
        let (back, drop) = (proc.writing_back, proc.invalidating);
        (proc.writing_back, proc.invalidating) = (0, 0);
        lines(back).for_each(|line| self.state.memory.write_back(view, line));
        lines(drop).for_each(|line| self.state.memory.invalidate(view, line));
    }

    /// Takes the lock. From a dead holder it comes with a recount: what the catalog names is
    /// published, what it does not name and is not on the retired list is free.
    fn lock(&mut self) {
        if !self.config.has_cache(self.p) {
            self.state.memory.settle(self.p);
        }
        let word = commit::word(self.state.memory.peek(self.config.view(self.p), COMMIT));
        if self.state.lock.is_some() {
            let named = commit::is_live(word).then(|| self.config.place_of(commit::generation(word)));
            for place in 0..PLACES {
                let is_named = named.is_some_and(|named| usize::from(named) == place);
                self.state.places[place] = match self.state.places[place] {
                    _ if is_named => Place::Used,
                    Place::Used => Place::Free,
                    other => other,
                };
            }
        }
        self.state.lock = u8::try_from(self.p).ok();
        self.state.procs[self.p].word = word;
    }

    fn reclaim(&mut self) {
        let named = std::mem::take(&mut self.state.procs[self.p].named);
        for place in 0..PLACES {
            if self.state.is_retired(place) {
                self.state.places[place] = match (named & (1 << place) != 0, self.state.silent) {
                    (false, _) => Place::Free,
                    (true, false) => Place::Retired,
                    (true, true) => Place::Quarantined,
                };
            }
        }
    }

    fn end(&mut self) {
        let proc = self.state.procs[self.p];
        if proc.activity == Activity::Open {
            self.state.procs[self.p].opens += 1;
            if self.config.track_order {
                self.state.acted_on = self.state.acted_on.max(proc.word);
            }
        }
        if proc.stale {
            // Its lease is given back: the process leaves.
            self.state.procs[self.p].die();
            self.state.procs[self.p].life = Life::Reaped;
        } else {
            self.state.procs[self.p].rest();
        }
    }

    fn jump(&mut self, to: Op) {
        let proc = &mut self.state.procs[self.p];
        let ops = self.programs.ops(proc.activity);
        let target = ops.iter().position(|&op| op == to).unwrap_or(ops.len() - 1);
        proc.pc = u8::try_from(target).unwrap_or(u8::MAX);
    }
}

const _: () = assert!(LINES <= LineSet::BITS as usize);
