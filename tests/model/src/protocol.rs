//! The model: what may happen in a state, what follows from it, and what must hold.

use stateright::{Model, Property};

use crate::config::{Config, Mutation};
use crate::copies;
use crate::memory::{COMMIT, INCARNATION, LINES, Line, LineSet, PLACES, PROCS, data, lease, lines, name};
use crate::program::{Activity, Op, Programs};
use crate::state::{Life, Place, State, commit};
use crate::step::Step;

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A process takes its next step.
    Step(usize),
    /// An idle process begins something.
    Begin(usize, Activity),
    /// A process that holds the lock decides.
    Decide(usize, Activity),
    /// A process begins to reap a dead one of its node.
    Reap {
        /// Who does it.
        by: usize,
        /// Whose lease it clears.
        dead: usize,
    },
    /// A process dies.
    Crash(usize),
    /// A dirty line goes home by itself.
    Evict(usize, Line),
    /// A line is fetched by itself.
    Fetch(usize, Line),
    /// A queued invalidation completes before its fence.
    InvalidateEarly(usize, Line),
    /// A time-out fires for the borrower node.
    TimeOut,
    /// A new process takes a reader's slot.
    Join(usize),
    /// The borrower node loses its power; from now on processes may join again.
    Reboot,
    /// The borrower node is cut off for good, with proof.
    Detach,
}

/// The names of the properties.
pub mod property {
    /// Safety: what a reader reads is of the generation it opened, all of it.
    pub const WHOLE: &str = "a reader sees one generation, whole";
    /// Safety: nothing is written where a reader has a table open.
    pub const NO_REUSE: &str = "nothing is reused under a lease";
    /// Safety: what one open has acted on, every later open sees too, on any node.
    pub const IN_ORDER: &str = "no open goes back";
    /// Safety: the commit word is home whenever the catalog lock is free, so that helping is needed
    /// only after a take-over.
    pub const UNLOCKED_IS_HOME: &str = "the commit word is home while nobody holds the lock";
    /// Liveness: when all processes have come to rest, all space is back for which proof is there.
    pub const RETURNS: &str = "space returns once proof is there";
    /// Reached: a generation after the first is open.
    pub const LATER_OPENED: &str = "a later generation is opened";
    /// Reached: a generation is open that is no longer the newest.
    pub const OLD_KEPT: &str = "an old generation is kept for its reader";
    /// Reached: a place holds its second table.
    pub const PLACE_REUSED: &str = "a place is used again";
    /// Reached: an owner process dies holding the lock.
    pub const DIED_LOCKED: &str = "a process dies holding the lock";
    /// Reached: a reader's lease outlives it.
    pub const DIED_LEASED: &str = "a process dies holding a lease";
    /// Reached: space is quarantined.
    pub const QUARANTINED: &str = "space is quarantined";
    /// Reached: a table is open on a node that was rebooted.
    pub const BACK_AFTER_BOOT: &str = "a rebooted node opens a table";
}

/// The checked model.
pub struct Protocol {
    config: Config,
    programs: Vec<Programs>,
}

impl Protocol {
    /// The model of a configuration.
    #[must_use]
    pub fn new(config: Config) -> Self {
        assert!(config.procs() <= PROCS && usize::from(config.places) <= PLACES);
        let programs = (0..config.procs()).map(|p| Programs::new(&config, p)).collect();
        Self { config, programs }
    }

    fn step<'a>(&'a self, state: &'a mut State, p: usize) -> Step<'a> {
        Step { config: &self.config, programs: &self.programs[p], state, p }
    }

    fn next_op(&self, state: &State, p: usize) -> Option<Op> {
        let proc = &state.procs[p];
        self.programs[p].ops(proc.activity).get(usize::from(proc.pc)).copied()
    }

    /// Whether the catalog lock can be had.
    fn lock_is_free(&self, state: &State) -> bool {
        state.lock.is_none_or(|holder| state.procs[usize::from(holder)].life != Life::Running)
    }

    /// The steps of the processes: what happens if nothing goes wrong.
    fn steps(&self, state: &State, actions: &mut Vec<Action>) {
        for p in 0..self.config.procs() {
            let proc = &state.procs[p];
            if proc.life != Life::Running {
                continue;
            }
            match self.next_op(state, p) {
                Some(Op::Choose) => {
                    let work = state.work(&self.config, proc.word);
                    if work.is_empty() {
                        actions.push(Action::Decide(p, Activity::Leave));
                    }
                    actions.extend(work.into_iter().map(|activity| Action::Decide(p, activity)));
                }
                Some(_) => actions.push(Action::Step(p)),
                None => self.begin(state, p, actions),
            }
        }
    }

