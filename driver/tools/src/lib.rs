//! What the commands `csm` and `csm-bringup` share: output, columns, one line an error. It is theirs, and no API
//! for others.

pub mod columns;
pub mod fail;
pub mod output;
