"""One end of a peer: child.py MODULE writer|reader PLACE SIZE_BYTES. Commands on stdin, answers on stdout, a JSON line each.

PLACE is a prefix for whatever the peer has to name (a region, a socket, a file). Everything is timed in the process that
does it, by the monotonic clock, so neither the pipes nor Python's start count.
"""

import importlib
import json
import resource
import sys
from time import perf_counter_ns as now

import table


def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def put(peer, name, round_number):
    before, start = faults(), now()
    source = peer.source()
    source.fill(round_number)
    built = now()
    peer.put(name, source)
    return {"build": built - start, "put": now() - built, "faults": faults() - before}


def get(peer, name):
    before, start = faults(), now()
    batch, rest = peer.open(name)
    opened = now()
    value = table.first_value(batch)
    first = now()
    batches = [batch, *rest()]
    total = sum(table.sum_columns(b.columns) for b in batches) % (1 << 64)
    scanned = now()
    after = faults()
    again = sum(table.sum_columns(b.columns) for b in batches) % (1 << 64)
    ended = now()
    if total != again:
        raise SystemExit("the second scan found another sum than the first")
    return {"open": opened - start, "first value": first - opened, "first scan": scanned - first,
            "second scan": ended - scanned, "value": value, "sum": total, "faults": after - before}


def expected(size_bytes, round_number):
    """What a reader of this round must find."""
    import pyarrow as pa
    source = table.Source(size_bytes)
    source.fill(round_number)
    return {"sum": table.sum_columns(source.arrow(pa).columns)}


def answer(what):
    """In one system call: count.py counts them."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main(module, role, place, size_bytes):
    size_bytes = int(size_bytes)
    if role == "expected":
        answers = {"sum": lambda c: expected(size_bytes, c["round"])}
        ready = {}
    else:
        module = importlib.import_module(module)
        start = now()
        peer = (module.Writer if role == "writer" else module.Reader)(place, size_bytes)
        ready = {"setup": now() - start}
        answers = {"put": lambda c: put(peer, c["name"], c["round"]), "get": lambda c: get(peer, c["name"]),
                   "remove": lambda c: peer.remove(c["name"]) or {}, "close": lambda c: peer.close() or {}}
    answer(ready)
    for line in sys.stdin:
        command = json.loads(line)
        answer(answers[command["do"]](command))


main(*sys.argv[1:])
