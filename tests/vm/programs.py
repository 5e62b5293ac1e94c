"""The programs under test, as a guest needs them: built for its instruction set, stripped, with the libraries they load.

They are the ordinary builds, so that `make test` builds nothing twice: the release build of the commands and, for other
instruction sets, what the stages cross-* test. The C library that they were linked with goes with them.
"""

import functools
import json
import os
import re
import subprocess
from pathlib import Path

from fetch import ROOT, TARGET

# Where each instruction set's C library lies, the prefix of its binutils, and Rust's target, None for this machine's own.
TOOLS = {
    "x86_64": ("", "", None),
    "ppc64le": ("/usr/powerpc64le-linux-gnu", "powerpc64le-linux-gnu-", "powerpc64le-unknown-linux-gnu"),
    "aarch64": ("/usr/aarch64-linux-gnu", "aarch64-linux-gnu-", "aarch64-unknown-linux-gnu"),
}
FOLDERS = ("lib64", "lib/x86_64-linux-gnu", "usr/lib64", "usr/lib/x86_64-linux-gnu", "lib")


class Missing(Exception):
    """A program or library that has not been built or installed: what it is, and how to get it."""


def output(argv, **more):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, universal_newlines=True, cwd=ROOT, **more)
    if done.returncode:
        raise Missing(f"{' '.join(map(str, argv))} failed with status {done.returncode}")
    return done.stdout


def libraries(arch, program):
    """{name in the guest: path here} of what a program loads, the loader included."""
    root, prefix, _ = TOOLS[arch]
    found, todo = {}, [program]
    while todo:
        headers = output([f"{prefix}readelf", "-ldW", str(todo.pop())])
        loader = re.findall(r"interpreter: (/\S+?)\]", headers)
        for name in re.findall(r"\(NEEDED\).*\[(\S+?)\]", headers) + [os.path.basename(path) for path in loader]:
            place = next((path for path in (Path(root or "/", folder, name) for folder in FOLDERS) if path.exists()), None)
            if place is None:
                raise Missing(f"{program} needs {name}, which is not below {root or '/'}")
            if f"lib/{name}" not in found:
                found[f"lib/{name}"] = place
                todo.append(place)
        for path in loader:
            found[path.lstrip("/")] = found[f"lib/{os.path.basename(path)}"]
    return found


def stripped(arch, program, work):
    """A copy without symbols."""
    out = Path(work) / f"{arch}-{program.name}"
    if not out.exists():
        output([f"{TOOLS[arch][1]}strip", "-o", str(out), str(program)])
    return out


def pack(arch, programs, work):
    """{name in the guest: path here} for {name: path} of programs, with their libraries."""
    files = {}
    for name, path in programs.items():
        if not path.exists():
            raise Missing(f"no {path}: make all")
        files[f"bin/{name}"] = stripped(arch, path, work)
        files.update(libraries(arch, path))
    return files


def cargo_environment(arch):
    """What cargo needs to build for another instruction set; the same as in tests/env/cross.sh, or all is built again."""
    _, prefix, target = TOOLS[arch]
    if target is None:
        return dict(os.environ)
    name = target.upper().replace("-", "_")
    return {**os.environ, f"CARGO_TARGET_{name}_LINKER": f"{prefix}gcc", "CARGO_PROFILE_DEV_OPT_LEVEL": "1",
            "CARGO_PROFILE_DEV_DEBUG": "0"}


@functools.lru_cache(maxsize=None)
def conformance(arch):
    """{name: path} of the conformance programs, one a device."""
    target = TOOLS[arch][2]
    packages = ["-p", "csm", "-p", "csm-conformance", "--target", target] if target else ["--release", "-p", "csm-conformance"]
    lines = output(["cargo", "test", "--tests", "--locked", "--no-run", "--message-format=json", *packages],
                   env=cargo_environment(arch)).splitlines()
    found = {}
    for message in map(json.loads, filter(lambda line: line.startswith("{"), lines)):
        if message.get("executable") and "csm-conformance" in message["package_id"] and message["target"]["kind"] == ["test"]:
            found[f"conformance-{message['target']['name']}"] = Path(message["executable"])
    return found


@functools.lru_cache(maxsize=None)
def example(name):
    """The path of one of the library's examples, for this machine's own instruction set."""
    output(["cargo", "build", "--release", "--locked", "-p", "csm", "--example", name])
    return {name: TARGET.absolute() / "release/examples" / name}


@functools.lru_cache(maxsize=None)
def commands(arch):
    """{name: path} of the commands that there are."""
    target = TOOLS[arch][2]
    if target is None:
        folder = TARGET.absolute() / "release"
    else:
        output(["cargo", "build", "--locked", "-p", "csm-tools", "--target", target], env=cargo_environment(arch))
        folder = TARGET.absolute() / target / "debug"
    return {name: folder / name for name in ("csm", "csm-bringup") if name == "csm" or (folder / name).exists()}
