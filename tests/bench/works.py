"""Which programs measure what, how each is built, and what it needs. A need that cannot be met makes the program missing."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BENCH = Path(__file__).resolve().parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").absolute()
RELEASE = TARGET / "release"
PEERS_RS = TARGET / "peers-rs"
CXX = os.environ.get("CXX", "c++")
CC = os.environ.get("CC", "cc")


class Unavailable(Exception):
    """What a program needs is not to be had; says what, and how to enable it."""


@dataclass
class Program:
    name: str
    work: str
    argv: list
    env: dict = field(default_factory=dict)
    limit_s: int = 3600


def last_line(text):
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error") or " error" in line]
    return (errors or lines or ["no message"])[0 if errors else -1].strip()[:200]


def fetched(name):
    """The path of what tests/env/fetch.py provides."""
    done = subprocess.run([sys.executable, str(ROOT / "tests/env/fetch.py"), name], text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        raise Unavailable(last_line(done.stderr))
    return done.stdout.strip()


class Toolbox:
    """What the makers of programs share: the options, and builders that log."""

    def __init__(self, quick, out, say, log):
        self.quick, self.out, self.say, self.log = quick, out, say, log

    @property
    def options(self):
        return ["--quick"] if self.quick else []

    def run(self, what, argv, env=None):
        self.say(f"building {what}")
        try:
            done = subprocess.run([str(a) for a in argv], cwd=ROOT, text=True, stdin=subprocess.DEVNULL,
                                  env={**os.environ, **(env or {})}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except OSError as why:
            raise Unavailable(f"{argv[0]}: {why}") from why
        self.log(what, done.stderr)
        if done.returncode:
            raise Unavailable(f"{what} does not build: {last_line(done.stderr)}")
        return done.stdout

    def libcsm(self):
        path = RELEASE / "libcsm.so.0"
        if not path.exists():
            raise Unavailable(f"{path} is not there: run make")
        return path

    def cpp(self, name):
        """A program of tests/bench/cpp, linked with Arrow's newest wheel."""
        self.libcsm()
        arrow = fetched("arrow")
        program = self.out / name
        self.run(f"{name}.cc", [
            CXX, "-std=c++20", "-O3", "-march=native", "-DNDEBUG", "-pthread", "-Iinclude", "-Icpp-arrow-glue/include", "-isystem",
            f"{arrow}/include", BENCH / "cpp" / f"{name}.cc", "-o", program, f"-L{RELEASE}", "-lcsm", f"-L{arrow}",
            "-larrow_acero", "-larrow_compute", "-larrow", f"-Wl,-rpath,{RELEASE}:{arrow}"])
        return str(program)

    def cargo_bench(self, name):
        """A benchmark of csm-bench: the program that cargo built."""
        said = self.run(f"benchmark {name}", ["cargo", "bench", "--locked", "-p", "csm-bench", "--bench", name, "--no-run",
                                              "--message-format", "json"])
        return executable(said, name)

    def peers_rs(self, name, features):
        """A program of peers-rs with those peers of `features` that can be built; it reports the others itself."""
        def build(wanted):
            said = self.run(f"peers-rs {name} with {', '.join(wanted) or 'no peer'}",
                            ["cargo", "build", "--release", "--locked", "--manifest-path", BENCH / "peers-rs/Cargo.toml",
                             "--bin", name, "--message-format", "json", "--no-default-features", "--features",
                             ",".join(wanted)], env={"CARGO_TARGET_DIR": str(PEERS_RS)})
            return executable(said, name)

        try:
            return build(features)
        except Unavailable as why:
            if len(features) == 1:
                raise
            self.say(str(why))
        good = []
        for feature in features:
            try:
                build([feature])
                good.append(feature)
            except Unavailable as why:
                self.say(str(why))
        return build(good)


def executable(messages, name):
    """The program's path among cargo's messages."""
    import json
    for line in messages.splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("executable") and message.get("target", {}).get("name") == name:
            return message["executable"]
    raise Unavailable(f"cargo built no {name}")


PROGRAMS = []


def program(work, name):
    """Registers a maker: called with a Toolbox, it returns Programs or raises Unavailable."""
    def register(make):
        make.work, make.name = work, name
        PROGRAMS.append(make)
        return make
    return register


