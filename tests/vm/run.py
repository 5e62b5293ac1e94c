#!/usr/bin/env python3
"""Guests with real kernels in which this project's programs meet real device interfaces.

    run.py                          every scenario in scenarios/, each with what it took
    run.py NAME...                  those alone (also: CSM_VM_ONLY="NAME ...")
    run.py boot KIND [-n GUESTS] [--bin PATH]... [COMMAND]...
                                    boots guests of a kind of machine (machines.py), called a, b, ..., on one shared
                                    memory, runs commands in them and prints what they print. A command is a line of
                                    shell for guest a, or "b: LINE". Without any, reads them from standard input.
    run.py kinds                    the kinds of machine

In a guest are busybox, the commands of <target>/release for its instruction set, and whatever --bin adds to /bin.
CSM_VM_VERBOSE=1 shows the guests' consoles while they run. A scenario is a module in scenarios/ with a function
`scenario(lab)`, whose comment says what it shows:

    def scenario(lab):
        a, b = lab.boot("x86-vfio", "a", "b")
        a.run("csm create 'vfio:0000:00:01.0?bar=2&size=32M'", expect=["created"])

Exit status: 0 all passed, 77 nothing can be run here (no emulator, no kernel, and no way to fetch them), 1 something failed.
"""

import argparse
import contextlib
import importlib
import os
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import fetch  # noqa: E402
import programs  # noqa: E402
from guest import Failed, Guest, together  # noqa: E402
from machines import ARCHES, MACHINES  # noqa: E402


class Lab:
    """What a scenario works with: a folder, the programs, and guests that end with it."""

    def __init__(self, work, verbose):
        self.work, self.verbose = Path(work), verbose
        self.guests = contextlib.ExitStack()

    def boot(self, kind, *names, **more):
        """Guests of one kind, booted at once. `more`: files, extra_programs ({name in /bin: path here}), and what Guest takes."""
        return self.boot_each(*((name, kind, more) for name in names))

    def boot_each(self, *wanted):
        """Guests of several kinds, booted at once: (name, kind, {what `boot` takes})."""
        guests = []
        for name, kind, more in wanted:
            more = dict(more)
            arch = MACHINES[kind].arch
            files = programs.pack(arch, {**programs.commands(arch), **more.pop("extra_programs", {})}, self.work)
            files.update(more.pop("files", {}))
            guests.append(Guest(name, kind, self.work, files=files, verbose=self.verbose, **more))
            self.guests.callback(guests[-1].stop)
        return together(*guests)


@contextlib.contextmanager
def laboratory(verbose):
    with tempfile.TemporaryDirectory(prefix="csm-vm-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as work:
        lab = Lab(work, verbose)
        with lab.guests:
            yield lab


def scenarios():
    return sorted(path.stem for path in (HERE / "scenarios").glob("[a-z]*.py"))


def run_scenarios(names, verbose):
    passed = failed = 0
    for name in names:
        module = importlib.import_module(f"scenarios.{name}")
        print(f"-- {name}: {(module.__doc__ or '').splitlines()[0]}", flush=True)
        started = time.monotonic()
        try:
            with laboratory(verbose) as lab:
                module.scenario(lab)
            passed, word = passed + 1, "ok"
        except (Failed, AssertionError, LookupError, programs.Missing) as why:
            failed, word = failed + 1, "FAILED"
            print(why, flush=True)
        print(f"{word:8} {name}, {time.monotonic() - started:.1f} s", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def boot(arguments):
    parser = argparse.ArgumentParser(prog="run.py boot")
    parser.add_argument("kind", choices=sorted(MACHINES))
    parser.add_argument("-n", "--guests", type=int, default=1)
    parser.add_argument("--bin", type=Path, action="append", default=[])
    parser.add_argument("commands", nargs="*")
    asked = parser.parse_intermixed_args(arguments)
    with laboratory(False) as lab:
        names = "abcdefgh"[:asked.guests]
        guests = dict(zip(names, lab.boot(asked.kind, *names, extra_programs={path.name: path for path in asked.bin})))
        for guest in guests.values():
            print(f"{guest.name} is up after {guest.boot_s:.1f} s", flush=True)
        for line in asked.commands or sys.stdin:
            name, colon, rest = line.strip().partition(": ")
            name, line = (name, rest) if colon and name in guests else ("a", line.strip())
            if line:
                print(f"{name}$ {line}\n{guests[name].run(line, timeout=600, status=None)}", flush=True)
    return 0


def main(arguments):
    verbose = bool(os.environ.get("CSM_VM_VERBOSE"))
    try:
        if arguments[:1] == ["kinds"]:
            for name, machine in MACHINES.items():
                print(f"{name:10} {machine.doc}")
            return 0
        if arguments[:1] == ["boot"]:
            return boot(arguments[1:])
        names = arguments or os.environ.get("CSM_VM_ONLY", "").split() or scenarios()
        unknown = set(names) - set(scenarios())
        if unknown:
            print(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(scenarios())}", file=sys.stderr)
            return 2
        fetch.provide("qemu")
        for arch in ARCHES:
            fetch.provide(arch)
        return run_scenarios(names, verbose)
    except fetch.Failed as why:
        print(f"SKIPPED: guests with real kernels. To enable: {why}")
        return 77
    except (Failed, programs.Missing) as why:
        print(why, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
