#!/usr/bin/env python3
"""TPC-H Q1 and Q6 with pyarrow on lineitem that another process published, beside the same on pyarrow's own memory.

    query.py LINEITEM.csv [--quick]        or, as its own children: query.py --publish URI LINEITEM.csv BYTES
                                           and: query.py --measure URI LINEITEM.csv BYTES RUNS

The two take turns in one process. The table comes through the Arrow C stream interface, without a copy.
"""

import datetime
import json
import os
import subprocess
import sys
from time import perf_counter_ns as now

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

import csm

QUICK_BYTES = 80 << 20


def read(path, nbytes):
    """The whole lines in the first `nbytes` bytes, or in all where that is 0."""
    if not nbytes:
        return pa.csv.read_csv(path)
    with open(path, "rb") as file:
        head = file.read(nbytes)
    return pa.csv.read_csv(pa.py_buffer(head[:head.rindex(b"\n") + 1]))


def q1(lineitem):
    column = pc.field
    lineitem = lineitem.select(["l_returnflag", "l_linestatus", "l_quantity", "l_extendedprice", "l_discount", "l_tax",
                                "l_shipdate"]).filter(column("l_shipdate") <= pa.scalar(datetime.date(1998, 9, 2)))
    discounted = pc.multiply(lineitem["l_extendedprice"], pc.subtract(1.0, lineitem["l_discount"]))
    lineitem = lineitem.append_column("discounted", discounted)
    lineitem = lineitem.append_column("charge", pc.multiply(discounted, pc.add(1.0, lineitem["l_tax"])))
    return lineitem.group_by(["l_returnflag", "l_linestatus"]).aggregate([
        ("l_quantity", "sum"), ("l_extendedprice", "sum"), ("discounted", "sum"), ("charge", "sum"), ("l_quantity", "mean"),
        ("l_extendedprice", "mean"), ("l_discount", "mean"), ([], "count_all")]).num_rows


def q6(lineitem):
    column = pc.field
    kept = lineitem.select(["l_shipdate", "l_discount", "l_quantity", "l_extendedprice"]).filter(
        (column("l_shipdate") >= pa.scalar(datetime.date(1994, 1, 1)))
        & (column("l_shipdate") < pa.scalar(datetime.date(1995, 1, 1)))
        & (column("l_discount") >= 0.05) & (column("l_discount") <= 0.07) & (column("l_quantity") < 24))
    return pc.sum(pc.multiply(kept["l_extendedprice"], kept["l_discount"])).as_py()


def publish(uri, path, nbytes):
    region = csm.Region(uri)
    region.publish("lineitem", read(path, nbytes).to_reader())
    region.close()


def measure(uri, path, nbytes, runs):
    region = csm.Region(uri)
    published = region.open("lineitem", pa).read_all()
    own = None
    samples = {}
    for run in range(runs + 1):
        if run == 1:
            own = read(path, nbytes)
            if not own.equals(published):
                raise SystemExit("what was published is not what was read")
        for query in (q1, q6):
            results = set()
            for who, table in (("libcsm", published), ("default pool", own)):
                if table is None:
                    continue
                start = now()
                results.add(query(table))
                took = now() - start
                if run != 1:  # fills caches and the pool
                    samples.setdefault((query.__name__, who, run > 0), []).append(took / 1e9)
            if len(results) != 1:
                raise SystemExit(f"{query.__name__}: other results: {results}")
    for (query, who, warm), seconds in samples.items():
        print(json.dumps({"work": "query", "case": f"{query.upper()}, {published.num_rows} rows", "x": published.num_rows,
                          "who": who, "what": "Python, pyarrow", "unit": "s", "warm": warm, "samples": seconds,
                          "includes": "the compute functions on all threads; the tables are open", "limit": who != "libcsm"}))


def main():
    path, quick = sys.argv[1], "--quick" in sys.argv
    nbytes = QUICK_BYTES if quick else 0
    uri = f"shm:bench-query-py-{os.getpid()}"
    csm.create(f"{uri}?size={'512M' if quick else '3G'}").close()
    try:
        subprocess.run([sys.executable, __file__, "--publish", uri, path, str(nbytes)], check=True)
        # In a process of its own too: it ends with its leases, and the region can be destroyed.
        # Each has one cold run.
        for _ in range(2 if quick else 5):
            subprocess.run([sys.executable, __file__, "--measure", uri, path, str(nbytes), "6" if quick else "8"], check=True)
    finally:
        csm.destroy(uri)


if __name__ == "__main__":
    if sys.argv[1] == "--publish":
        publish(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    elif sys.argv[1] == "--measure":
        measure(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        main()
