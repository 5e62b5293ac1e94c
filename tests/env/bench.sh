#!/bin/sh
# The benchmarks, libcsm beside its peers: builds them, runs them one after the other, writes <target>/bench/report.md.
# QUICK=1: at most five minutes of measuring on two processors. ONLY="share;query": those works alone.
# DOCS=1: writes docs/benchmarks and the README's short table as well.
. "$(dirname "$0")/lib.sh"
python=python3
"$python" -c 'import tomllib' 2>/dev/null || python=python3.11
have "$python" || fail "the benchmarks want Python 3.11 or later: install it (Debian 12 has it as python3)"
exec "$python" tests/bench/run.py --out "$TARGET/bench" ${QUICK:+--quick} ${ONLY:+--only "$ONLY"} ${DOCS:+--docs}
