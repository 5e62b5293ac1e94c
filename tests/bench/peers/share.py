#!/usr/bin/env python3
"""Shares a table between two processes, through libcsm and through its peers, which take turns.

    share.py [--quick] [--sizes 1,100] NAME=PYTHON...      NAME: arrow, plasma, vineyard; PYTHON: an interpreter, or "missing:WHY"

A session is one peer with fresh processes: a writer, a reader, whatever server it wants. Its first round is the cold
sample (no page of the shared memory was mapped in these processes), the rounds after it are warm ones. The peers' sessions
follow each other, A B C A B C, so that what changes on the machine meanwhile changes for all of them.
"""

import argparse
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

from lifetime import die_with, exit_when_told

HERE = Path(__file__).resolve().parent
MIB = 1 << 20
STEPS = ("build", "put", "open", "first value", "first scan", "second scan")
# What is reported: the first value from the name on, and the sums.
REPORTED = ("build", "put", "open", "open to first value", "first scan", "second scan", "end to end")
COLD_ONLY = ("setup", "from nothing")

# Said of those peers.
KEEPS = ("the reader keeps the whole table, as libcsm's reader has it: one that sums batches as they come overlaps transfer "
         "and scan")
COPIED_IN = ("the table is copied in from the process's own memory, as is usual, although the store can also lend memory to build "
             "it in")

# who: (module or program, interpreter, what put and open include, copies of the table in memory at once)
PEERS = {
    "libcsm": ("share_csm_placed", "arrow", "build writes the columns in the region, put publishes and copies nothing, open takes "
               "a lease", 1),
    "libcsm, copied in": ("share_csm", "arrow", "the table is built in the process's own memory, and publishing copies it", 2),
    "libcsm, huge pages": ("share_csm_huge", "arrow", "as libcsm, with hugepages=thp and the reader's region prefaulted", 1),
    "libcsm, C++": ("share_csm.cc", None, "as libcsm, with csm/arrow.hpp in C++", 1),
    "Arrow IPC file": ("share_file", "arrow", "put writes a file in /dev/shm and renames it; open maps it", 2),
    "Arrow IPC over a pipe": ("share_pipe", "arrow", f"put only offers; open to first scan write, transfer and read it; {KEEPS}", 2),
    "Arrow Flight, TCP": ("share_flight", "arrow", f"put only offers; open to first scan transfer it over loopback; {KEEPS}", 3),
    "Arrow Flight, UNIX socket": ("share_flight_unix", "arrow", f"put only offers; open to first scan transfer it; {KEEPS}", 3),
    "Plasma 11": ("share_plasma", "plasma", f"put copies into the store (a copy thread a core); open asks the store; {COPIED_IN}; "
                  "its numpy, which fills and sums the columns, is 1.26, the others' 2.4", 2),
    "Vineyard 0.24": ("share_vineyard", "vineyard", f"put copies into the store; open asks the store; {COPIED_IN}", 2),
}
INCLUDES = {
    "setup": "making the region or starting the server, by the writer, and connecting, by the reader; not the start of the processes",
    "build": "storing every byte of the table in the memory it is built in, with numpy (C++: a loop)",
    "put": "from a built table to one that other processes can open",
    "open": "from the name to the first batch",
    "open to first value": "from the name to one value of the first batch",
    "first scan": "getting the other batches and reading every byte once, page faults included",
    "second scan": "reading every byte again",
    "end to end": "build, put, open, first value and first scan",
    "from nothing": "end to end and setup, in fresh processes",
}


class Failed(Exception):
    """A peer did not do its part; says which and why."""


class End:
    """A process at one end: child.py, or a program that speaks as it does."""

    patience_s = 300  # far more than any answer takes
    patience_at_end_s = 30

    def __init__(self, argv, role, place, size_bytes):
        env = dict(os.environ, PYTHONPATH=str(HERE), PYTHONWARNINGS="ignore")
        self.what = f"{argv[-1]} {role}"
        self.process = subprocess.Popen([*argv, role, place, str(size_bytes)], stdin=subprocess.PIPE, env=env,
                                        stdout=subprocess.PIPE, universal_newlines=True, start_new_session=True,
                                        preexec_fn=die_with(os.getpid()))
        try:
            self.ready = self.answer(self.patience_s)
        except BaseException:
            self.kill()  # nobody else knows of it yet
            raise

    def answer(self, patience_s):
        # A line is written at once, and only after a command: nothing of it can be in the buffer already.
        if not select.select([self.process.stdout], [], [], patience_s)[0]:
            self.kill()
            raise Failed(f"{self.what} did not answer within {patience_s} s")
        line = self.process.stdout.readline()
        if not line:
            try:
                self.process.wait(timeout=1)  # for a status of its own
            except subprocess.TimeoutExpired:
                self.kill()
            raise Failed(f"{self.what} ended with status {self.process.returncode}")
        return json.loads(line)

    def __call__(self, do, patience_s=patience_s, **arguments):
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
        except OSError:
            pass  # it has ended: its answer says how
        return self.answer(patience_s)

    def kill(self):
        """It and what it started."""
        try:
            os.killpg(self.process.pid, 9)
        except ProcessLookupError:
            pass
        self.process.wait()

    def end(self):
        """Ends the process, and what it started, whatever state it is in."""
        try:
            if self.process.poll() is None:
                self("close", self.patience_at_end_s)
                self.process.stdin.close()
                self.process.wait(timeout=self.patience_at_end_s)
        except (OSError, Failed, subprocess.TimeoutExpired):
            pass
        self.kill()