    fn begin(&self, state: &State, p: usize, actions: &mut Vec<Action>) {
        let config = &self.config;
        if config.is_owner(p) {
            if self.lock_is_free(state) && (state.lock.is_some() || state.has_work(config)) {
                actions.push(Action::Begin(p, Activity::Enter));
            }
        } else if state.procs[p].opens < config.opens {
            actions.push(Action::Begin(p, Activity::Open));
        }
        for dead in usize::from(config.owners)..config.procs() {
            if state.procs[dead].life == Life::Dead && config.is_borrower(dead) == config.is_borrower(p) {
                actions.push(Action::Reap { by: p, dead });
            }
        }
    }

    fn faults(&self, state: &State, actions: &mut Vec<Action>) {
        let faults = self.config.faults;
        for p in 0..self.config.procs() {
            let proc = &state.procs[p];
            let may = if self.config.is_owner(p) { faults.owners_crash } else { faults.readers_crash };
            if may && proc.life == Life::Running && proc.activity != Activity::Idle {
                actions.push(Action::Crash(p));
            }
        }
        let slots = usize::from(self.config.owners)..self.config.procs();
        actions.extend(slots.filter(|&p| self.can_join(state, p)).map(Action::Join));
        if faults.silence && !state.silent {
            actions.push(Action::TimeOut);
        }
        if faults.reboot && !state.rebooted {
            actions.push(Action::Reboot);
        }
        if faults.detach && state.gone.is_none() {
            actions.push(Action::Detach);
        }
    }

    /// Whether a new process may take the slot of reader `p`.
    fn can_join(&self, state: &State, p: usize) -> bool {
        let config = &self.config;
        let borrower = config.is_borrower(p);
        let wanted = config.faults.restart || (state.rebooted && borrower);
        let is_free = state.procs[p].life != Life::Running && state.procs[p].opens < config.opens;
        let is_up = !borrower || state.gone.is_none() || (state.rebooted && state.gone == Some(0));
        // Who reaps a slot holds it, and who rejoins holds all slots of the node.
        let is_held = state.procs.iter().any(|proc| match proc.activity {
            Activity::Reap => usize::from(proc.victim) == p && !config.lacks(Mutation::NoSlotLock),
            Activity::Rejoin => borrower,
            _ => false,
        });
        wanted && is_free && is_up && !is_held
    }

    /// What memory may do by itself.
    fn adversary(&self, state: &State, actions: &mut Vec<Action>) {
        let config = &self.config;
        for p in 0..config.procs() {
            let (view, proc) = (config.view(p), &state.procs[p]);
            if proc.writing_back != 0 || config.exhaustive_copies {
                // An early invalidation differs from an early fence only if the fence has more to do.
                actions.extend(lines(proc.invalidating).map(|line| Action::InvalidateEarly(p, line)));
            }
            if (0..p).any(|other| config.view(other) == view) {
                continue;
            }
            let wanted = self.wanted(state, view);
            for line in 0..LINES {
                if state.memory.is_dirty(view, line) {
                    actions.push(Action::Evict(view, line));
                } else if wanted & (1 << line) != 0 && state.memory.can_fetch(view, line) {
                    actions.push(Action::Fetch(view, line));
                }
            }
        }
    }

    /// The lines of which a copy in the view could ever serve a load.
    fn wanted(&self, state: &State, view: usize) -> LineSet {
        let config = &self.config;
        (0..config.procs())
            .filter(|&p| config.view(p) == view && state.procs[p].life == Life::Running)
            .fold(0, |set, p| set | copies::wanted(config, &self.programs[p], &state.procs[p], p))
    }

    /// Forgets the copies that can never be read: equal futures are equal states.
    fn forget_dead_copies(&self, state: &mut State) {
        for p in 0..self.config.procs() {
            let view = self.config.view(p);
            if view == p {
                let wanted = self.wanted(state, view);
                state.memory.keep_only(view, wanted);
            }
        }
    }

    fn borrowers(&self) -> impl Iterator<Item = usize> + use<> {
        usize::from(self.config.owners + self.config.locals)..self.config.procs()
    }

    fn kill(&self, state: &mut State, p: usize) {
        if !self.config.has_cache(p) {
            state.memory.settle(p);
        }
        state.procs[p].die();
    }

    fn kill_borrowers(&self, state: &mut State) {
        for p in self.borrowers() {
            let view = self.config.view(p);
            state.memory.lose(view);
            self.kill(state, p);
        }
    }

    /// Whether every process has come to rest, and every store buffer has drained.
    fn is_quiet(&self, state: &State) -> bool {
        let drained = |p| self.config.has_cache(p) || (0..LINES).all(|line| !state.memory.is_dirty(p, line));
        let mut steps = Vec::new();
        self.steps(state, &mut steps);
        steps.is_empty() && (0..self.config.procs()).all(drained)
    }

    /// Whether every place is back, except those under the lease of a process that nobody who
    /// could prove its death is left to reap.
    fn is_all_back(&self, state: &State) -> bool {
        let owner_lives = (0..usize::from(self.config.owners)).any(|p| state.procs[p].life == Life::Running);
        let excused = |place| {
            state.is_retired(place)
                && state.holders(&self.config, place).any(|q| !state.has_neighbour(&self.config, q))
        };
        let back = |place| state.places[place] == Place::Free || excused(place);
        !owner_lives || (!commit::is_live(state.commit_word()) && (0..PLACES).all(back))
    }
}

