"""Two x86-64 guests, one PCI device's memory through VFIO at one address: tables in both directions, doorbells, the suite."""

import programs
import tables
from guest import sparse_file
from ivshmem_server import Server
from machines import MACHINES

KIND = "x86-vfio-doorbell"


def scenario(lab):
    memory = sparse_file(lab.work / "memory", MACHINES[KIND].memory_mib)
    with Server(lab.work / "ivshmem", memory) as server:
        a, b = lab.boot(KIND, "a", "b", files=tables.files(lab), qemu=server.device(),
                        extra_programs={**programs.conformance("x86_64"), **programs.example("vfio_doorbell")})
        for guest in (a, b):
            guest.device = f"vfio:{guest.run('cat /run/bdf').strip()}"
        # Nobody holds the device yet: a region is opened by one process alone.
        first, second = "{}?bar=2&off=0&len=128M&node={}", "{}?bar=2&off=128M&len=128M&node={}"
        a.run(f"csm create '{first.format(a.device, 0)}&slot=0'", expect=["slot 0"])
        b.run(f"csm create '{second.format(b.device, 0)}&slot=1'", expect=["slot 1"])
        tables.pass_on(a, first.format(a.device, 0), b, first.format(b.device, 1))
        tables.pass_on(b, second.format(b.device, 0), a, second.format(a.device, 1))
        # One rings, the other hears it.
        b.run(f"vfio_doorbell {b.device} wait 1 60 >/tmp/heard 2>&1 & until grep -q listens /tmp/heard; do usleep 10000; done; "
              "cat /tmp/heard", expect=["peer "])
        peer = b.run("sed -n 's/peer \\([0-9]*\\) .*/\\1/p' /tmp/heard").strip()
        a.run(f"vfio_doorbell {a.device} ring {peer} 1", expect=["rang vector 1"])
        b.run("n=0; until grep -q rang /tmp/heard || [ $n -gt 300 ]; do n=$((n + 1)); usleep 100000; done; cat /tmp/heard",
              expect=["vector 1 rang 1 times"])
        # Held by one process, used by several.
        a.run(f"csm destroy '{first.format(a.device, 0)}'")
        b.run(f"csm destroy '{second.format(b.device, 0)}'")
        a.run(f"csm-bringup attach {a.device} >/tmp/attach.log 2>&1 & "
              "until grep -q attached /tmp/attach.log || ! kill -0 $!; do usleep 10000; done; cat /tmp/attach.log", expect=["attached"])
        print(tables.conformance(a, a.device, 256))
        a.run("csm-bringup status", expect=["attached"])
        a.run(f"csm-bringup detach '{a.device}'")