def session(argv, place, size_bytes, rounds, expected):
    """One peer, fresh processes: a dict of nanoseconds a round, the first of them cold."""
    ends = []
    try:
        writer = End(argv, "writer", place, size_bytes)
        ends.append(writer)
        reader = End(argv, "reader", place, size_bytes)
        ends.insert(0, reader)
        setup = writer.ready["setup"] + reader.ready["setup"]
        for number in range(rounds):
            name = f"t{number}"
            took = writer("put", name=name, round=number)
            got = reader("get", name=name)
            writer("remove", name=name)
            if got["value"] != number or got["sum"] != expected[number]:
                raise Failed(f"{argv[-1]}: read value {got['value']} and sum {got['sum']}, "
                             f"not {number} and {expected[number]}")
            figures = {step: {**took, **got}[step] for step in STEPS}
            figures["open to first value"] = figures["open"] + figures["first value"]
            figures["end to end"] = sum(figures[step] for step in STEPS[:-1])
            figures["setup"] = setup
            figures["from nothing"] = figures["end to end"] + setup
            figures["faults"] = took["faults"] + got["faults"]
            yield figures
    finally:
        for end in ends:
            end.end()
        sweep(place)


def sweep(place):
    """What a peer that was stopped half way may have left."""
    for folder in ("/tmp", "/dev/shm"):
        for left in Path(folder).glob(f"*{place}*"):
            left.unlink(missing_ok=True)


def room_for(size_bytes):
    """How many copies of the table memory has room for: shared memory is memory too."""
    with open("/proc/meminfo") as info:
        available = next(int(line.split()[1]) for line in info if line.startswith("MemAvailable")) * 1024
    shm = os.statvfs("/dev/shm")
    return min((available - (1 << 30)) / size_bytes, 1 + shm.f_bavail * shm.f_frsize / (size_bytes * 1.2))


def sums(python, size_bytes, rounds):
    end = End([python, str(HERE / "child.py"), "table"], "expected", "none", size_bytes)
    try:
        return [end("sum", round=number)["sum"] for number in range(rounds)]
    finally:
        end.kill()


def emit(**record):
    print(json.dumps({"work": "share", **record}), flush=True)


def label(mib):
    return f"{mib} MiB" if mib < 1024 else f"{mib // 1024} GiB"


def commands(pythons, quiet=False):
    """The argv of each peer that can be had; the others are reported, unless it was done before."""
    for who, (module, interpreter, *_rest) in PEERS.items():
        if interpreter is None:
            program = pythons.get("c++", "missing:it was not built")
            argv, why = [program], program
        else:
            program = pythons.get(interpreter, "missing:no interpreter was given")
            argv, why = [program, str(HERE / "child.py"), module], program
        if not why.startswith("missing:"):
            yield who, argv
        elif not quiet:
            emit(missing=who, why=why[8:])


def measure(mib, sessions, rounds, peers, python):
    size_bytes, case = mib * MIB, label(mib)
    results, broken = {}, {}
    expected = sums(python, size_bytes, rounds)
    for number in range(sessions):
        for who, argv in peers:
            if who in broken:
                continue
            need, room = PEERS[who][3] + 0.3, room_for(size_bytes)
            if need > room:
                broken[who] = f"{case} needs memory for {need:.1f} tables at once, there is room for {room:.1f}"
                continue
            place = f"csm-share-{os.getpid()}-{number}"
            try:
                begin = time.monotonic()
                results.setdefault(who, []).append(list(session(argv, place, size_bytes, rounds, expected)))
                print(f"share {case}, {who}: {time.monotonic() - begin:.1f} s", file=sys.stderr)
            except Failed as why:
                broken[who] = str(why)
                results.pop(who, None)
    for who, why in broken.items():
        emit(missing=f"{who}, {case}", why=why)
    for who, taken in results.items():
        report(who, case, mib, taken)


def report(who, case, mib, taken):
    for warm in (False, True):
        rounds = [r for one in taken for r in (one[1:] if warm else one[:1])]
        for step in REPORTED if warm else REPORTED + COLD_ONLY:
            emit(case=case, x=mib * MIB, who=who, what=step, unit="s", warm=warm,
                 samples=[r[step] / 1e9 for r in rounds], includes=INCLUDES[step], limit=False,
                 note=PEERS[who][2],
                 **({"counts": {"page_faults": sorted(r["faults"] for r in rounds)[len(rounds) // 2]}}
                    if step == "end to end" else {}))


def end_when_told():
    """By SIGTERM: with the ends, their servers and what they left. Whoever sent it does not wait for long."""
    def hurry():
        End.patience_at_end_s = 3
    exit_when_told(hurry)


def main():
    end_when_told()
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--sizes", help="MiB, with commas")
    arguments.add_argument("pythons", nargs="*")
    given = arguments.parse_args()
    pythons = dict(p.split("=", 1) for p in given.pythons)
    peers = list(commands(pythons))
    sizes = [int(s) for s in given.sizes.split(",")] if given.sizes else [1, 100] if given.quick else [1, 100, 1024, 4096]
    arrow = pythons.get("arrow", "missing:no interpreter was given")
    if arrow.startswith("missing:"):
        for who, _argv in peers:
            emit(missing=who, why=f"what its reader must find is computed by Arrow's interpreter: {arrow[8:]}")
        return
    for mib in sizes:
        sessions, rounds = (3, 6) if given.quick else (5, 9) if mib < 64 else (5, 6) if mib < 512 else (3, 4)
        measure(mib, sessions, rounds, peers, arrow)
    if given.quick:
        for mib in (1024, 4096):
            emit(missing=label(mib), why="left out by QUICK=1")


if __name__ == "__main__":
    main()
