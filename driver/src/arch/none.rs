//! Instruction sets without cache instructions here: regions on coherent memory work all the same.

use super::CacheOps;
use crate::error::{Error, ErrorKind, Result};

pub(super) const CHOICES: &[&str] = &[];

pub(super) fn detect(_choice: Option<&str>) -> Result<Box<dyn CacheOps>> {
    let text = format!(
        "libcsm has no cache instructions for {}; use memory that the hardware keeps coherent",
        std::env::consts::ARCH
    );
    Err(Error::new(ErrorKind::Unsupported, text))
}
