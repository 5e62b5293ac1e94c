#!/bin/sh
# Guests with real kernels, in which the programs meet real VFIO, devdax, CXL and a stand-in for the ocxl driver.
# vm.sh [SCENARIO...]
. "$(dirname "$0")/lib.sh"
status=0
python3 tests/vm/run.py "$@" || status=$?
[ $status -ne 77 ] || echo "SKIPPED: guests with real kernels. To enable: make test-vm says how" >>"$TARGET/skipped"
exit $status
