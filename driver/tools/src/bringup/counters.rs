//! `csm-bringup counters`: the traffic of a ThymesisFlow card, as rates over measured intervals.
//!
//! The card clears its counters when they are read, so one process counts at a time; the attach process leaves them
//! alone. One line, or one JSON object, an interval.

use std::time::Duration;

use clap::Args;
use csm::afu::thymesisflow::{CounterReader, Sample, Side};
use csm::units::format_size;
use csm::uri::{Scheme, Uri};
use csm::{Error, ErrorKind};
use csm_tools::output::Output;
use serde_json::json;

use crate::attach::roots;
use crate::failure::Done;
use crate::hold::state;
use crate::link::{End, Link};
use crate::run::Run;
use crate::wait::duration;

/// Show the traffic of a link, an interval a line, until Ctrl-C
#[derive(Args)]
pub(crate) struct Counters {
    /// The name, as `csm-bringup status` lists it, or a thymesisflow: URI
    name: String,

    /// How long to count for a line
    #[arg(long, default_value = "1s", value_parser = duration)]
    interval: Duration,

    /// Lines to print; else until Ctrl-C
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

impl Counters {
    pub(crate) fn run(self, run: &Run) -> Done {
        // A URI counts whoever attached its card; a name is that of a state file.
        let uri = match self.name.contains(':') {
            true => csm::cluster::uri(&self.name)?,
            false => Uri::parse(state::find(run, &self.name)?.uri())?,
        };
        if uri.scheme() != Scheme::ThymesisFlow {
            let text = format!("{}: only thymesisflow: links have counters", uri.label());
            return Err(Error::new(ErrorKind::InvalidArgument, text).into());
        }
        let link = Link::of(&uri)?;
        let side = match link.end {
            End::Memory { .. } => Side::Memory,
            End::Compute { .. } => Side::Compute,
        };
        let mut reader = CounterReader::open(&roots(run), &link.afu, side)?;
        let mut counters = reader.counters()?;
        let mut out = Output::stdout();
        if !run.json() {
            out.line(format_args!(
                "{:>14} {:>14} {:>12} {:>12} {:>14}",
                "OUT/s", "IN/s", "OUT flits", "IN flits", "ROUND TRIP"
            ))?;
        }
        let mut lines = 0;
        while self.count.is_none_or(|count| lines < count) {
            std::io::Write::flush(&mut out)
                .map_err(|e| csm_tools::fail::system("write to standard output", &e))?;
            // An interval cut short by Ctrl-C is as good as a whole one: its length is measured.
            let last = run.interrupt().wait(self.interval);
            let sample = counters.sample()?;
            if run.json() {
                out.line(json(&sample))?;
            } else {
                out.line(text(&sample))?;
            }
            lines += 1;
            if last {
                break;
            }
        }
        Ok(out.finish()?)
    }
}

fn json(sample: &Sample) -> serde_json::Value {
    json!({
        "interval_ns": u64::try_from(sample.interval.as_nanos()).unwrap_or(u64::MAX),
        "tx_flits": sample.tx_flits,
        "rx_flits": sample.rx_flits,
        "tx_bytes_per_s": sample.tx_bytes_per_s(),
        "rx_bytes_per_s": sample.rx_bytes_per_s(),
        "round_trips": sample.latency.measurements,
        "round_trip_cycles": sample.latency.mean_cycles(),
    })
}

fn text(sample: &Sample) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate for people")]
    let rate = |bytes: f64| format_size(bytes as u64);
    let trip =
        sample.latency.mean_cycles().map_or_else(|| "none".into(), |cycles| format!("{cycles:.0} cycles"));
    format!(
        "{:>14} {:>14} {:>12} {:>12} {:>14}",
        rate(sample.tx_bytes_per_s()),
        rate(sample.rx_bytes_per_s()),
        sample.tx_flits,
        sample.rx_flits,
        trip
    )
}
