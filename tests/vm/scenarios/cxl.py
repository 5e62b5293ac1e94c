"""An x86-64 guest makes a region of a volatile CXL memory device: a table through /dev/dax0.0, then the conformance suite."""

import programs
import tables


def scenario(lab):
    (a,) = lab.boot("x86-cxl", "a", files=tables.files(lab), extra_programs=programs.conformance("x86_64"))
    uri = "dax:/dev/dax0.0?node={}"
    a.run(f"csm create '{uri.format(0)}'", expect=["slot 0"])
    tables.pass_on(a, uri.format(0), a, uri.format(1))
    a.run(f"csm destroy '{uri.format(0)}'")
    print(tables.conformance(a, "dax:/dev/dax0.0", 256))
