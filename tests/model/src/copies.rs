//! Which copies matter. A copy that every process of its view drops before reading it again cannot
//! be told from no copy at all: forgetting it makes equal futures equal states, and keeps the
//! adversary from fetching in vain.

use crate::config::Config;
use crate::memory::{COMMIT, INCARNATION, LineSet, MARK, lease};
use crate::program::{Activity, At, Op, Programs, resolve};
use crate::state::Proc;

/// The lines of which a copy held now could still serve a load of process `p`: those that it may
/// read before it has dropped them.
pub(crate) fn wanted(config: &Config, programs: &Programs, proc: &Proc, p: usize) -> LineSet {
    // What it does next; every reader begins with `Open`, and no owner scans with fewer fences
    // than `Reclaim`.
    let next: &[Activity] = match (config.is_owner(p), proc.activity) {
        (true, Activity::Enter) => &[Activity::Reclaim],
        (true, _) => &[Activity::Enter, Activity::Reclaim],
        (false, _) => &[Activity::Open],
    };
    let rest = programs.ops(proc.activity).get(usize::from(proc.pc)..).unwrap_or_default();
    let ops = rest.iter().chain(next.iter().flat_map(|&activity| programs.ops(activity)));

    let cached = config.has_cache(p);
    let mut wanted = 0;
    let mut dropped = 0;
    let mut dropping = proc.invalidating;
    for &op in ops {
        let read = match op {
            Op::Fence | Op::Lock | Op::Invalidate(_) if config.exhaustive_copies => continue,
            Op::Fence | Op::Lock if !cached => return wanted,
            Op::Fence => {
                dropped |= dropping;
                continue;
            }
            Op::Invalidate(at) => {
                dropping |= resolve(config, proc, p, at);
                continue;
            }
            Op::Look | Op::ReadRecord | Op::LookAgain => 1 << COMMIT,
            Op::CheckDescriptor => resolve(config, proc, p, At::Descriptor),
            Op::ReadData => resolve(config, proc, p, At::Data),
            Op::ScanIncarnation | Op::ReadIncarnation => 1 << INCARNATION,
            Op::ScanMark | Op::LookMark | Op::CheckMark | Op::JoinMark => 1 << MARK,
            Op::Scan(q) => 1 << lease(q),
            _ => continue,
        };
        wanted |= read & !dropped;
    }
    wanted
}
