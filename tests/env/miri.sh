#!/bin/sh
# The unit tests of the crate under Miri, which finds undefined behaviour; tests that Miri cannot run
# (system calls it does not know) say `#[cfg_attr(miri, ignore)]`.
. "$(dirname "$0")/lib.sh"
cargo +nightly miri --version >/dev/null 2>&1 ||
    refused "Miri" "rustup toolchain install nightly --component miri,rust-src"
MIRIFLAGS="-Zmiri-disable-isolation" cargo +nightly miri test --locked -p csm --lib --no-default-features
