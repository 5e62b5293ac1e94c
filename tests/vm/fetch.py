#!/usr/bin/env python3
"""Fetch what the guests are made of: QEMU and kernels, out of Debian's archive, by apt, into a folder.

    fetch.py UNIT...        prints one path a unit; progress and errors go to stderr

    qemu        QEMU 10 for x86-64, POWER and ARM with every library it needs, its own libc included (54 MB to download)
    x86_64      kernel 6.12 with its modules, headers to build a module with, a static busybox       (50 MB)
    ppc64le     the same for POWER with 64 KiB pages                                                 (95 MB)
    aarch64     the same for ARM, without headers                                                    (29 MB)

and for each architecture about 9 MB of package lists. Nothing is installed, root is not needed, and the machine's
own packages play no part: apt is given a configuration of its own. It must be there, and an archive: the first one named in
/etc/apt whose path ends in /debian, or $CSM_DEBIAN_ARCHIVE. apt checks the archive's signature; versions are what it has.
Units land in <target>/deps (or $CSM_DEPS_DIR) by an atomic rename: what is there is whole, and is not fetched again.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
DEPS = Path(os.environ.get("CSM_DEPS_DIR") or TARGET / "deps").absolute()
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
SUITE, BACKPORTS = "bookworm", "bookworm-backports"

# unit: (Debian's architecture, kernel flavour; "headers" where a module is built)
KERNELS = {
    "x86_64": ("amd64", "cloud-amd64", True),
    "ppc64le": ("ppc64el", "powerpc64le-64k", True),
    "aarch64": ("arm64", "cloud-arm64", False),
}


class Failed(Exception):
    """One line: what is missing, and what to do."""


def say(line):
    print(f"fetch: {line}", file=sys.stderr, flush=True)


def archive():
    """Where this machine gets Debian's packages from."""
    asked = os.environ.get("CSM_DEBIAN_ARCHIVE")
    if asked:
        return asked
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for source in filter(Path.is_file, sources):
        found = re.search(r"^(?:deb|URIs:)\s.*?(\w+:/\S*/debian/?)(?:\s|$)", source.read_text(), re.M)
        if found:
            return found.group(1)
    raise Failed("no archive of Debian's in /etc/apt: name one in CSM_DEBIAN_ARCHIVE")


class Apt:
    """apt with a configuration, lists and an empty system of its own, in a folder that is kept."""

    def __init__(self, *architectures):
        for program in ("apt-get", "dpkg-deb"):
            if not shutil.which(program):
                raise Failed(f"no {program}: the guests' kernels are Debian packages (Debian, Ubuntu: it is there)")
        if not os.path.exists(KEYS):
            raise Failed(f"no {KEYS}: apt-get install debian-archive-keyring")
        self.folder = DEPS / "vm-apt"
        for part in ("lists/partial", "cache/archives/partial"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        arch = ",".join(dict.fromkeys(("amd64", *architectures)))
        where = f"deb [arch={arch} signed-by={KEYS}] {archive()}"
        (self.folder / "sources.list").write_text(f"{where} {SUITE} main\n{where} {BACKPORTS} main\n")
        (self.folder / "apt.conf").write_text(
            f'Dir::Etc::sourcelist "{self.folder}/sources.list";\n'
            'Dir::Etc::sourceparts "/dev/null";\nDir::Etc::preferencesparts "/dev/null";\n'
            f'Dir::State::lists "{self.folder}/lists";\nDir::State::status "{self.folder}/status";\n'
            f'Dir::Cache "{self.folder}/cache";\nDebug::NoLocking "true";\n'
            'APT::Architecture "amd64";\n'
            f'APT::Architectures {{ "{arch.replace(",", chr(34) + "; " + chr(34))}"; }};\n'
            'APT::Install-Recommends "false";\nAPT::Sandbox::User "";\nAcquire::Languages "none";\n'
            'Acquire::Retries "2";\nAcquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";\n')
        self.run("apt-get", "update", "--error-on=any")

    def run(self, *argv, cwd=None):
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              universal_newlines=True, cwd=cwd,
                              env={**os.environ, "APT_CONFIG": str(self.folder / "apt.conf"), "LC_ALL": "C"})
        if done.returncode:
            errors = [line for line in done.stdout.splitlines() if line.startswith("E:")] or done.stdout.splitlines()
            raise Failed(f"{' '.join(argv)}: {errors[0] if errors else 'no message'}")
        return done.stdout

    def closure(self, packages, into):
        """Packages with all that they depend on, down to libc, unpacked."""
        self.run("apt-get", "--yes", "--download-only", "--target-release", BACKPORTS, "install", *packages)
        for package in sorted((self.folder / "cache/archives").glob("*.deb")):
            self.unpack(package, into)

    def single(self, packages, into):
        """These packages alone, unpacked."""
        with tempfile.TemporaryDirectory(dir=self.folder) as work:
            self.run("apt-get", "download", *packages, cwd=work)
            for package in sorted(Path(work).glob("*.deb")):
                self.unpack(package, into)

    def unpack(self, package, into):
        self.run("dpkg-deb", "--extract", str(package), str(into))
        package.unlink()


