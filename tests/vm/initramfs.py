"""What a guest boots with: an initial file system in the kernel's own format (cpio "newc"), written here.

Holds busybox, init, the kernel modules a guest loads, with those that they depend on, and the programs under test.
"""

import lzma
import os
import re
import stat
from pathlib import Path

HERE = Path(__file__).resolve().parent


class Archive:
    """A cpio archive in memory. Folders come into being with the files in them."""

    def __init__(self):
        self.parts, self.names, self.inode = [], set(), 0

    def entry(self, name, mode, data=b"", device=(0, 0)):
        if name in self.names:
            return
        self.names.add(name)
        parent = os.path.dirname(name)
        if parent:
            self.entry(parent, stat.S_IFDIR | 0o755)
        self.inode += 1
        raw = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(raw), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + raw
        self.parts += [head, bytes(-len(head) % 4), data, bytes(-len(data) % 4)]

    def file(self, name, data, mode=0o644):
        self.entry(name, stat.S_IFREG | mode, data)

    def bytes(self):
        self.entry("TRAILER!!!", 0)
        return b"".join(self.parts)


class Modules:
    """The modules of an unpacked kernel package, found by name, in the order in which they must be loaded."""

    def __init__(self, root):
        self.found = {path.name.split(".ko")[0].replace("-", "_"): path
                      for path in (root / "lib/modules").rglob("*.ko*")}

    def load(self, names, extra=()):
        """(name, bytes) of the modules and those that they depend on. `extra`: paths of modules that are not the kernel's."""
        paths = {**self.found, **{Path(path).stem: Path(path) for path in extra}}
        done = {}

        def visit(name):
            name = name.replace("-", "_")
            if name in done:
                return
            if name not in paths:
                raise LookupError(f"the kernel has no module {name}")
            data = paths[name].read_bytes()
            if paths[name].suffix == ".xz":
                data = lzma.decompress(data)
            depends = re.search(rb"\0depends=([^\0]*)\0", data)
            for other in depends.group(1).decode().split(",") if depends else ():
                if other:
                    visit(other)
            done[name] = data
        for name in names:
            visit(name)
        return list(done.items())


def build(kernel, modules, extra_modules, files):
    """The archive for an unpacked kernel package. `files`: {name in the guest: path here}; `extra_modules`: {path of a module
    that is not the kernel's: its parameters}. Modules are only put there, as /modules/NAME.ko; /modules/order
    has a line for each, its name and its parameters."""
    archive = Archive()
    archive.entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.file("init", (HERE / "init").read_bytes(), 0o755)
    archive.file("bin/busybox", (kernel / "bin/busybox").read_bytes(), 0o755)
    extra = {Path(path).stem: parameters for path, parameters in extra_modules.items()}
    loaded = Modules(kernel).load((*modules, *extra), extra_modules)
    for name, data in loaded:
        archive.file(f"modules/{name}.ko", data)
    archive.file("modules/order", "".join(f"{name} {extra.get(name, '')}\n" for name, _ in loaded).encode())
    for name, path in files.items():
        path = Path(path)
        archive.file(name, path.read_bytes(), 0o755 if os.access(path, os.X_OK) else 0o644)
    return archive.bytes()
