"""A lender and a borrower over the ocxl stand-in: what an operator does, what goes wrong, and what the card saw of it.

The stand-in logs each access to the card's registers. What they must be is in the public design document and its
software; the order of detaching is this project's own (driver/src/afu/thymesisflow).
"""

import re

import programs
import standin
import tables

AFU = "/dev/ocxl/IBM,RMEM.0006:00:00.1.0"
SIZE_MIB = 128
PARAMETERS = "/sys/module/ocxl_standin/parameters"

CLUSTER = """\
[[node]]
name = "lender"
id = 0
hosts = ["lender"]

[[node]]
name = "borrower"
id = 1
hosts = ["borrower"]

[[region]]
name = "shared"
owner = "lender"
size = "{mib}M"
base = {base:#x}
slot = 0

[region.on.lender]
device = "thymesisflow:IBM,RMEM"
role = "memory"
port = 0

[region.on.borrower]
device = "thymesisflow:IBM,RMEM"
role = "compute"
port = 0
section = 0
via = "/dev/tfshmem"
"""


def boot(lab, arch, base):
    module = standin.build({"x86": "x86_64", "ppc": "ppc64le"}[arch], lab.work)
    cluster = lab.work / "cluster.toml"
    cluster.write_text(CLUSTER.format(mib=SIZE_MIB, base=base))
    files = {**tables.files(lab), "etc/csm/cluster.toml": cluster}
    suite = programs.conformance("x86_64") if arch == "x86" else {}
    # The borrower sees the lender's memory: it must be there when either begins.
    lender, borrower = lab.boot_each(
        ("lender", f"{arch}-tf-memory", {"files": files, "modules": {module: ""}, "extra_programs": suite}),
        ("borrower", f"{arch}-tf-compute", {"files": files, "modules": {module: "compute=1"}, "extra_programs": suite}))
    lender.base = borrower.base = base
    for guest in (lender, borrower):
        guest.run(f"ls {AFU}; csm-bringup probe", expect=["IBM,RMEM"])
    return lender, borrower


def registers(guest):
    """What the card saw since this was last asked: [(operation, offset, value)]."""
    log = guest.run("dmesg -c")
    return [(kind, int(off, 16), int(value, 16))
            for kind, off, value in re.findall(r"standin: ([rw]\d+) (0x[0-9a-f]+) (0x[0-9a-f]+)", log)]


def must_be(guest, what, wanted):
    seen = registers(guest)
    if seen != wanted:
        raise guest.failed(f"{what}: the card saw {[(k, hex(o), hex(v)) for k, o, v in seen]}, not "
                           f"{[(k, hex(o), hex(v)) for k, o, v in wanted]}")


def until(guest, condition, otherwise):
    """Waits for a condition, a minute at most; `otherwise` shows why it has not come."""
    guest.run(f"n=0; until {condition}; do n=$((n + 1)); [ $n -lt 600 ] || {{ {otherwise}; exit 1; }}; usleep 100000; done",
              timeout=120)


def attach(guest, options=""):
    """In the background; returns when the link is up and the process holds it."""
    guest.run(f"csm-bringup attach --region shared {options} >/tmp/attach.log 2>&1 & echo $! >/tmp/attach.pid")
    until(guest, "grep -q 'attached shared' /tmp/attach.log || ! kill -0 $(cat /tmp/attach.pid)", "cat /tmp/attach.log")
    guest.run("cat /tmp/attach.log; csm-bringup status", expect=["attached shared"])


def fails(guest, options, status, expect):
    """An attach that must not succeed, and must leave nothing."""
    guest.run(f"csm-bringup attach --region shared {options}", status=status, expect=expect, timeout=90)
    guest.run(f"ls /run/csm/*.json /dev/shm/csm-tf.*; cat /sys/class/ocxl/*/contexts", status=None, expect=["0/1"])
    guest.run("ls /dev/shm/csm-tf.*", status=1)


UP = [("w64", 0x78, 1)]
MEMORY_UP = [("w64", 0x00, 1), ("w64", 0x78, 1)]
MEMORY_DOWN = [("w64", 0x78, 0), ("w64", 0x00, 0)]
COMPUTE_DOWN = [("w64", 0x20, 0), ("w64", 0x78, 0)]


def compute_up(guest):
    return [("w64", 0x78, 1), ("w64", 0x20, guest.base ^ 1)]


def writes(guest, what, wanted):
    """As must_be, the reads left out: how often a link is asked is no matter."""
    seen = [access for access in registers(guest) if access[0].startswith("w")]
    if seen != wanted:
        raise guest.failed(f"{what}: the card was written {[(hex(o), hex(v)) for _, o, v in seen]}, not "
                           f"{[(hex(o), hex(v)) for _, o, v in wanted]}")


