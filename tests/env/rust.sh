#!/bin/sh
# Every Rust test but the model's and the mutants. The conformance programs, each of which is mostly one process after
# the other, run beside the rest.
. "$(dirname "$0")/lib.sh"
tests() { cargo test --workspace --exclude csm-model --locked --all-features "$@"; }
tests --no-run
work_dir
tests --test shm --test incoherent --test file >"$WORK/log" 2>&1 &
half=$! status=0
tests --exclude csm-mutants --exclude csm-conformance || status=$?
tests --test seeds || status=$?
tests --lib history || status=$?
wait $half || status=$?
cat "$WORK/log"
exit $status
