#!/usr/bin/env python3
"""Draws what is varied: plot.py REPORT.json FOLDER writes FOLDER/WORK.svg for each work that has curves, and prints the names.

Needs matplotlib, and so runs in an interpreter of its own; everything it knows comes from the file.
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "csm", "svg.fonttype": "none", "font.size": 8, "axes.spines.top": False,
                            "axes.spines.right": False, "font.family": "sans-serif"})
import matplotlib.pyplot as plt  # noqa: E402  (after the backend was chosen)

import stats  # noqa: E402

SCALES = {"ns": (1e-9, "seconds"), "s": (1, "seconds"), "B/s": (1 / (1 << 30), "GiB/s"), "B": (1 / (1 << 20), "MiB"),
          "count": (1, "count"), "x": (1, "times")}
COLOURS = plt.get_cmap("tab10").colors
MOST_STEPS = 9


def curves(records):
    """work: step: who: list of (x, summary, unit, limit); steps that vary nothing are left out."""
    works = {}
    for (work, what, case, warm), members in stats.group(records).items():
        step = f"{what}{'' if warm else ', cold'}"
        for who, (record, figures) in members.items():
            if isinstance(record.get("x"), (int, float)) and figures["median"] > 0:
                works.setdefault(work, {}).setdefault(step, {}).setdefault(who, []).append(
                    (record["x"], figures, record["unit"], bool(record.get("limit")), case))
    for work, steps in works.items():
        steps = {step: dict(curve for who, points in by_who.items() for curve in variants(who, points))
                 for step, by_who in steps.items()}
        varied = {step: by_who for step, by_who in steps.items() if any(len({p[0] for p in c}) > 1 for c in by_who.values())}
        if varied:
            yield work, varied


def variants(who, points):
    """One curve, or one for each variant where several points have the same x: their cases share words that x does not change."""
    if len({p[0] for p in points}) == len(points):
        return [(who, points)]
    seen = {}
    for x, *_, case in points:
        for word in case.split(", "):
            seen.setdefault(word, set()).add(x)
    curves = {}
    for point in points:
        label = ", ".join([who, *(word for word in point[-1].split(", ") if len(seen[word]) > 1)])
        curves.setdefault(label, []).append(point)
    return list(curves.items())


def draw(work, steps, path):
    steps = dict(sorted(steps.items(), key=lambda item: item[0].endswith(", cold"))[:MOST_STEPS])
    everyone = list(dict.fromkeys(who for by_who in steps.values() for who in by_who))
    # libcsm's own ways share a colour family's place: they come first, and are drawn thick.
    everyone.sort(key=lambda who: not stats.is_ours(who))
    columns = min(3, len(steps))
    rows = -(-len(steps) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3.6 * columns, 2.7 * rows + 0.6), squeeze=False)
    handles = {}
    for ax, (step, by_who) in zip(axes.flat, steps.items()):
        for who, points in by_who.items():
            points = sorted(points, key=lambda point: point[0])
            factor, unit_name = SCALES.get(points[0][2], (1, points[0][2]))
            xs, ys = [p[0] for p in points], [p[1]["median"] * factor for p in points]
            spread = [[y - p[1]["low"] * factor for y, p in zip(ys, points)],
                      [p[1]["high"] * factor - y for y, p in zip(ys, points)]]
            ours = stats.is_ours(who)
            handles[who] = ax.errorbar(xs, ys, yerr=spread, color=COLOURS[everyone.index(who) % len(COLOURS)],
                                       linewidth=2 if ours else 1, linestyle="--" if points[0][3] else "-",
                                       marker="o" if ours else "s", markersize=3, elinewidth=0.6,
                                       label=who + (" (limit)" if points[0][3] else ""))
            ax.set_ylabel(unit_name)
        ax.set_xscale("log")
        ax.set_yscale("log")
        xs = sorted({p[0] for points in by_who.values() for p in points})
        if len(xs) <= 6:
            ax.set_xticks(xs, [axis_label(x, work) for x in xs])
            ax.minorticks_off()
        ax.set_title(step)
        ax.grid(True, which="major", linewidth=0.3)
    for ax in axes.flat[len(steps):]:
        ax.remove()
    figure.legend(handles.values(), [h.get_label() for h in handles.values()], loc="lower center", ncol=min(4, len(handles)),
                  frameon=False)
    figure.tight_layout(rect=(0, 0.04 + 0.03 * (len(handles) // 4), 1, 1))
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)


def axis_label(x, work):
    if work in ("share", "message", "flush", "build") and x >= 1024:
        return next(f"{x / scale:g} {name}" for scale, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
                    if x >= scale)
    return f"{x:g}"


def main(report, folder):
    records = json.loads(Path(report).read_text(encoding="utf-8"))["records"]
    for work, steps in curves(records):
        draw(work, steps, Path(folder) / f"{work}.svg")
        print(f"{work} {work}.svg")


if __name__ == "__main__":
    main(*sys.argv[1:])
