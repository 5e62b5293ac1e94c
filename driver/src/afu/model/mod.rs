//! A model of two ThymesisFlow cards on a cable, for tests: it keeps the rules of the cards, it replays nothing.
//!
//! The rules are the document's and the public design's: a section adds its offset and routes by its low bits; both ends of
//! a channel must be out of reset, and then it takes a while; the memory side masters nothing before its control register
//! says so and its process is attached, and reaches that process's memory by effective address (here: through the kernel,
//! so that an address which is not mapped is a translation fault); counters are cleared by the read; there is one context.
//! **An access that nobody can answer fences the card**: from then on it reads all ones. A test that ends with a fenced card
//! has shown a wrong order.

mod reach;

use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::libc;

use crate::afu::context::AfuContext;
use crate::afu::event::TranslationFault;
use crate::afu::thymesisflow::{Side, ZONE_BYTES, ZoneSource};
use crate::error::{Error, Result};
use crate::units::{TIB, index};

const CYCLES_A_ROUND_TRIP: u64 = 260;

/// What is wrong with a cable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    #[default]
    None,
    /// The channels never train.
    Dead,
    /// Bit 5 of the second half of each line arrives as 1.
    StuckBit,
    /// What is written is lost, as if it had arrived.
    LostWrites,
}

/// Two cards and the cable between them. Clones are the same cards.
#[derive(Clone, Default)]
pub struct Fabric(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    memory: Card,
    compute: Card,
    flaw: Flaw,
    /// Transactions that a channel lets pass unanswered before it has trained.
    slowness: u32,
    asked: u32,
    trained: bool,
    steps: u64,
    fail_at: Option<u64>,
}

/// What a test may look at. All zero: as after power-on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// A context is open.
    pub open: bool,
    /// It has a process's address space.
    pub attached: bool,
    /// Areas that are mapped.
    pub mapped: u32,
    /// Register 0x00.
    pub control: u64,
    /// Registers 0x20 to 0x58.
    pub sections: [u64; 8],
    /// Register 0x78.
    pub aurora: u64,
    /// The host does not talk to it any more.
    pub fenced: bool,
    tx_flits: u64,
    rx_flits: u64,
    latency: u64,
    counting: bool,
    fault: Option<TranslationFault>,
}

impl Fabric {
    /// Two cards just powered on, on a cable that is good.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Spoils the cable, or mends it.
    pub fn set_flaw(&self, flaw: Flaw) {
        self.state().flaw = flaw;
    }

    /// Lets a channel take `transactions` before it has trained.
    pub fn set_slowness(&self, transactions: u32) {
        self.state().slowness = transactions;
    }

    /// Fails the `n`-th thing that is done to the cards from now on (the first is 0), once.
    pub fn fail_at(&self, n: u64) {
        let mut state = self.state();
        state.steps = 0;
        state.fail_at = Some(n);
    }

    /// Whether the failure that was asked for is still to come.
    #[must_use]
    pub fn will_fail(&self) -> bool {
        self.state().fail_at.is_some()
    }

    /// What a card is like now.
    #[must_use]
    pub fn card(&self, side: Side) -> Card {
        self.state().card(side).clone()
    }

    /// Fences a card, as a host does on an access that times out.
    pub fn fence(&self, side: Side) {
        self.state().card(side).fenced = true;
    }

    /// Opens the card's one context.
    ///
    /// # Errors
    /// With errno `ENOSPC` while it is open.
    pub fn open(&self, side: Side) -> Result<Box<dyn AfuContext>> {
        let mut state = self.state();
        if state.card(side).open {
            return Err(Error::system("open(model)", libc::ENOSPC));
        }
        state.card(side).open = true;
        drop(state);
        Ok(reach::context(self, side))
    }

    /// What the compute side's character device shows from `off_bytes` on, where a window of `len_bytes` is.
    #[must_use]
    pub fn window(&self, off_bytes: u64, len_bytes: u64) -> Box<dyn ZoneSource> {
        reach::device(self, off_bytes + len_bytes - ZONE_BYTES)
    }
}