def refusals(lender, borrower):
    """What the kernel refuses is said, and nothing is left."""
    registers(lender), registers(borrower)
    lender.run(f"echo 16 >{PARAMETERS}/fail_attach")
    fails(lender, "", 1, ["ATTACH", "16"])
    writes(lender, "after a refused ATTACH", [])
    lender.run(f"echo 0 >{PARAMETERS}/fail_attach")
    # Somebody else has the only context.
    lender.run(f"sleep 600 <>{AFU} >/dev/null 2>&1 & echo $! >/tmp/other; until grep -q 1/1 /sys/class/ocxl/*/contexts; do usleep 10000; done")
    lender.run("csm-bringup attach --region shared", status=1, expect=["28"])
    lender.run("kill $(cat /tmp/other); until grep -q 0/1 /sys/class/ocxl/*/contexts; do usleep 10000; done")
    writes(lender, "without a context", [])


def failures(lender, borrower):
    """Each failure of the link once, and the undo."""
    attach(lender)
    writes(lender, "attach of the memory side", MEMORY_UP)
    # A channel that never trains.
    borrower.run(f"echo 4294967295 >{PARAMETERS}/train_ms")
    fails(borrower, "--timeout 2s", 4, ["did not train within"])
    writes(borrower, "a link that does not train", compute_up(borrower) + COMPUTE_DOWN)
    # A link that delivers something else.
    borrower.run(f"echo 300 >{PARAMETERS}/train_ms; echo 1 >{PARAMETERS}/wrong_answers")
    fails(borrower, "--timeout 2s", 4, ["did not train within"])
    writes(borrower, "a link that delivers other lines", compute_up(borrower) + COMPUTE_DOWN)
    borrower.run(f"echo 0 >{PARAMETERS}/wrong_answers")
    # Another address than the lender's: its card cannot translate it, and the lender says so.
    borrower.run("sed s/0x[0-9a-f]*000000/0x3f0000000000/ /etc/csm/cluster.toml >/tmp/wrong.toml; diff /etc/csm/cluster.toml /tmp/wrong.toml",
                 status=1)
    borrower.run("csm-bringup attach --region shared --cluster /tmp/wrong.toml --timeout 2s", status=1,
                 expect=["translation faults of the memory side"])
    registers(borrower)
    until(lender, "grep -q 'could not translate address 0x3f' /tmp/attach.log", "cat /tmp/attach.log; dmesg")
    lender.run("csm-bringup detach shared", timeout=90)
    writes(lender, "detach of the memory side", MEMORY_DOWN)


def selftest(lender, borrower):
    """Both ends at the same time; publishes and opens a table too."""
    lender.run("(csm-bringup selftest cluster:shared --quick --timeout 60s; echo ended with $?) >/tmp/selftest.log 2>&1 &")
    borrower.run("csm-bringup selftest cluster:shared --quick --timeout 60s", timeout=300)
    until(lender, "grep -q 'ended with' /tmp/selftest.log", "cat /tmp/selftest.log")
    lender.run("cat /tmp/selftest.log", expect=["ended with 0"])


def everyday(lender, borrower, has_csm=True):
    """Attach both, a table, counters, and detach in the one order that is allowed."""
    attach(lender, "--trace")
    attach(borrower, "--trace")
    writes(lender, "attach of the memory side", MEMORY_UP)
    writes(borrower, "attach of the compute side", compute_up(borrower))
    selftest(lender, borrower)
    if has_csm:
        lender.run("csm create cluster:shared", expect=[f"base {lender.base:#x}"])
        tables.pass_on(lender, "cluster:shared", borrower, "cluster:shared")
        borrower.run("csm stat cluster:shared", expect=[f"{lender.base:#x}", "owned by node 0"])
        # A case of the suite through the link, and all of it on what is lent. (What its last case leaves is the lender's, and in
        # use as far as the borrower knows: so in this order.)
        lender.run("csm destroy cluster:shared")
        for guest, role, only in ((borrower, "role=compute&via=/dev/tfshmem", "created,"), (lender, "role=memory", "")):
            print(tables.conformance(guest, f"thymesisflow:IBM,RMEM?{role}&name=shared", SIZE_MIB, only))
    borrower.run("csm-bringup counters shared --count 2 --interval 100ms")
    seen = registers(borrower)
    if not all(("r64", off) in {access[:2] for access in seen} for off in (0x60, 0x68, 0x70)):
        raise borrower.failed(f"counters did not read the card's three: {seen}")
    # The lender may not go first.
    lender.run("csm-bringup detach shared", status=None, expect=["compute side"])
    writes(lender, "a refused detach", [])
    lender.run("csm-bringup status", expect=["shared", "attached"])
    borrower.run("csm-bringup detach shared")
    writes(borrower, "detach of the compute side", COMPUTE_DOWN)
    lender.run("csm-bringup detach shared")
    writes(lender, "detach of the memory side", MEMORY_DOWN)
    for guest in (lender, borrower):
        guest.run("csm-bringup status shared", status=None)
        if has_csm:
            guest.run("csm stat cluster:shared", status=1, expect=["csm-bringup attach"])
        guest.run("ls /run/csm/*.json /dev/shm/csm-tf.*", status=1)
