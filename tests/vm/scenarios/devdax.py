"""Two x86-64 guests share soft-reserved memory as /dev/dax0.0: tables in both directions, then the conformance suite."""

import programs
import tables


def scenario(lab):
    a, b = lab.boot("x86-dax", "a", "b", files=tables.files(lab), extra_programs=programs.conformance("x86_64"))
    # Each lends half of it.
    first, second = "dax:/dev/dax0.0?off=0&len=128M&node={}", "dax:/dev/dax0.0?off=128M&len=128M&node={}"
    a.run(f"csm create '{first.format(0)}&slot=0'", expect=["slot 0"])
    b.run(f"csm create '{second.format(0)}&slot=1'", expect=["slot 1"])
    tables.pass_on(a, first.format(0), b, first.format(1))
    tables.pass_on(b, second.format(0), a, second.format(1))
    a.run(f"csm verify '{second.format(1)}'")
    a.run("csm create 'dax:/dev/dax0.0?off=4096&len=128M'", status=None, expect=["off"])
    a.run(f"csm destroy '{first.format(0)}'")
    b.run(f"csm destroy '{second.format(0)}'")
    print(tables.conformance(a, "dax:/dev/dax0.0", 256))
