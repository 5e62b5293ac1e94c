#!/usr/bin/env python3
"""What `csm-bringup bench` measures of a window, as records that stand beside the reference's: bringup.py CSM-BRINGUP [--quick].

The window is shared memory of this host that is written back and invalidated as a link that keeps no caches coherent needs.
"""

import json
import os
import re
import subprocess
import sys

US = "libcsm, shm, coherence=lc"


def records(rows):
    for row in rows:
        what, case, how = name(row)
        scale, unit = {"GiB/s": (float(1 << 30), "B/s"), "ns a load": (1, "ns"), "ms a GiB": (1e-3, "s")}[row["unit"]]
        stride = re.fullmatch(r"stride (\d+)", case)
        bits = re.fullmatch(r"u(\d+)", case)
        x = stride or bits
        yield {"work": "component", "what": what, "case": case, "unit": unit, "warm": True, "who": f"{US}{how}",
               "samples": [figure * scale for figure in row["window_runs"]], "includes": row["includes"],
               **({"x": float(x[1])} if x else {})}


def name(row):
    """The step, the case and a suffix to who: `write u64, 2 threads` is the case u64 of write."""
    if match := re.fullmatch(r"(write|read) (u\d+), (\d+ threads?)", row["what"]):
        step = match[1] if row["group"] == "serial" else f"{match[1]}, to or from home"
        return step, match[2], f", {match[3]}"
    if match := re.fullmatch(r"(write|read) every (\d+)", row["what"]):
        return f"strided {match[1]}", f"stride {match[2]}", f", {row['threads']} threads"
    if row["group"] == "flush":
        step, state = row["what"].rsplit(", ", 1)
        return "flush", f"1 GiB, {state}", f", {step}"
    return row["group"], row["what"], ""


def main(program, *options):
    uri = f"shm:bench-bringup-{os.getpid()}?size=512M&coherence=lc"
    done = subprocess.run([program, "bench", "--json", *options, uri], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          text=True)
    if done.returncode:
        raise SystemExit(f"csm-bringup bench ended with status {done.returncode}")
    found = json.loads(done.stdout)
    if not found["optimized"]:
        raise SystemExit("csm-bringup was not built with --release")
    for record in records(found["rows"]):
        print(json.dumps(record))


main(*sys.argv[1:])
