#!/bin/sh
# The commands of the README, run as they stand there.
. "$(dirname "$0")/lib.sh"
work_dir
PATH=$OUT:$PATH
cd "$WORK"
printf 'symbol,price,size\nA,10.5,100\nB,20.25,200\nA,10.75,50\n' >trades.csv
csm destroy shm:quickstart >/dev/null 2>&1 || :

csm create 'shm:quickstart?size=64M'
csm put shm:quickstart trades trades.csv
csm ls shm:quickstart
csm cat shm:quickstart trades --limit 2
csm cat shm:quickstart trades -o trades.parquet
csm put shm:quickstart trades trades.parquet --replace
csm stat shm:quickstart
csm verify shm:quickstart
csm rm shm:quickstart trades
csm destroy shm:quickstart

[ "$(csm ls shm:quickstart 2>&1 | wc -l)" -eq 1 ] || fail "the region is still there"
