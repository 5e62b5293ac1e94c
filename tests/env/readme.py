#!/usr/bin/env python3
"""Checks that what the README shows is what the tests run: readme.py CSM, with the path of the command.

A block after `<!-- FILE -->` must stand in FILE, line by line in this order; a line `...` leaves lines out.
The block after `<!-- csm uri -->` must be what that command prints.
"""
import re
import subprocess
import sys


def first_stray_line(block, path):
    """The first line of `block` that does not follow in the file, or None."""
    lines = iter([line.strip() for line in open(path, encoding="utf-8")])
    for wanted in (line.strip() for line in block.splitlines()):
        if wanted and wanted != "..." and not any(line == wanted for line in lines):
            return wanted
    return None


def main(csm):
    readme = open("README.md", encoding="utf-8").read()
    bad = []
    blocks = re.findall(r"<!-- (\S+\.\w+) -->\n```\w+\n(.*?)```", readme, re.S)
    for path, block in blocks:
        if line := first_stray_line(block, path):
            bad.append(f"README.md: {path} has no line {line!r} there")
    if len(blocks) < 4:
        bad.append(f"README.md: {len(blocks)} blocks of code name their file, 4 are expected")
    shown = re.search(r"<!-- csm uri -->\n```\w+\n(.*?)```", readme, re.S)
    printed = subprocess.run([csm, "uri"], check=True, capture_output=True, text=True).stdout
    if not shown or shown[1].strip() != printed.strip():
        bad.append("README.md: the options are not what csm uri prints")
    print("\n".join(bad), end="\n" if bad else "")
    return 1 if bad else 0


sys.exit(main(*sys.argv[1:]))
