#!/usr/bin/env python3
"""TPC-H Q1 and Q6 with pyarrow on lineitem that another process published, beside the same on pyarrow's own memory.

    query.py LINEITEM.csv [--quick]

or, as its own children, each a fresh process:

    query.py --publish URI LINEITEM.csv BYTES
    query.py --cold URI libcsm|"default pool" q1|q6      one query on one table: the cold samples
    query.py --warm URI LINEITEM.csv BYTES RUNS          both queries on both tables, in turns

The table comes through the Arrow C stream interface, without a copy.
"""

import datetime
import json
import math
import os
import subprocess
import sys
from time import perf_counter_ns as now

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

import csm
from lifetime import exit_when_told

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
        ("l_extendedprice", "mean"), ("l_discount", "mean"), ([], "count_all")]).sort_by(
            [("l_returnflag", "ascending"), ("l_linestatus", "ascending")])


def q6(lineitem):
    column = pc.field
    kept = lineitem.select(["l_shipdate", "l_discount", "l_quantity", "l_extendedprice"]).filter(
        (column("l_shipdate") >= pa.scalar(datetime.date(1994, 1, 1)))
        & (column("l_shipdate") < pa.scalar(datetime.date(1995, 1, 1)))
        & (column("l_discount") >= 0.05) & (column("l_discount") <= 0.07) & (column("l_quantity") < 24))
    return pa.table({"revenue": [pc.sum(pc.multiply(kept["l_extendedprice"], kept["l_discount"])).as_py()]})


QUERIES = {"q1": q1, "q6": q6}


def check_same(result, other):
    """The same cells; but sums of floats depend on the order in which threads come by, so those may differ a little."""
    rows, other_rows = ([list(row.values()) for row in table.to_pylist()] for table in (result, other))
    def same(a, b):
        return math.isclose(a, b, rel_tol=1e-9) if isinstance(a, float) and isinstance(b, float) else a == b
    if not rows or len(rows) != len(other_rows) or not all(
            len(a) == len(b) and all(map(same, a, b)) for a, b in zip(rows, other_rows)):
        raise SystemExit(f"other results: {rows} and {other_rows}")


def publish(uri, path, nbytes):
    region = csm.Region(uri)
    region.publish("lineitem", read(path, nbytes).to_reader())
    region.close()


def timed(query, lineitem):
    start = now()
    result = QUERIES[query](lineitem)
    return result, (now() - start) / 1e9


def emit(query, who, rows, warm, samples):
    includes = "the compute functions on all threads; the tables are open"
    if not warm:
        includes += "; in a fresh process that did nothing else"
        includes += " but make the copy, before, so that its pages are there and mapped" if who != "libcsm" else ""
    print(json.dumps({"work": "query", "case": f"{query.upper()}, {rows} rows", "x": rows, "who": who, "what": "Python, pyarrow",
                      "unit": "s", "warm": warm, "samples": samples, "includes": includes, "limit": who != "libcsm"}), flush=True)


def copied(table):
    """Its chunks, each copied to the default pool."""
    return pa.table([pa.chunked_array([pa.concat_arrays([chunk]) for chunk in column.chunks], column.type)
                     for column in table.columns], schema=table.schema)


def cold(uri, who, query):
    """The first query of this process, on one table."""
    published = csm.Region(uri).open("lineitem", pa).read_all()
    result, seconds = timed(query, published if who == "libcsm" else copied(published))
    # Only now the other memory: what was measured is to be the first that this process does.
    check_same(result, QUERIES[query](copied(published) if who == "libcsm" else published))
    emit(query, who, published.num_rows, False, [seconds])


def warm(uri, path, nbytes, runs):
    published = csm.Region(uri).open("lineitem", pa).read_all()
    own = read(path, nbytes)
    if not own.equals(published):
        raise SystemExit("what was published is not what was read")
    tables = [("libcsm", published), ("default pool", own)]
    samples, first = {}, {}
    for run in range(runs + 1):
        for query in QUERIES:
            for who, table in tables:
                result, seconds = timed(query, table)
                check_same(result, first.setdefault(query, result))
                if run:  # the first fills caches and the pool
                    samples.setdefault((query, who), []).append(seconds)
        tables.reverse()
    for (query, who), seconds in samples.items():
        emit(query, who, published.num_rows, True, seconds)


def main():
    exit_when_told()  # or the region would stay
    path, quick = sys.argv[1], "--quick" in sys.argv
    nbytes = QUICK_BYTES if quick else 0
    uri = f"shm:bench-query-py-{os.getpid()}"
    csm.create(f"{uri}?size={'512M' if quick else '3G'}").close()
    try:
        subprocess.run([sys.executable, __file__, "--publish", uri, path, str(nbytes)], check=True)
        # In processes of their own too: they end with their leases, and the region can be destroyed.
        for _ in range(3 if quick else 5):
            for query in QUERIES:
                for who in ("libcsm", "default pool"):
                    subprocess.run([sys.executable, __file__, "--cold", uri, who, query], check=True)
        for _ in range(2 if quick else 5):
            subprocess.run([sys.executable, __file__, "--warm", uri, path, str(nbytes), "6" if quick else "8"], check=True)
    finally:
        csm.destroy(uri)
    if quick:
        print(json.dumps({"work": "query", "missing": "Python, pyarrow on all of lineitem", "why": "left out by QUICK=1"}))


if __name__ == "__main__":
    if sys.argv[1] == "--publish":
        publish(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    elif sys.argv[1] == "--cold":
        cold(*sys.argv[2:])
    elif sys.argv[1] == "--warm":
        warm(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        main()