def unpack_qemu(out):
    say("downloading QEMU (54 MB)")
    names = ("x86", "ppc", "arm")
    Apt().closure([f"qemu-system-{name}" for name in names], out)
    # What runs a guest, and nothing else: 150 MB instead of 250.
    for program in (out / "usr/bin").iterdir():
        if program.name not in ("qemu-system-x86_64", "qemu-system-ppc64", "qemu-system-aarch64"):
            program.unlink()
    for share in (out / "usr/share").iterdir():
        if share.name not in ("qemu", "seabios"):
            shutil.rmtree(share)


def unpack_kernel(unit):
    architecture, flavour, headers = KERNELS[unit]

    def unpack(out):
        say(f"downloading a kernel for {unit}")
        apt = Apt(architecture)
        listed = apt.run("apt-cache", "pkgnames", "linux-image-6.12.").split()
        pattern = re.compile(r"linux-image-(6\.12\.(\d+)\+deb12(?:\.(\d+))?)-" + flavour)
        versions = [match for match in map(pattern.fullmatch, listed) if match]
        # Other architectures' packages are listed as NAME:ARCHITECTURE by some versions of apt, by others not.
        versions += [match for match in (pattern.fullmatch(name.partition(":")[0]) for name in listed) if match]
        if not versions:
            raise Failed(f"{BACKPORTS} has no linux-image-6.12.*-{flavour}")
        version = max(versions, key=lambda match: (int(match[2]), int(match[3] or 0)))[1]
        packages = [f"linux-image-{version}-{flavour}:{architecture}", f"busybox-static:{architecture}"]
        if headers:
            # The scripts are this machine's own, whatever they are to build for.
            packages += [f"linux-headers-{version}-{flavour}:{architecture}", f"linux-headers-{version}-common",
                         f"linux-kbuild-{version}:amd64"]
        apt.single(packages, out)
    return unpack


UNITS = {"qemu": unpack_qemu, **{unit: unpack_kernel(unit) for unit in KERNELS}}


def provide(unit):
    place = DEPS / f"vm-{unit}"
    if not place.is_dir():
        if os.uname().machine != "x86_64":
            raise Failed(f"the emulator that is fetched is for x86-64, and this machine is {os.uname().machine}")
        DEPS.mkdir(parents=True, exist_ok=True)
        with open(DEPS / "vm.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not place.is_dir():
                with tempfile.TemporaryDirectory(dir=DEPS, prefix=".part-") as work:
                    out = Path(work) / "out"
                    out.mkdir()
                    UNITS[unit](out)
                    out.rename(place)
                say(f"{unit} is at {place}")
    return place


def main(units):
    if not units or not set(units) <= set(UNITS):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    try:
        for unit in units:
            print(provide(unit))
    except (Failed, OSError) as why:
        print(f"fetch: error: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
