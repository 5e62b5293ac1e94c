#!/bin/sh
# The benchmarks: cargo's, then the C++ ones, which get the paths of lineitem.csv and flights.csv.
. "$(dirname "$0")/lib.sh"
cargo bench --workspace --locked --all-features
arrow=$(fetched arrow) && lineitem=$(fetched lineitem) && flights=$(fetched flights) ||
    skip "the C++ benchmarks" "make the Python package index reachable (see tests/env/fetch.py)"
work_dir
for source in cpp-arrow-glue/benches/*.cc; do
    [ -e "$source" ] || continue
    $CXX -std=c++20 -O2 -DNDEBUG -Iinclude -Icpp-arrow-glue/include -isystem "$arrow/include" "$source" -o "$WORK/bench" \
        -L"$OUT" -lcsm -L"$arrow" -larrow_compute -larrow -Wl,-rpath,"$OUT:$arrow"
    "$WORK/bench" "$lineitem" "$flights"
done
