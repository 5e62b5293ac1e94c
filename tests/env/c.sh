#!/bin/sh
# The C examples and tests, compiled as a user would and run. `c.sh asan`: under ASan and UBSan.
. "$(dirname "$0")/lib.sh"
have "$CC" || skip "the C tests" "install a C compiler (Debian: apt-get install gcc)"
work_dir

flags="-std=gnu11 -g -O1 -Wall -Wextra -Wpedantic -Werror -pthread -Iinclude"
if [ "${1:-}" = asan ]; then
    prove_sanitizers "$CC"
    flags="$flags $SANITIZE"
fi
SCHEMES="shm incoherent"
run_programs "$CC $flags" "-L$OUT -lcsm -Wl,-rpath,$OUT -lm" c-examples/*.c tests/c/*.c
