#!/bin/sh
# Guests with real kernels, in which the programs meet real VFIO, devdax, CXL and a stand-in for the ocxl driver.
# vm.sh [SCENARIO...]
. "$(dirname "$0")/lib.sh"
status=0
python3 tests/vm/run.py "$@" || status=$?
# Where nothing may be skipped, that is a failure; `make` shows it as one in any case.
[ $status -ne 77 ] || [ -n "${CSM_NO_SKIP:-}" ] || status=0
exit $status
