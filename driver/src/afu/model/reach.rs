//! What a process has of a card of the model: a context, registers, a link zone. Each access goes to the rules next door.

use std::os::unix::fs::FileExt;
use std::time::Duration;

use nix::libc;

use crate::afu::context::{AfuContext, Metadata};
use crate::afu::event::TranslationFault;
use crate::afu::global::CounterLock;
use crate::afu::mmio::{Area, Mmio, Width};
use crate::afu::model::{Fabric, Flaw, State};
use crate::afu::thymesisflow::{Line, LinkMemory, Side, ZoneSource};
use crate::error::{Error, ErrorKind, Result};

/// Bytes of the public design's areas.
const GLOBAL_BYTES: u64 = 0x8_0000;
const PER_PASID_BYTES: u64 = 0x1_0000;

pub(super) fn context(fabric: &Fabric, side: Side) -> Box<dyn AfuContext> {
    Box::new(Context { fabric: fabric.clone(), side })
}

pub(super) fn device(fabric: &Fabric, zone_off: u64) -> Box<dyn ZoneSource> {
    Box::new(Device { fabric: fabric.clone(), zone_off })
}

struct Context {
    fabric: Fabric,
    side: Side,
}

impl Drop for Context {
    fn drop(&mut self) {
        let mut state = self.fabric.state();
        let card = state.card(self.side);
        (card.open, card.attached) = (false, false);
    }
}

impl AfuContext for Context {
    fn name(&self) -> String {
        format!("model of a {}", self.side)
    }

    fn metadata(&self) -> Result<Metadata> {
        self.fabric.state().step("metadata")?;
        Ok(Metadata {
            version: (1, 0),
            pasid: 1,
            per_pasid_mmio_bytes: PER_PASID_BYTES,
            global_mmio_bytes: GLOBAL_BYTES,
        })
    }

    fn attach(&mut self) -> Result<()> {
        let mut state = self.fabric.state();
        state.step("attach")?;
        if std::mem::replace(&mut state.card(self.side).attached, true) {
            return Err(Error::system("attach (model)", libc::EIO));
        }
        Ok(())
    }

    fn map_global(&mut self) -> Result<Box<dyn Mmio>> {
        Ok(Box::new(Registers::new(&self.fabric, self.side, Area::Global)?))
    }

    fn map_per_pasid(&mut self) -> Result<Option<Box<dyn Mmio>>> {
        Ok(Some(Box::new(Registers::new(&self.fabric, self.side, Area::PerPasid)?)))
    }

    fn fault(&mut self) -> Result<Option<TranslationFault>> {
        Ok(self.fabric.state().card(self.side).fault.take())
    }

    fn counter_lock(&self) -> Result<CounterLock> {
        struct Counting(Fabric, Side);
        impl Drop for Counting {
            fn drop(&mut self) {
                self.0.state().card(self.1).counting = false;
            }
        }
        let mut state = self.fabric.state();
        if std::mem::replace(&mut state.card(self.side).counting, true) {
            return Err(Error::new(ErrorKind::InUse, "somebody else counts (model)"));
        }
        Ok(CounterLock::new(Counting(self.fabric.clone(), self.side)))
    }
}

struct Registers {
    fabric: Fabric,
    side: Side,
    area: Area,
}

impl Registers {
    fn new(fabric: &Fabric, side: Side, area: Area) -> Result<Self> {
        let mut state = fabric.state();
        state.step("mmap of registers")?;
        state.card(side).mapped += 1;
        Ok(Self { fabric: fabric.clone(), side, area })
    }
}

impl Drop for Registers {
    fn drop(&mut self) {
        self.fabric.state().card(self.side).mapped -= 1;
    }
}

impl Mmio for Registers {
    fn area(&self) -> Area {
        self.area
    }

    fn len_bytes(&self) -> u64 {
        match self.area {
            Area::Global => GLOBAL_BYTES,
            Area::PerPasid => PER_PASID_BYTES,
        }
    }

    fn load(&mut self, off: u64, width: Width) -> Result<u64> {
        let mut state = self.fabric.state();
        state.step("load of a register")?;
        if self.area == Area::PerPasid {
            return Ok(0);
        }
        // The card reads eight bytes, whatever was asked for.
        let value = state.read(self.side, off & !7);
        Ok(match width {
            Width::Bits64 => value,
            Width::Bits32 => value >> (8 * (off & 4)) & 0xffff_ffff,
        })
    }

    fn store(&mut self, off: u64, width: Width, value: u64) -> Result<()> {
        let mut state = self.fabric.state();
        state.step("store to a register")?;
        if self.area == Area::Global && width == Width::Bits64 {
            state.write(self.side, off, value);
        }
        Ok(())
    }
}

struct Device {
    fabric: Fabric,
    zone_off: u64,
}

impl ZoneSource for Device {
    fn map(&mut self) -> Result<Box<dyn LinkMemory>> {
        let mut state = self.fabric.state();
        state.step("mmap of the zone")?;
        state.compute.mapped += 1;
        drop(state);
        Ok(Box::new(Zone { fabric: self.fabric.clone(), zone_off: self.zone_off }))
    }

    fn name(&self) -> String {
        "model".to_owned()
    }
}

struct Zone {
    fabric: Fabric,
    zone_off: u64,
}

impl Drop for Zone {
    fn drop(&mut self) {
        self.fabric.state().compute.mapped -= 1;
    }
}

impl Zone {
    /// What a load gives: all ones while the channel trains.
    fn fetch(&self, state: &mut State, off: u64) -> Result<Line> {
        state.step("load through the link")?;
        let mut bytes = [0; size_of::<Line>()];
        let answer = state
            .transaction(self.zone_off + off, (1, 5), |memory, ea| memory.read_exact_at(&mut bytes, ea))?;
        let mut line = Line::default();
        for (word, bytes) in line.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = bytes.try_into().map_or(0, u64::from_le_bytes);
        }
        if state.flaw == Flaw::StuckBit {
            line[8..].iter_mut().for_each(|word| *word |= 1 << 5);
        }
        Ok(answer.map_or([u64::MAX; 16], |()| line))
    }
}

/// A process that touches a link which may not be up may not live to tell.
fn by_itself(state: &State) -> Result<()> {
    if state.trained {
        return Ok(());
    }
    Err(Error::system("an access by the process itself to a link that has not trained (model)", libc::EFAULT))
}

impl LinkMemory for Zone {
    fn load(&mut self, off: u64) -> Result<Line> {
        let mut state = self.fabric.state();
        by_itself(&state)?;
        self.fetch(&mut state, off)
    }

    fn store(&mut self, off: u64, line: &Line) -> Result<()> {
        let mut state = self.fabric.state();
        by_itself(&state)?;
        state.step("store through the link")?;
        let bytes: Vec<u8> = line.iter().flat_map(|word| word.to_le_bytes()).collect();
        let lost = state.flaw == Flaw::LostWrites;
        state
            .transaction(self.zone_off + off, (5, 1), |memory, ea| {
                if lost { Ok(()) } else { memory.write_all_at(&bytes, ea) }
            })
            .map(|_| ())
    }

    fn look(&mut self, off: u64, _patience: Duration, _going: &mut dyn FnMut() -> bool) -> Result<Line> {
        self.fetch(&mut self.fabric.state(), off)
    }
}
