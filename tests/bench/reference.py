#!/usr/bin/env python3
"""Prints the reference's own figures (reference.json) as records, marked as another machine's.

They are from github.com/abs-tudelft/memory-disaggregation-ThymesisFlow-Arrow, commit 628ce830,
examples/1_component_benchmark/TEST_FINALISED/*.csv.
"""

import json
from pathlib import Path

SCALES = {"ms": (1e-3, "s"), "GiB/s": (float(1 << 30), "B/s")}
CASES = {"by_rows": lambda key: f"{int(key) / 1e6:.1f} M rows x 11 B", "by_bits": lambda key: f"u{key}",
         "by_stride": lambda key: f"stride {key}"}


def main():
    reference = json.loads((Path(__file__).resolve().parent / "reference.json").read_text(encoding="utf-8"))
    for series in reference["series"]:
        scale, unit = SCALES[series["unit"]]
        points = [(series["case"], None, series["samples"])] if "samples" in series else []
        for kind, label in CASES.items():
            points += [(label(key), float(key), [value]) for key, value in series.get(kind, {}).items()]
        for case, x, samples in points:
            record = {"work": "component", "case": case, "what": series["what"], "unit": unit, "warm": True,
                      "who": ", ".join(filter(None, (reference["machine"], series["link"]))), "elsewhere": True,
                      "samples": [value * scale for value in samples],
                      "includes": f"{series['file']} of the reference's repository"}
            print(json.dumps(record if x is None else {**record, "x": x}))


main()