impl Protocol {
    /// Says in words what an action does in a state.
    #[must_use]
    pub fn describe(&self, state: &State, action: Action) -> String {
        let role = |p: usize| match (self.config.is_owner(p), self.config.is_borrower(p)) {
            (true, _) => format!("owner {p}"),
            (_, false) => format!("local reader {p}"),
            (_, true) => format!("borrower {p}"),
        };
        match action {
            Action::Step(p) => match self.next_op(state, p) {
                Some(op) => format!("{}: {op:?}", role(p)),
                None => format!("{}: nothing", role(p)),
            },
            Action::Begin(p, activity) => format!("{}: begins to {activity:?}", role(p)),
            Action::Decide(p, activity) => format!("{}: decides to {activity:?}", role(p)),
            Action::Evict(view, line) => format!("cache {view}: {} goes home", name(line)),
            Action::Fetch(view, line) => format!("cache {view}: {} is fetched", name(line)),
            Action::InvalidateEarly(p, line) => format!("{}: {} is dropped", role(p), name(line)),
            Action::Crash(p) => format!("{}: dies", role(p)),
            other => format!("{other:?}"),
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.wrongs.saw_other_bytes {
            return;
        }
        self.steps(state, actions);
        self.faults(state, actions);
        self.adversary(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        match action {
            Action::Step(p) => self.step(&mut state, p).run(),
            Action::Begin(p, activity) => self.step(&mut state, p).begin(activity),
            Action::Decide(p, activity) => self.step(&mut state, p).decide(activity),
            Action::Reap { by, dead } => {
                state.procs[by].victim = u8::try_from(dead).ok()?;
                self.step(&mut state, by).begin(Activity::Reap);
            }
            Action::Crash(p) => self.kill(&mut state, p),
            Action::Evict(view, line) => state.memory.write_back(view, line),
            Action::Fetch(view, line) => state.memory.fetch(view, line),
            Action::InvalidateEarly(p, line) => {
                state.procs[p].invalidating &= !(1 << line);
                state.memory.invalidate(self.config.view(p), line);
            }
            Action::TimeOut => state.silent = true,
            Action::Reboot => {
                self.kill_borrowers(&mut state);
                state.rebooted = true;
                for p in self.borrowers() {
                    state.procs[p].life = Life::Reaped;
                    state.procs[p].opens = 0;
                }
            }
            Action::Join(p) => {
                state.procs[p].life = Life::Running;
                let rejoin = state.rebooted
                    && self.config.is_borrower(p)
                    && state.memory.peek(self.config.view(p), INCARNATION) == 0;
                let activity = if rejoin { Activity::Rejoin } else { Activity::Join };
                self.step(&mut state, p).begin(activity);
            }
            Action::Detach => {
                self.kill_borrowers(&mut state);
                state.gone = Some(state.memory.home(INCARNATION));
            }
        }
        self.forget_dead_copies(&mut state);
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let always = Property::<Self>::always;
        let sometimes = Property::<Self>::sometimes;
        vec![
            always(property::WHOLE, |_, s: &State| !s.wrongs.saw_other_bytes),
            always(property::NO_REUSE, |_, s: &State| !s.wrongs.reused_under_lease),
            always(property::IN_ORDER, |_, s: &State| !s.wrongs.went_back),
            always(property::UNLOCKED_IS_HOME, |_, s: &State| {
                s.lock.is_some() || (0..PROCS).all(|view| !s.memory.is_dirty(view, COMMIT))
            }),
            always(property::RETURNS, |m: &Self, s: &State| !m.is_quiet(s) || m.is_all_back(s)),
            sometimes(property::LATER_OPENED, |_, s: &State| {
                s.procs.iter().any(|proc| proc.open && proc.generation > 1)
            }),
            sometimes(property::OLD_KEPT, |_, s: &State| {
                let newest = commit::generation(s.commit_word());
                s.procs.iter().any(|proc| proc.open && proc.generation < newest)
            }),
            sometimes(property::PLACE_REUSED, |m: &Self, s: &State| {
                (0..m.config.places).any(|place| s.memory.home(data(place)) > m.config.places)
            }),
            sometimes(property::DIED_LOCKED, |_, s: &State| {
                s.lock.is_some_and(|holder| s.procs[usize::from(holder)].life != Life::Running)
            }),
            sometimes(property::DIED_LEASED, |m: &Self, s: &State| {
                (0..m.config.procs()).any(|p| s.procs[p].life == Life::Dead && s.memory.home(lease(p)) != 0)
            }),
            sometimes(property::QUARANTINED, |_, s: &State| s.places.contains(&Place::Quarantined)),
            sometimes(property::BACK_AFTER_BOOT, |m: &Self, s: &State| {
                s.rebooted && m.borrowers().any(|p| s.procs[p].open)
            }),
        ]
    }
}
