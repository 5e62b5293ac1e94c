#!/usr/bin/env python3
"""Counts the system calls of sharing a table, by strace: count.py NAME=PYTHON... as share.py.

Each peer's session runs twice, with 1 round and with 11, servers included; a tenth of the difference is a round's. Counts need no
quiet machine, and say why one is faster than the other.
"""

import os
import shutil
import sys
import tempfile

import share

MIB = 1 << 20
ROUNDS = 10
# Three commands a round, each one read and one write.
DRIVERS_OWN = 6
# Waiting, which depends on who was faster; and what share.py's ends do for themselves.
NOT_COUNTED = ("total", "futex", "poll", "epoll_wait", "clock_nanosleep", "wait4", "newfstatat", "getrusage")


def total(path):
    """The calls that `strace -c` found, but for those that do not count."""
    calls = 0
    with open(path, encoding="utf-8") as file:
        for line in file:
            fields = line.split()
            if len(fields) >= 5 and fields[0][0].isdigit() and fields[-1] not in NOT_COUNTED:
                calls += int(fields[3])
    return calls


def session_calls(argv, rounds, expected, folder):
    """System calls of both ends and their servers."""
    # A file a process: the shell's number tells the two ends apart.
    shell = ["sh", "-c", 'exec strace -f -c -qq -o "$0/$$" "$@"', folder, *argv]
    list(share.session(shell, f"csm-count-{os.getpid()}", MIB, rounds, expected))
    files = [os.path.join(folder, name) for name in os.listdir(folder)]
    calls = sum(total(name) for name in files)
    for name in files:
        os.unlink(name)
    return calls


def main(pythons):
    share.end_when_told()
    if shutil.which("strace") is None:
        share.emit(missing="system calls", why="strace is not there (Debian: apt-get install strace)")
        return
    given = dict(p.split("=", 1) for p in pythons)
    if given["arrow"].startswith("missing:"):
        share.emit(missing="system calls", why=given["arrow"][8:])
        return
    expected = share.sums(given["arrow"], MIB, ROUNDS + 1)
    for who, argv in share.commands(given, quiet=True):
        with tempfile.TemporaryDirectory() as folder:
            try:
                few, many = (session_calls(argv, rounds, expected, folder) for rounds in (1, ROUNDS + 1))
            except share.Failed as why:
                share.emit(missing=f"system calls, {who}", why=str(why))
                continue
        share.emit(case="1 MiB", who=who, what="system calls", unit="count", warm=True, samples=[(many - few) / ROUNDS - DRIVERS_OWN],
                   includes="both ends and their servers, a round of build, put, open, two scans and remove; without those "
                            "that only wait (futex, poll, epoll_wait)", limit=False)


if __name__ == "__main__":
    main(sys.argv[1:])
