"""The machine and the versions that figures were taken with: what a reader needs in order to compare."""

import datetime
import os
import platform
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def read(path):
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def first_line(*argv):
    """What a command says first, or "" where it is not to be had."""
    try:
        said = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              universal_newlines=True, timeout=60, cwd=ROOT).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.splitlines()[0].strip() if said else ""


def chosen(path):
    """The setting in brackets of a file such as .../transparent_hugepage/enabled."""
    found = re.search(r"\[(\w+)\]", read(path))
    return found[1] if found else "unknown"


def memory_gib(key):
    found = re.search(rf"^{key}:\s+(\d+) kB", read("/proc/meminfo"), re.M)
    return f"{int(found[1]) / (1 << 20):.1f} GiB" if found else "unknown"


def caches():
    sizes = []
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        if read(index / "type") != "Instruction":
            sizes.append(f"L{read(index / 'level')} {read(index / 'size')}")
    return ", ".join(sizes) or "unknown"


def shm_size():
    shm = os.statvfs("/dev/shm")
    return f"{shm.f_blocks * shm.f_frsize / (1 << 30):.1f} GiB"


def describe():
    """Names and values, in the order of the report."""
    info = read("/proc/cpuinfo")
    model = re.search(r"^(?:model name|cpu)\s*:\s*(.+)$", info, re.M)
    nodes = len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))) or 1
    pages = "/sys/kernel/mm/transparent_hugepage/"
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": (model[1] if model else platform.processor() or platform.machine())
                     + (", virtual machine" if " hypervisor" in info else ""),
        "processors": f"{len(os.sched_getaffinity(0))} of {os.cpu_count()}, {nodes} NUMA node{'s' * (nodes > 1)}",
        "caches": caches(),
        "frequency governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "not visible",
        "memory": f"{memory_gib('MemTotal')}, swap {memory_gib('SwapTotal')}",
        "/dev/shm": shm_size(),
        "transparent huge pages": f"private {chosen(pages + 'enabled')}, shared {chosen(pages + 'shmem_enabled')}",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "system": (re.search(r'PRETTY_NAME="?([^"\n]+)', read("/etc/os-release")) or ["", "unknown"])[1],
        "load before": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }


def versions():
    """Tools, libcsm, and what the peers' locks pin."""
    version = re.search(r'^version = "(.+)"', read(ROOT / "Cargo.toml"), re.M)
    commit = first_line("git", "describe", "--always", "--dirty")
    found = {
        "libcsm": (version[1] if version else "?") + (f" ({commit})" if commit else ""),
        "rustc": first_line("rustc", "--version"),
        "C++": first_line(os.environ.get("CXX", "c++"), "--version"),
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
    }
    for lock in sorted((ROOT / "tests/bench/peers/locks").glob("*.lock")):
        pins = re.findall(r"^([\w.-]+)==([\w.]+)", read(lock), re.M)
        found[f"peers/{lock.stem}"] = ", ".join(f"{name} {number}" for name, number in pins
                                               if name in ("pyarrow", "numpy", "vineyard", "matplotlib"))
    rust_lock = read(ROOT / "tests/bench/peers-rs/Cargo.lock")
    pins = re.findall(r'name = "(iceoryx2|talc|offset-allocator|mimalloc|tikv-jemallocator|datafusion)"\n'
                      r'version = "(.+?)"', rust_lock)
    if pins:
        found["peers-rs"] = ", ".join(f"{name} {number}" for name, number in pins)
    return {name: value for name, value in found.items() if value}
