"""The self-test between two guests, each an end: what both must say of memory that is the same and coherent."""

STEPS = ["pass  same-memory", "pass  aliases", "pass  patterns", "pass  arrival", "pass  table"]


def both_ends(owner, borrower, uri, report):
    """`uri` is the window as both see it, `report` what its device says of it. A guest models no caches: nothing old is seen."""
    test = f"csm-bringup selftest '{uri}' --quick --timeout 120s --node"
    borrower.run(f"{test} 1 > /tmp/selftest 2>&1 & echo begun", expect=["begun"])
    expect = [*STEPS, f"the device says {report}; measured: gc"]
    owner.run(f"{test} 0", timeout=300, expect=expect)
    borrower.run("wait; cat /tmp/selftest", timeout=300, expect=expect)
