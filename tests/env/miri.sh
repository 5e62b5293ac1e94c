#!/bin/sh
# Miri finds undefined behaviour, in what needs no fixed mapping: the parsers, the exported C structs and their
# release callbacks, on any thread.
. "$(dirname "$0")/lib.sh"
cargo +nightly miri --version >/dev/null 2>&1 ||
    refused "Miri" "rustup toolchain install nightly --component miri,rust-src"
export MIRIFLAGS=-Zmiri-disable-isolation
cargo +nightly miri test --locked -p csm --lib -- table:: units:: uri:: region::layout:: region::superblock::round
cargo +nightly miri test --locked -p csm --test format -- release
