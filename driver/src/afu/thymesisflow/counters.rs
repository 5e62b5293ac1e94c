//! What goes through the card: flits out and in, and how long round trips take.
//!
//! The registers are cleared by the read, so there is one reader at a time: whoever begins to count holds the kernel's lock
//! on the AFU's register file, and another reader is refused rather than given half of the flits. Counting ends when the
//! value is dropped. A 37-bit cycle count overflows within minutes at line rate: sample every few seconds.

use std::time::{Duration, Instant};

use crate::afu::find::{AfuInfo, Roots};
use crate::afu::global::{CounterLock, lock_counters, map_global_mmio};
use crate::afu::mmio::Mmio;
use crate::afu::selector::Selector;
use crate::afu::thymesisflow::registers::{Latency, Register};
use crate::afu::thymesisflow::zone::Side;
use crate::error::Result;

/// Bytes of a flit.
const FLIT_BYTES: u64 = 32;

/// What went through the card in an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// How long was counted.
    pub interval: Duration,
    /// Outgoing flits of 32 bytes.
    pub tx_flits: u64,
    /// Incoming flits of 32 bytes.
    pub rx_flits: u64,
    /// Round trips. The memory side measures none.
    pub latency: Latency,
}

impl Sample {
    /// Outgoing bytes a second; 0 for an empty interval.
    #[must_use]
    pub fn tx_bytes_per_s(&self) -> f64 {
        self.rate(self.tx_flits)
    }

    /// Incoming bytes a second; 0 for an empty interval.
    #[must_use]
    pub fn rx_bytes_per_s(&self) -> f64 {
        self.rate(self.rx_flits)
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    fn rate(&self, flits: u64) -> f64 {
        if self.interval.is_zero() {
            return 0.0;
        }
        flits.saturating_mul(FLIT_BYTES) as f64 / self.interval.as_secs_f64()
    }
}

/// The counters of a card that is counting. One thread at a time.
pub struct Counters<'a> {
    global: &'a mut dyn Mmio,
    side: Side,
    since: Instant,
    _lock: CounterLock,
}

impl<'a> Counters<'a> {
    /// Clears the counters and begins to count.
    pub(super) fn begin(global: &'a mut dyn Mmio, side: Side, lock: CounterLock) -> Result<Self> {
        let mut this = Self { global, side, since: Instant::now(), _lock: lock };
        this.sample()?;
        Ok(this)
    }

    /// What went through since the last time this was asked, or since counting began.
    ///
    /// # Errors
    /// Where the registers cannot be reached.
    pub fn sample(&mut self) -> Result<Sample> {
        let tx_flits = Register::TxFlits.read(self.global)?;
        let rx_flits = Register::RxFlits.read(self.global)?;
        let latency = match self.side {
            Side::Compute => Latency::of(Register::Latency.read(self.global)?),
            Side::Memory => Latency::default(),
        };
        let now = Instant::now();
        let interval = now.duration_since(std::mem::replace(&mut self.since, now));
        Ok(Sample { interval, tx_flits, rx_flits, latency })
    }
}

/// Counters of a card that another process has attached: its registers, and no context of its own.
pub struct CounterReader {
    global: Box<dyn Mmio>,
    info: AfuInfo,
    side: Side,
}

impl CounterReader {
    /// Reaches the counters of the AFU that `selector` means. `side` says which registers it has.
    ///
    /// # Errors
    /// As [`Roots::find`], and where the registers cannot be mapped: they are root's.
    pub fn open(roots: &Roots, selector: &Selector, side: Side) -> Result<Self> {
        let info = roots.find(selector)?;
        Ok(Self { global: map_global_mmio(&info, info.global_mmio_bytes)?, info, side })
    }

    /// Begins to count.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InUse`] while another process reads the counters.
    pub fn counters(&mut self) -> Result<Counters<'_>> {
        Counters::begin(&mut *self.global, self.side, lock_counters(&self.info)?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn rates_are_of_bytes_and_divide_by_no_zero() {
        let mut sample = Sample {
            interval: Duration::from_millis(500),
            tx_flits: 10,
            rx_flits: u64::MAX,
            latency: Latency::default(),
        };
        assert_eq!(sample.tx_bytes_per_s(), 640.0);
        assert!(sample.rx_bytes_per_s().is_finite());
        sample.interval = Duration::ZERO;
        assert_eq!((sample.tx_bytes_per_s(), sample.rx_bytes_per_s()), (0.0, 0.0));
        assert_eq!(sample.latency.mean_cycles(), None);
    }

    /// A file in the place of the kernel's: it takes the lock, and is not cleared by the read.
    #[test]
    fn the_kernel_lets_one_process_count() {
        let root = std::env::temp_dir().join(format!("csm-counters-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let sys = root.join("IBM,RMEM.0006:00:00.1.0");
        fs::create_dir_all(&sys).unwrap();
        for (file, text) in [
            ("afu_version", "1:0"),
            ("contexts", "1/1"),
            ("global_mmio_size", "65536"),
            ("pp_mmio_size", "0"),
        ] {
            fs::write(sys.join(file), text).unwrap();
        }
        let mut registers = vec![0; 65536];
        registers[0x60] = 7;
        fs::write(sys.join("global_mmio_area"), registers).unwrap();
        let roots = Roots::default().with_dev(&root).with_sys(&root);
        let selector: Selector = "IBM,RMEM".parse().unwrap();
        let mut one = CounterReader::open(&roots, &selector, Side::Memory).unwrap();
        let mut two = CounterReader::open(&roots, &selector, Side::Memory).unwrap();
        let mut counting = one.counters().unwrap();
        let error = two.counters().err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InUse);
        assert!(error.message().contains("one reader at a time"), "{error}");
        assert_eq!(counting.sample().unwrap().tx_flits, 7);
        drop(counting);
        assert!(two.counters().is_ok());
        drop((one, two));
        fs::remove_dir_all(&root).unwrap();
    }
}
