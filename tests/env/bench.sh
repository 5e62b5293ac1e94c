#!/bin/sh
# The benchmarks: cargo's, the C ones, then the C++ ones, which get the paths of lineitem.csv and flights.csv.
. "$(dirname "$0")/lib.sh"
cargo bench --workspace --locked --all-features
pmem2=$(pkg-config --cflags --libs libpmem2 2>/dev/null) && pmem2="-DHAVE_PMEM2 $pmem2" || pmem2=
work_dir
$CC -std=gnu11 -O2 -pthread -Iinclude tests/bench/c/flush.c -o "$WORK/bench" -L"$OUT" -lcsm -Wl,-rpath,"$OUT" $pmem2
"$WORK/bench"
arrow=$(fetched arrow) && lineitem=$(fetched lineitem) && flights=$(fetched flights) ||
    skip "the C++ benchmarks" "make the Python package index reachable (see tests/env/fetch.py)"
for source in cpp-arrow-glue/benches/*.cc; do
    [ -e "$source" ] || continue
    $CXX -std=c++20 -O2 -DNDEBUG -Iinclude -Icpp-arrow-glue/include -isystem "$arrow/include" "$source" -o "$WORK/bench" \
        -L"$OUT" -lcsm -L"$arrow" -larrow_compute -larrow -Wl,-rpath,"$OUT:$arrow"
    "$WORK/bench" "$lineitem" "$flights"
done
