"""A guest: boots, takes commands on its serial console, gives back what they print.

    with Guest("a", "x86-vfio", work, files={"bin/csm": "/path/to/static/csm"}) as a:
        a.run("csm --version", expect=["csm 0."])

What a guest did is known from its console alone, never from QEMU's exit status: a command has succeeded when its
"@done" line with status 0 has come back, and every marker in `expect` was printed before it.
"""

import queue
import subprocess
import threading
import time
from pathlib import Path

import fetch
import initramfs
from machines import ARCHES, MACHINES

BOOT_SECONDS = 90
TAIL_LINES = 60


class Failed(Exception):
    """A guest did not do what it should have. Says what, and shows the end of its console."""


def sparse_file(path, mib):
    """The file behind the memory that guests share."""
    with open(path, "a+b") as file:
        file.truncate(mib << 20)
    return path


class Guest:
    def __init__(self, name, kind, work, files=None, modules=None, memory=None, qemu=(), append="", verbose=False):
        """`work`: a folder for this test. `files`: {path in the guest: path here}. `modules`: {path of a module built here:
        its parameters}, loaded after the machine's own. `memory`: the file behind shared memory, <work>/memory if none is named."""
        self.name, self.kind, self.verbose = name, kind, verbose
        self.machine = MACHINES[kind]
        self.arch = ARCHES[self.machine.arch]
        self.work = Path(work)
        self.files, self.modules = dict(files or {}), dict(modules or {})
        self.memory = Path(memory or self.work / "memory")
        self.qemu, self.append = tuple(qemu), append
        self.console, self.lines, self.nonce = [], queue.Queue(), 0
        self.process = None

    def start(self):
        """Boots; `wait_up` waits for it, so that several boot at once."""
        kernel = fetch.provide(self.machine.arch)
        emulator = fetch.provide("qemu")
        sparse_file(self.memory, self.machine.memory_mib)
        sparse_file(self.work / "wire", 1)
        image = self.work / f"{self.name}.cpio"
        image.write_bytes(initramfs.build(kernel, self.machine.modules, self.modules, self.files))
        libraries = ":".join(str(emulator / folder) for folder in ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"))
        values = {"memory": self.memory, "mib": self.machine.memory_mib, "work": self.work}
        argv = [
            emulator / "lib64/ld-linux-x86-64.so.2", "--library-path", libraries,
            emulator / "usr/bin" / self.arch.program,
            "-L", emulator / "usr/share/qemu", "-L", emulator / "usr/share/seabios",
            "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio", "-nic", "none",
            "-accel", "tcg", "-smp", "1,maxcpus=2", *self.arch.base, "-m", self.machine.ram,
            *(part.format(**values) for part in self.machine.qemu), *self.qemu,
            "-kernel", next((kernel / "boot").glob(self.arch.kernel + "-*")), "-initrd", image,
            "-append", f"console={self.arch.console} loglevel=3 panic=-1 csm.name={self.name} "
                       f"{self.arch.append} {self.machine.append.format(**values)} {self.append}",
        ]
        self.started = time.monotonic()
        self.process = subprocess.Popen([str(word) for word in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def wait_up(self):
        """Waits for the guest, loads its modules and sets it up."""
        self._until("@up ", BOOT_SECONDS, "boot")
        self.boot_s = time.monotonic() - self.started
        self.run("while read m parameters; do insmod /modules/$m.ko $parameters || exit; done </modules/order")
        for command in self.machine.setup:
            self.run(command)
        return self

    def run(self, command, expect=(), timeout=60, status=0):
        """Runs a line of shell, gives back what it printed. `status`: what it must end with, None for anything.
        `expect`: markers, each of which must be in what it printed."""
        if "\n" in command or len(command) > 3800:
            raise ValueError("one line, shorter than the console's buffer")
        self.nonce += 1
        self._say(f"$ {command}")
        try:
            self.process.stdin.write(f"{self.nonce} {command}\n".encode())
            self.process.stdin.flush()
        except OSError as why:
            raise self.failed(f"cannot be told {command!r}: {why}") from why
        output, end = self._until(f"@done {self.nonce} ", timeout, command)
        text = "\n".join(output[:-1] if output and not output[-1] else output)
        ended = int(end.split()[2])
        if status is not None and ended != status:
            raise self.failed(f"{command!r} ended with {ended}, not {status}")
        for marker in expect:
            if marker not in text:
                raise self.failed(f"{command!r} did not print {marker!r}")
        return text

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        if not self.process:
            self.start()
        try:
            return self.wait_up()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()

    def tail(self):
        return "\n".join(f"    {self.name}| {line}" for line in self.console[-TAIL_LINES:])

    def _say(self, line):
        self.console.append(line)
        if self.verbose:
            print(f"{self.name}| {line}", flush=True)

    def _read(self):
        for raw in self.process.stdout:
            line = raw.decode(errors="replace").rstrip("\r\n")
            self._say(line)
            self.lines.put(line)
        self.lines.put(None)

    def _until(self, marker, seconds, what):
        """The lines up to the one that begins with `marker`, and that one."""
        deadline = time.monotonic() + seconds
        before = []
        while True:
            try:
                line = self.lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                raise self.failed(f"{what!r} did not end within {seconds} s") from None
            if line is None:
                raise self.failed(f"it stopped during {what!r}")
            if line.startswith(marker):
                return before, line
            before.append(line)

    def failed(self, why):
        """An exception that says why this guest is not as it must be, with the end of its console."""
        return Failed(f"guest {self.name} ({self.kind}): {why}; its console ends with\n{self.tail()}")


def together(*guests):
    """Boots guests at once and waits for all of them."""
    try:
        for guest in guests:
            guest.start()
        for guest in guests:
            guest.wait_up()
    except BaseException:
        for guest in guests:
            guest.stop()
        raise
    return guests