def share_ends(tools):
    """The interpreters of the peers, as peers/share.py takes them."""
    ends = []
    for interpreter in ("arrow", "plasma", "vineyard"):
        try:
            ends.append(f"{interpreter}={fetched('python-' + interpreter)}")
        except Unavailable as why:
            ends.append(f"{interpreter}=missing:{why}")
    try:
        ends.append(f"c++={tools.cpp('share')}")
    except Unavailable as why:
        ends.append(f"c++=missing:{why}")
    return ends


@program("share", "sharing a table")
def share(tools):
    argv = [sys.executable, str(BENCH / "peers/share.py"), *tools.options, *share_ends(tools)]
    return [Program("sharing a table", "share", argv, {"CSM_LIBRARY": str(tools.libcsm())}, 5400)]


@program("share", "system calls")
def system_calls(tools):
    if tools.quick:
        raise Unavailable("left out by QUICK=1")
    argv = [sys.executable, str(BENCH / "peers/count.py"), *share_ends(tools)]
    return [Program("system calls", "share", argv, {"CSM_LIBRARY": str(tools.libcsm())})]


@program("build", "builders")
def build(tools):
    return [Program("builders", "build", [tools.cpp("build"), *tools.options])]


@program("build", "lineitem")
def lineitem(tools):
    return [Program("lineitem", "build", [tools.cpp("lineitem"), fetched("lineitem"), *tools.options])]


@program("query", "Acero, C++")
def query_cpp(tools):
    return [Program("Acero, C++", "query", [tools.cpp("query"), fetched("lineitem"), *tools.options])]


@program("query", "pyarrow")
def query_python(tools):
    env = {"CSM_LIBRARY": str(tools.libcsm())}
    argv = [fetched("python-arrow"), str(BENCH / "peers/query.py"), fetched("lineitem"), *tools.options]
    return [Program("pyarrow", "query", argv, env)]


@program("component", "components, C++")
def component(tools):
    return [Program("components, C++", "component", [tools.cpp("component"), *tools.options]),
            Program("reference", "component", [sys.executable, str(BENCH / "reference.py")])]


@program("component", "csm-bringup bench")
def bringup(tools):
    program_path = RELEASE / "csm-bringup"
    if not program_path.exists():
        raise Unavailable(f"{program_path} is not there: run make")
    return [Program("csm-bringup bench", "component",
                    [sys.executable, str(BENCH / "bringup.py"), str(program_path), *tools.options])]


def cargo_program(work, name):
    @program(work, name)
    def make(tools):
        return [Program(name, work, [tools.cargo_bench(name), "--bench", *tools.options])]
    return make


for _work, _name in (("flush", "coherence"), ("component", "guard"), ("share", "scan")):
    cargo_program(_work, _name)


@program("scale", "scale")
def scale(tools):
    """A program a curve, so that one which fails leaves the others."""
    argv = [tools.cargo_bench("scale"), "--bench", *tools.options]
    return [Program(f"scale, {curve}", "scale", [*argv, curve]) for curve in ("names", "leases", "nodes", "bytes", "counted")]


@program("flush", "flush.c")
def flush(tools):
    tools.libcsm()
    pmem2 = []  # flush.c reports that it is missing
    if shutil.which("pkg-config"):
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libpmem2"], text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        pmem2 = ["-DHAVE_PMEM2", *flags.stdout.split()] if flags.returncode == 0 else []
    tools.run("flush.c", [CC, "-std=gnu11", "-O2", "-pthread", "-Iinclude", BENCH / "c/flush.c", "-o", tools.out / "flush",
                          f"-L{RELEASE}", "-lcsm", f"-Wl,-rpath,{RELEASE}", *pmem2])
    return [Program("flush.c", "flush", [str(tools.out / "flush"), *tools.options])]


def peers_program(work, name, *features, long_build=False):
    """A program of peers-rs. One that is long to build is not built for a quick look, only run if it is there."""
    full_name = f"{name} (Rust)"

    @program(work, full_name)
    def make(tools):
        if long_build and tools.quick and not (PEERS_RS / "release" / name).exists():
            raise Unavailable(f"{', '.join(features)} takes long to build, which QUICK=1 does not do: "
                              f"make bench ONLY='{full_name}' does, once")
        return [Program(full_name, work, [tools.peers_rs(name, features), *tools.options])]
    return make


peers_program("message", "message", "iceoryx2")
peers_program("alloc", "alloc", "jemalloc", "mimalloc", "talc", "offset-allocator")
peers_program("query", "query", "datafusion", long_build=True)
