//! What this machine's caches can do, for people: the instructions that [`native`](super::native) chooses.

use super::{choices, native};
use crate::error::Result;

/// The cache instructions of this machine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ArchReport {
    /// The instruction set, as Rust names it.
    pub architecture: &'static str,
    /// Bytes of a cache line as the instructions step.
    pub line_bytes: u64,
    /// Writes a line home.
    pub write_back: &'static str,
    /// Drops a line, after writing it home.
    pub invalidate: &'static str,
    /// Completes both, and keeps later loads behind them.
    pub fence: &'static str,
    /// What a URI's `flush=` can force here.
    pub choices: Vec<&'static str>,
}

/// What this machine's caches can do.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind) where the processor lacks the instructions, or its lines are longer than
/// a region's layout allows: then only memory that hardware keeps coherent can be used.
pub fn arch_report() -> Result<ArchReport> {
    let line_bytes = native(None)?.line_bytes();
    let choices: Vec<_> = choices().iter().copied().filter(|choice| native(Some(choice)).is_ok()).collect();
    let first =
        |names: &[&'static str]| names.iter().copied().find(|name| choices.contains(name)).unwrap_or("");
    let (write_back, invalidate, fence) = match std::env::consts::ARCH {
        "x86_64" => (first(&["clwb", "clflushopt", "clflush"]), first(&["clflushopt", "clflush"]), "mfence"),
        "powerpc64" => ("dcbst", "dcbf", "sync"),
        "aarch64" => ("dc cvac", "dc civac", "dsb sy"),
        _ => ("", "", ""),
    };
    Ok(ArchReport {
        architecture: std::env::consts::ARCH,
        line_bytes,
        write_back,
        invalidate,
        fence,
        choices,
    })
}
