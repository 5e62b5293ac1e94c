//! The model: what may happen in a state, what follows from it, and what must hold.

use stateright::{Model, Property};

use crate::config::{Config, Mutation};
use crate::copies;
use crate::memory::{LINES, Line, LineSet, PLACES, PROCS, lines, name};
use crate::program::{Activity, Op, Programs};
use crate::property;
use crate::state::{Life, State};
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
    /// The borrower node is switched off.
    SwitchOff,
    /// An operator tells the owner that the borrower node is off.
    Word,
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

    /// What is checked.
    pub(crate) fn config(&self) -> &Config {
        &self.config
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
    pub(crate) fn steps(&self, state: &State, actions: &mut Vec<Action>) {
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
            if state.told && config.lacks(Mutation::NoLockFence) {
                actions.push(Action::Begin(p, Activity::Fence));
            }
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

    /// What memory may do by itself.
    fn adversary(&self, state: &State, actions: &mut Vec<Action>) {
        let config = &self.config;
        for p in 0..config.procs() {
            let (view, proc) = (config.view(p), &state.procs[p]);
            let fence_is_next = self.next_op(state, p) == Some(Op::Fence);
            if proc.writing_back != 0 || !fence_is_next || config.exhaustive_copies {
                // An early invalidation differs from an early fence only if the fence has more to do or is
                // not next.
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
        vec![State::new(&self.config)]
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
            Action::Reboot => self.reboot(&mut state),
            Action::Join(p) => {
                let activity = self.join(&mut state, p);
                self.step(&mut state, p).begin(activity);
            }
            Action::SwitchOff => {
                self.kill_borrowers(&mut state);
                state.off = Some(true);
                state.unfenced = true;
            }
            Action::Word => {
                state.words += u8::from(!Self::is_off_for_sure(&state));
                state.told = true;
            }
        }
        self.forget_dead_copies(&mut state);
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        property::all()
    }
}
