#!/bin/sh
# Some of the benchmarks, quickly: that `make bench` builds them, runs them and writes its report. Its figures are not looked at.
. "$(dirname "$0")/lib.sh"
python3 -c 'import tomllib' 2>/dev/null || skip "the benchmarks" "install Python 3.11 or later"
have "$CXX" || skip "the benchmarks" "install a C++ compiler (Debian: apt-get install g++)"
fetched arrow >/dev/null && fetched python-plots >/dev/null ||
    skip "the benchmarks" "make the Python package index reachable (see tests/env/fetch.py)"
[ "$(df -Pk /dev/shm | awk 'NR == 2 { print int($4 / 1048576) }')" -ge 2 ] || skip "the benchmarks" "give /dev/shm 2 GiB"
work_dir
python3 tests/bench/run.py --quick --only "components, C++;builders;csm-bringup bench" --out "$WORK"
for section in "## Building tables with Arrow" "### Transfer, full copy" "### Ping" "![The component benchmarks of the reference](component.svg)" "## Machine"; do
    grep -qF "$section" "$WORK/report.md" || fail "the report has no \"$section\""
done
# What a quick run leaves out, and what cannot be: shared memory has no other node that could allocate in it.
if grep '"missing":' "$WORK/report.json" | grep -v -e 'left out by QUICK=1' -e '"malloc, remote"'; then
    fail "what is listed above is missing from the report"
fi
