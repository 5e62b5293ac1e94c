//! What may go wrong, when it may, and what it does.

use crate::config::Mutation;
use crate::memory::INCARNATION;
use crate::program::Activity;
use crate::protocol::{Action, Protocol};
use crate::state::{Life, State, incarnation};

impl Protocol {
    pub(crate) fn faults(&self, state: &State, actions: &mut Vec<Action>) {
        let faults = self.config().faults;
        for p in 0..self.config().procs() {
            let proc = &state.procs[p];
            let may = if self.config().is_owner(p) { faults.owners_crash } else { faults.readers_crash };
            if may && proc.life == Life::Running && proc.activity != Activity::Idle {
                actions.push(Action::Crash(p));
            }
        }
        let slots = usize::from(self.config().owners)..self.config().procs();
        actions.extend(slots.filter(|&p| self.can_join(state, p)).map(Action::Join));
        if faults.silence && !state.silent {
            actions.push(Action::TimeOut);
        }
        // What was switched off stays off until the owner has fenced it.
        if faults.reboot && !state.rebooted && !state.unfenced {
            actions.push(Action::Reboot);
        }
        if faults.detach && state.off.is_none() {
            actions.push(Action::SwitchOff);
        }
        if !state.told && (Self::is_off_for_sure(state) || state.words < faults.words) {
            actions.push(Action::Word);
        }
    }

    /// Whether an operator who says so now is right. Who has been heard does not say it again: a second
    /// fence could hit the next incarnation.
    pub(crate) fn is_off_for_sure(state: &State) -> bool {
        state.unfenced && state.procs.iter().all(|proc| proc.activity != Activity::Fence)
    }

    /// Whether a new process may take the slot of reader `p`.
    fn can_join(&self, state: &State, p: usize) -> bool {
        let config = self.config();
        let borrower = config.is_borrower(p);
        let wanted = config.faults.restart || (state.rebooted && borrower);
        let is_free = state.procs[p].life != Life::Running && state.procs[p].opens < config.opens;
        let is_up = !borrower || state.off != Some(true);
        // Who reaps a slot holds it, and who rejoins holds all slots of the node.
        let unlocked = [Mutation::NoJoinLock, Mutation::JoinBesideUnlocked];
        let joins_in_turn = borrower && config.fences() && !unlocked.contains(&config.mutation);
        let is_held = state.procs.iter().any(|proc| match proc.activity {
            Activity::Reap => usize::from(proc.victim) == p && !config.lacks(Mutation::NoSlotLock),
            Activity::Rejoin => borrower && config.mutation != Mutation::JoinBesideUnlocked,
            Activity::Join => joins_in_turn,
            _ => false,
        });
        wanted && is_free && is_up && !is_held
    }

    pub(crate) fn borrowers(&self) -> impl Iterator<Item = usize> + use<> {
        usize::from(self.config().owners + self.config().locals)..self.config().procs()
    }

    pub(crate) fn kill(&self, state: &mut State, p: usize) {
        if !self.config().has_cache(p) {
            state.memory.settle(p);
        }
        state.procs[p].die();
    }

    pub(crate) fn kill_borrowers(&self, state: &mut State) {
        for p in self.borrowers() {
            let view = self.config().view(p);
            state.memory.lose(view);
            self.kill(state, p);
        }
    }

    /// The borrower node loses its power and comes back.
    pub(crate) fn reboot(&self, state: &mut State) {
        self.kill_borrowers(state);
        state.rebooted = true;
        state.off = state.off.map(|_| false);
        for p in self.borrowers() {
            state.procs[p].life = Life::Reaped;
            state.procs[p].opens = 0;
        }
    }

    /// A new process in a slot. It holds the slot, then looks which incarnation its node has: one of
    /// an earlier boot is replaced.
    pub(crate) fn join(&self, state: &mut State, p: usize) -> Activity {
        let borrower = self.config().is_borrower(p);
        let word = state.memory.peek(self.config().view(p), INCARNATION);
        let proc = &mut state.procs[p];
        proc.life = Life::Running;
        proc.incarnation = if borrower { incarnation::number(word) } else { 0 };
        let stays = !borrower || incarnation::is_rebooted(word) == state.rebooted;
        if stays { Activity::Join } else { Activity::Rejoin }
    }
}
