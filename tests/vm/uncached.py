"""VFIO where it maps a BAR uncached and atomic instructions fail on it: it can be held and tested, and takes no region."""

import programs
from machines import MACHINES


def scenario(lab, kind):
    (a,) = lab.boot(kind, "a", extra_programs=programs.conformance(MACHINES[kind].arch))
    device = f"vfio:{a.run('cat /run/bdf').strip()}"
    a.run("csm-bringup probe", expect=[device.partition(":")[2]])
    a.run(f"csm-bringup attach {device} >/tmp/attach.log 2>&1 & "
          "until grep -q attached /tmp/attach.log || ! kill -0 $!; do usleep 10000; done; cat /tmp/attach.log", expect=["attached"])
    a.run(f"csm-bringup selftest '{device}?bar=2' --both --quick", timeout=300,
          expect=["pass  same-memory", "pass  patterns", "pass  arrival", "no region is kept in memory that is not cached"])
    a.run(f"csm-bringup detach {device}")
    text = a.run("conformance-file window-lc", timeout=600, expect=["test result: ok."])
    print(next(line for line in text.splitlines() if line.startswith("test result")))
