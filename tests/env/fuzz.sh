#!/bin/sh
# Each fuzz target for a bounded time: fuzz.sh [SECONDS] [TARGET...]
# Installs cargo-fuzz if it is missing. With nightly Rust the targets run under AddressSanitizer.
. "$(dirname "$0")/lib.sh"
seconds=${1:-60}
[ $# -eq 0 ] || shift
targets=${*:-uri superblock descriptor catalog}

cargo +nightly --version >/dev/null 2>&1 ||
    refused "fuzzing" "rustup toolchain install nightly"
cargo fuzz --version >/dev/null 2>&1 || cargo install -q --locked cargo-fuzz ||
    skip "fuzzing" "cargo install cargo-fuzz"

# What is found is kept where the next run begins; what fails, in fuzz/artifacts.
work=$TARGET/fuzz
clean() { rm -f /dev/shm/csm.conformance-"$1"-* /dev/shm/csm-members.conformance-"$1"-*; }
failed=0
for target in $targets; do
    echo "-- $target, $seconds s"
    mkdir -p "$work/corpus/$target" "$work/artifacts/$target"
    cargo +nightly fuzz build --fuzz-dir tests/fuzz --target-dir "$work/target" "$target"
    # The region's name has the process id: in the background it is known.
    "$(find "$work/target" -path "*/release/$target" -type f | head -n 1)" "$work/corpus/$target" \
        -artifact_prefix="$work/artifacts/$target/" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 \
        -max_len=4096 -print_final_stats=1 >"$work/$target.log" 2>&1 &
    fuzzer=$!
    if wait $fuzzer; then
        grep -E 'number_of_executed_units|average_exec_per_sec|new_units_added' "$work/$target.log"
    else
        failed=1
        tail -n 60 "$work/$target.log"
        echo "FAILED: $target; the input is in $work/artifacts/$target"
    fi
    clean $fuzzer
done
exit $failed
