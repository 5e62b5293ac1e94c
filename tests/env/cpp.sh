#!/bin/sh
# The C++ glue's examples and tests against one Arrow: `cpp.sh arrow | arrow-old [asan]`.
. "$(dirname "$0")/lib.sh"
have "$CXX" || skip "the C++ tests" "install a C++ compiler (Debian: apt-get install g++)"
arrow=$(fetched "$1") || skip "the C++ tests with $1" "make the Python package index reachable (see tests/env/fetch.py)"
work_dir

case $1 in
    arrow-old) flags="-std=c++17 -D_GLIBCXX_USE_CXX11_ABI=0" ;;
    *) flags="-std=c++20" ;;
esac
flags="$flags -g -O1 -Wall -Wextra -Werror -pthread -Iinclude -Icpp-arrow-glue/include -isystem $arrow/include"
link="-L$OUT -lcsm -Wl,-rpath,$OUT -L$arrow -larrow -Wl,-rpath,$arrow"
[ -e "$arrow/libarrow_compute.so" ] && link="$link -Wl,--no-as-needed -larrow_compute"
if [ "${2:-}" = asan ]; then
    prove_sanitizers "$CXX"
    # Arrow's own type information is hidden in its library, so UBSan cannot check its vtables.
    flags="$flags $SANITIZE -fno-sanitize=vptr"
fi
SCHEMES="shm incoherent"
run_programs "$CXX $flags" "$link" cpp-arrow-glue/tests/*.cc cpp-arrow-glue/examples/*.cc