impl State {
    fn card(&mut self, side: Side) -> &mut Card {
        match side {
            Side::Memory => &mut self.memory,
            Side::Compute => &mut self.compute,
        }
    }

    /// One thing is done: fails where a test asked for it.
    fn step(&mut self, what: &str) -> Result<()> {
        let now = self.steps;
        self.steps += 1;
        if self.fail_at == Some(now) {
            self.fail_at = None;
            return Err(Error::system(format_args!("{what} (model, injected)"), libc::EFAULT));
        }
        Ok(())
    }

    fn read(&mut self, side: Side, off: u64) -> u64 {
        let card = self.card(side);
        if card.fenced {
            return u64::MAX;
        }
        match off {
            0x00 => card.control,
            0x20..=0x58 => card.sections[index((off - 0x20) / 8)],
            0x60 => std::mem::take(&mut card.tx_flits),
            0x68 => std::mem::take(&mut card.rx_flits),
            0x70 => std::mem::take(&mut card.latency),
            0x78 => card.aurora,
            _ => 0,
        }
    }

    fn write(&mut self, side: Side, off: u64, value: u64) {
        let card = self.card(side);
        if card.fenced {
            return;
        }
        match off {
            // Bit 1 triggers and clears itself.
            0x00 => card.control = value & !2,
            0x20..=0x58 => card.sections[index((off - 0x20) / 8)] = value,
            0x78 => {
                card.aurora = value;
                // A memory side that goes away is not noticed before the next transaction.
                if side == Side::Compute {
                    (self.trained, self.asked) = (false, 0);
                }
            }
            _ => {}
        }
    }

    /// A transaction of the compute side: `access` is given the lender's memory and the address there. None: the channel has
    /// not trained, and what came back means nothing.
    fn transaction(
        &mut self,
        real_off: u64,
        flits: (u64, u64),
        access: impl FnOnce(&File, u64) -> std::io::Result<()>,
    ) -> Result<Option<()>> {
        let section = real_off / TIB;
        let register = self.compute.sections.get(index(section)).copied().unwrap_or(0);
        let (ports, ea) = (register & 0x3f, real_off.wrapping_add(register & !0x3f));
        let fence = |card: &mut Card, why: &str| {
            card.fenced = true;
            let text = format!("a transaction at {real_off:#x} of the model's address space: {why}");
            Err(Error::system(text, libc::EFAULT))
        };
        if self.compute.fenced {
            return Err(Error::system("a transaction (model, fenced)", libc::EFAULT));
        }
        if ports == 0 || ports & self.compute.aurora != ports {
            return fence(&mut self.compute, "no section, or one whose channel is in reset");
        }
        let peer_up = ports & self.memory.aurora == ports && !self.memory.fenced;
        if !self.trained {
            self.trained = peer_up && self.flaw != Flaw::Dead && self.asked >= self.slowness;
            self.asked += u32::from(peer_up);
            if !self.trained {
                return Ok(None);
            }
        }
        if !peer_up || self.memory.control & 1 == 0 || !self.memory.attached {
            return fence(&mut self.compute, "the memory side does not answer any more");
        }
        let answer = File::options()
            .read(true)
            .write(true)
            .open("/proc/self/mem")
            .and_then(|memory| access(&memory, ea));
        if answer.is_err() {
            let count = self.memory.fault.map_or(0, |fault| fault.count) + 1;
            self.memory.fault = Some(TranslationFault { address: ea, dsisr: 0x4000_0000, count });
            return fence(&mut self.compute, "the memory side answered with a failure");
        }
        let (sent, received) = flits;
        self.compute.tx_flits += sent;
        self.compute.rx_flits += received;
        self.memory.rx_flits += sent;
        self.memory.tx_flits += received;
        self.compute.latency += (1 << 37) + CYCLES_A_ROUND_TRIP;
        Ok(Some(()))
    }
}
