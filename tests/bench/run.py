#!/usr/bin/env python3
"""Measures libcsm beside its peers and writes a report: report.md, report.json and an SVG a work.

    run.py [--quick] [--only "share;lineitem"] [--out FOLDER] [--from REPORT.json] [--docs]

Every benchmark is a program (works.py says which, and how each is built) that prints lines of JSON on stdout:

    {"work": "share", "case": "100 MiB", "x": 104857600, "who": "libcsm", "what": "open", "unit": "s", "warm": true,
     "samples": [...], "includes": "from the name to the first batch", "limit": false}
    {"work": "share", "missing": "Vineyard 0.24", "why": "no wheel for this machine"}

`x` (for plots), `counts` (of things counted, such as page faults), `note` (said once of `who`), `elsewhere` (measured on another
machine) and `better` ("more"; less is, but for B/s) are optional. A series may come in several lines. Samples are raw; what is made of them is in stats.py. A program compares rivals in turns; no
figure comes from two runs. One that fails is listed as missing, with its last words, and is what makes this program fail, in the end.

Python 3.11 runs this; the plots want matplotlib, which fetch.py installs in an environment of its own.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine
import report
import stats
import works

HERE = Path(__file__).resolve().parent


def say(line):
    print(f"bench: {line}", file=sys.stderr, flush=True)


class Log:
    """Everything the programs said beside their figures; the last line is what a failure is told with."""

    def __init__(self, path):
        self.path = path
        path.write_text("", encoding="utf-8")

    def write(self, title, text):
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"== {title}\n{text}\n")


def records_of(text):
    """The records in a program's output, and the other lines."""
    records, others = [], []
    for line in text.splitlines():
        try:
            record = json.loads(line) if line.startswith("{") else None
        except json.JSONDecodeError:
            record = None
        good = isinstance(record, dict) and "work" in record and ("missing" in record or record.get("samples"))
        (records if good else others).append(record if good else line)
    return records, others


def last_words(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"


def ended(process):
    """What a program said that has to be ended: asked first, so that it can end what it started."""
    for number, patience_s in ((signal.SIGTERM, 30), (signal.SIGKILL, None)):
        os.killpg(process.pid, number)
        try:
            return process.communicate(timeout=patience_s)[0]
        except subprocess.TimeoutExpired:
            pass


def run_program(program, log):
    """One program: its records, or one that says why there are none; and whether it failed."""
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(program.argv, cwd=machine.ROOT, env={**os.environ, **program.env}, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True)
        try:
            out, _ = process.communicate(timeout=program.limit_s)
            failed = f"status {process.returncode}" if process.returncode else None
        except subprocess.TimeoutExpired:
            out = ended(process)
            failed = f"it did not end within {program.limit_s} s"
        errors.seek(0)
        said = errors.read()
    records, others = records_of(out)
    log.write(" ".join(program.argv), said + "\n".join(others))
    if failed or not records:
        records.append({"work": program.work, "missing": program.name,
                        "why": f"{failed or 'no figures'}: {last_words(said + chr(10) + chr(10).join(others))}"})
    say(f"{program.name}: {time.monotonic() - start:.0f} s, {len(records)} series" + (f", {failed}" if failed else ""))
    return records, failed is not None


def measure(given, out):
    log = Log(out / "log.txt")
    described = machine.describe()
    toolbox = works.Toolbox(given.quick, out, say, log.write)
    only = set(given.only.split(";")) if given.only else None
    programs, records = [], []
    for make in works.PROGRAMS:
        if only is not None and make.work not in only and make.name not in only:
            continue
        try:
            programs += make(toolbox)
        except works.Unavailable as why:
            say(f"{make.name}: {why}")
            records.append({"work": make.work, "missing": make.name, "why": str(why)})
    start, failures = time.monotonic(), 0
    for program in programs:
        its_records, failed = run_program(program, log)
        records += its_records
        failures += failed
    described["load after"] = " ".join(f"{load:.1f}" for load in os.getloadavg())
    return {"quick": given.quick, "only": given.only or "", "seconds": round(time.monotonic() - start), "machine": described,
            "versions": machine.versions(), "records": records}, failures


def rounded(value):
    """Six digits are more than any clock gave."""
    return float(f"{value:.6g}")


def write_json(path, data):
    """A record a line, so that a person and a diff can read it."""
    head = {key: value for key, value in data.items() if key != "records"}
    lines = [json.dumps({**record, "samples": [rounded(s) for s in record["samples"]]} if "samples" in record else record)
             for record in data["records"]]
    text = json.dumps(head, indent=1)[:-2] + ',\n "records": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"
    path.write_text(text, encoding="utf-8")


def explained():
    import tomllib  # here, so that the tests of everything else run with an older Python
    return tomllib.loads((HERE / "explained.toml").read_text(encoding="utf-8"))


def write_report(out, data):
    write_json(out / "report.json", data)
    drawn = plots(out, data)
    rules = explained()
    page = report.render(data, rules.get("explained", []), rules.get("short", []), drawn)
    (out / "report.md").write_text(page, encoding="utf-8")
    return page


def write_docs(data):
    """The copy that is committed: docs/benchmarks, and the README's short table."""
    docs = machine.ROOT / "docs/benchmarks"
    docs.mkdir(parents=True, exist_ok=True)
    page = write_report(docs, {**data, "records": [stats.thinned(record) for record in data["records"]]})
    readme = machine.ROOT / "README.md"
    readme.write_text(report.with_short_of(readme.read_text(encoding="utf-8"), page), encoding="utf-8")


def plots(out, data):
    """The plot of each work, or a record of why there is none."""
    try:
        python = works.fetched("python-plots")
    except works.Unavailable as why:
        data["records"].append({"work": "report", "missing": "the plots", "why": str(why)})
        return {}
    drawn = subprocess.run([python, str(HERE / "plot.py"), str(out / "report.json"), str(out)], text=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if drawn.returncode:
        data["records"].append({"work": "report", "missing": "the plots", "why": last_words(drawn.stderr)})
    return dict(line.split() for line in drawn.stdout.splitlines())


def main():
    arguments = argparse.ArgumentParser(description="Measures libcsm beside its peers and writes a report.")
    arguments.add_argument("--quick", action="store_true", help="at most five minutes of measuring on two processors")
    arguments.add_argument("--only", help="works or programs, with semicolons")
    arguments.add_argument("--out", type=Path, default=works.TARGET / "bench", help="where the report goes")
    arguments.add_argument("--from", dest="source", type=Path, help="only write the report anew, from this report.json")
    arguments.add_argument("--docs", action="store_true", help="also write docs/benchmarks and the README's short table")
    given = arguments.parse_args()
    explained()  # what a report needs, before there is one to lose
    given.out.mkdir(parents=True, exist_ok=True)
    data, failures = ((json.loads(given.source.read_text(encoding="utf-8")), 0) if given.source
                      else measure(given, given.out))
    write_report(given.out, data)
    if given.docs and (data["quick"] or data["only"]):
        arguments.error("docs/benchmarks holds a whole run: --docs goes with neither --quick nor --only")
    if given.docs:
        write_docs(data)
    say(f"the report is {given.out / 'report.md'}")
    return 0 if not failures and any("samples" in record for record in data["records"]) else 1


if __name__ == "__main__":
    sys.exit(main())
