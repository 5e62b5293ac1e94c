"""Builds the ocxl stand-in against the headers of an unpacked kernel package, whose scripts are this machine's own."""

import shutil
import subprocess
from pathlib import Path

import fetch
from programs import Missing, TOOLS

SOURCE = Path(__file__).resolve().parent / "ocxl_standin"
KERNEL_ARCH = {"x86_64": "x86_64", "ppc64le": "powerpc"}


def build(arch, work):
    """The path of ocxl_standin.ko for an instruction set."""
    sources = fetch.provide(arch) / "usr/src"
    headers = next(path for path in sources.glob("linux-headers-*") if not path.name.endswith("-common"))
    tree, module = Path(work) / f"headers-{arch}", Path(work) / f"standin-{arch}"
    shutil.copytree(SOURCE, module)
    # As the package has it, but for its Makefile, which names the place where it would be installed.
    tree.mkdir()
    for part in headers.iterdir():
        if part.name not in ("Makefile", "vmlinux"):
            (tree / part.name).symlink_to(part.resolve())
    (tree / "Makefile").write_text((headers / "Makefile").read_text().replace("/usr/src", str(sources)))
    argv = ["make", "-C", str(tree), f"M={module}", f"ARCH={KERNEL_ARCH[arch]}", f"CROSS_COMPILE={TOOLS[arch][1]}",
            "CONFIG_DEBUG_INFO_BTF_MODULES=", "modules"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True)
    if done.returncode:
        raise Missing(f"the ocxl stand-in does not build for {arch}:\n{done.stdout}")
    subprocess.run([f"{TOOLS[arch][1]}strip", "--strip-debug", str(module / "ocxl_standin.ko")], check=True)
    return module / "ocxl_standin.ko"
