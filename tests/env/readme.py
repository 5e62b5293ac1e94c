#!/usr/bin/env python3
"""Checks that what the README and docs/ show is what the tests run: readme.py CSM, with the path of the command.

A block after `<!-- FILE -->` must stand in FILE, line by line in this order; a line `...` leaves lines out.
The block after `<!-- csm uri -->` must be what that command prints.
"""
import glob
import os
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
    bad, blocks, shown = [], 0, []
    for page in ["README.md", *sorted(glob.glob("docs/*.md"))]:
        text = open(page, encoding="utf-8").read()
        for path, block in re.findall(r"<!-- (\S+\.\w+) -->\n```\w+\n(.*?)```", text, re.S):
            blocks += 1
            if line := first_stray_line(block, path):
                bad.append(f"{page}: {path} has no line {line!r} there")
        shown += re.findall(r"<!-- csm uri -->\n```\w+\n(.*?)```", text, re.S)
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            if not os.path.exists(os.path.join(os.path.dirname(page), link)):
                bad.append(f"{page}: there is no {link}")
    if blocks < 4:
        bad.append(f"{blocks} blocks of code name their file, 4 are expected")
    printed = subprocess.run([csm, "uri"], check=True, capture_output=True, text=True).stdout
    if [block.strip() for block in shown] != [printed.strip()]:
        bad.append("the options that docs/devices.md shows are not what csm uri prints")
    print("\n".join(bad), end="\n" if bad else "")
    return 1 if bad else 0


sys.exit(main(*sys.argv[1:]))
