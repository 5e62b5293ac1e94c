//! Step: a table published on one end and read on the other.
//!
//! The raw tests are over and the window is nobody's: node 0 makes a region in it and publishes a table, node 1
//! opens and adds it up. The ends talk by what regions have: the owner sees the borrower's lease, and which of two more tables
//! the borrower opens is its verdict, so the owner knows what the borrower saw. One direction: a region's owner is node 0.

use std::time::Duration;

use csm::{Context, Error, ErrorKind, OpenOptions, Region, Table};
use serde_json::json;

use super::column;
use super::ends::Ends;
use super::memory::mix;
use super::partner::Partner;
use super::report::{Step, Verdict};
use crate::failure::Done;
use crate::run::Run;
use crate::wait::until;

const ROWS: u64 = 1 << 16;
const TABLE: &str = "selftest";
const RIGHT: &str = "selftest.right";
const WRONG: &str = "selftest.wrong";
const END: &str = "selftest.end";

/// What the step works with.
pub(super) struct Work<'a> {
    pub(super) run: &'a Run,
    pub(super) ends: &'a Ends,
    pub(super) timeout: Duration,
    pub(super) partner: Option<Partner>,
    /// What the values are drawn from, known on both ends.
    pub(super) seed: u64,
}

/// A region that is destroyed with this.
struct Scratch<'a> {
    context: &'a Context,
    uri: &'a str,
    region: Option<Region>,
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        if let Some(region) = self.region.take() {
            drop(region);
            if let Err(e) = self.context.destroy(self.uri) {
                eprintln!("csm-bringup: leaving {}: {e}", self.uri);
            }
        }
    }
}

/// Publishes on node 0, reads on node 1.
pub(super) fn run(mut work: Work<'_>) -> Done<Step> {
    let step = if work.ends.node == 0 { work.own()? } else { work.borrow()? };
    if let Some(partner) = work.partner.take() {
        partner.join(work.run, work.timeout)?;
    }
    Ok(step)
}

impl Work<'_> {
    fn value(&self, row: u64) -> u64 {
        mix(self.seed, row) >> 1
    }

    /// Waits, as long as the other end's process lives.
    fn until<T>(&mut self, what: &str, mut look: impl FnMut() -> Done<Option<T>>) -> Done<T> {
        let partner = &mut self.partner;
        until(what, self.timeout, self.run.interrupt(), || {
            let answer = look()?;
            if answer.is_none()
                && let Some(partner) = partner
            {
                partner.check()?;
            }
            Ok(answer)
        })
    }

    fn own(&mut self) -> Done<Step> {
        let mut step = Step::new("table");
        let context = Context::new()?;
        let region = context.create(&self.ends.region_uri())?;
        let uri = self.ends.uri.clone();
        let mut scratch = Scratch { context: &context, uri: &uri, region: Some(region.clone()) };
        column::publish(&region, WRONG, [0].into_iter())?;
        column::publish(&region, RIGHT, [1].into_iter())?;
        let values: Vec<u64> = (0..ROWS).map(|row| self.value(row)).collect();
        column::publish(&region, TABLE, values.into_iter())?;
        let lease_on = |name: &'static str| {
            move |region: &Region| -> Done<bool> {
                Ok(region.leases()?.iter().any(|lease| lease.node == 1 && lease.table == name))
            }
        };
        self.until("node 1 to open the table", || Ok(lease_on(TABLE)(&region)?.then_some(())))?;
        let right = self.until("node 1 to say what it read", || {
            let right = lease_on(RIGHT)(&region)?;
            Ok((right || lease_on(WRONG)(&region)?).then_some(right))
        })?;
        column::publish(&region, END, [0].into_iter())?;
        self.until("node 1 to give its leases back", || {
            Ok(region.leases()?.iter().all(|lease| lease.node != 1).then_some(()))
        })?;
        drop(region);
        scratch.region = None;
        self.until("node 1 to close the region", || match context.destroy(&uri) {
            Ok(()) => Ok(Some(())),
            Err(e) if e.kind() == ErrorKind::InUse => Ok(None),
            Err(e) => Err(e.into()),
        })?;
        let rows = format!("{ROWS} rows");
        if right {
            step.add(Verdict::Pass, format!("a table of {rows}, published by node 0, is right on node 1; node 0 saw its lease come and go"));
        } else {
            step.add(
                Verdict::Fail,
                format!(
                    "a table of {rows}, published by node 0, is wrong on node 1; its own report says where"
                ),
            );
        }
        step.details = json!({ "rows": ROWS, "right": right, "lease_seen": true });
        Ok(step)
    }

    fn borrow(&mut self) -> Done<Step> {
        let mut step = Step::new("table");
        let context = Context::new()?;
        let uri = self.ends.uri.clone();
        let mut last = None;
        let opened = self.until("node 0's region", || match context.open(&uri) {
            Ok(region) => Ok(Some(region)),
            // It is being made.
            Err(e) => {
                last = Some(e);
                Ok(None)
            }
        });
        let region = match (opened, last) {
            (Err(failure), Some(e)) if failure.exit() == crate::failure::Exit::TimedOut => {
                return Err(e
                    .with_kind(ErrorKind::TimedOut)
                    .context("timed out waiting for node 0's region")
                    .into());
            }
            (opened, _) => opened?,
        };
        let table = self.until("node 0's table", || open(&region, TABLE))?;
        let read = column::values(&table)?;
        let wrong = read.as_ref().map(|(at, values)| {
            let differs = |(row, value): (u64, &u64)| (*value != self.value(row)).then_some(row);
            let first = (0..).zip(values).find_map(differs);
            (first, values.len() as u64 != ROWS || !region.contains(at.cast()))
        });
        let right = wrong == Some((None, false));
        let sum =
            read.iter().flat_map(|(_, values)| values).fold(0_u64, |sum, value| sum.wrapping_add(*value));
        let verdict =
            self.until("node 0's further tables", || open(&region, if right { RIGHT } else { WRONG }))?;
        self.until("node 0 to see this end's lease", || open(&region, END))?;
        drop((verdict, table, region));
        if right {
            step.add(
                Verdict::Pass,
                format!("a table of {ROWS} rows, published by node 0, is right here, in place"),
            );
        } else {
            let first = wrong.and_then(|(first, _)| first);
            let text = first
                .map_or("it has another length or place".to_owned(), |row| format!("row {row} is the first"));
            step.add(
                Verdict::Fail,
                format!("a table of {ROWS} rows, published by node 0, is wrong here: {text}"),
            );
        }
        step.details = json!({ "rows": ROWS, "right": right, "sum": sum });
        Ok(step)
    }
}

/// The table of a name, once there is one.
fn open(region: &Region, name: &str) -> Done<Option<Table>> {
    match region.open_table(name, &OpenOptions::default()) {
        Ok(table) => Ok(Some(table)),
        Err(e) if e.kind() == ErrorKind::NameNotFound => Ok(None),
        Err(e) => Err(Error::context(e, "reading node 0's table").into()),
    }
}
