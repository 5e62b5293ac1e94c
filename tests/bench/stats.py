"""Medians, quartiles, ratios and verdicts: what is made of raw samples. No figure is invented or left out here.

A record is one line that a benchmark program printed: see `run.py` for the protocol. Records of the same work, step,
case and temperature form a group; the one of `libcsm` is what the others are compared with.
"""

from collections import OrderedDict

US = "libcsm"
# Who of ours is held against the peers: by itself, and where a table comes from outside, and where a message stays in place.
COMPARED = (US, f"{US}, copied in", f"{US}, raw extent")
CLEARLY_AHEAD = 1.2
NEAR_LIMIT = 1.1
# Units in which more is better.
RATES = ("B/s", "op/s")


def quantile(ordered, share):
    """Linear between the two neighbours, as most do it."""
    at = (len(ordered) - 1) * share
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def summarize(record):
    """The record's figures: median, quartiles, count."""
    ordered = sorted(record["samples"])
    return {"median": quantile(ordered, 0.5), "low": quantile(ordered, 0.25), "high": quantile(ordered, 0.75),
            "n": record.get("n", len(ordered))}


def thinned(record, most=101):
    """The record with its percentiles in place of very many samples: the same median and quartiles, in a smaller file."""
    samples = record.get("samples", [])
    if len(samples) <= most:
        return record
    ordered = sorted(samples)
    return {**record, "n": len(samples), "samples": [quantile(ordered, i / (most - 1)) for i in range(most)]}


def is_ours(who):
    return who == US or who.startswith(US + ",") or who.startswith(US + " (")


def group(records):
    """Ordered: (work, what, case, warm) to an ordered dict of who to (record, summary).

    A series may come in several parts, as when a program measures in several processes: they are one.
    A limit that was measured warm alone is the limit of the cold figures too, where there are no warm ones.
    """
    groups = OrderedDict()
    for record in records:
        if not record.get("samples"):
            continue
        key = (record["work"], record["what"], record.get("case", ""), bool(record.get("warm", True)))
        members = groups.setdefault(key, OrderedDict())
        if record["who"] in members:
            before, figures = members[record["who"]]
            record = {**record, "samples": before["samples"] + record["samples"],
                      "n": figures["n"] + summarize(record)["n"]}
        members[record["who"]] = (record, summarize(record))
    for key in list(groups):
        twin = (*key[:3], not key[3])
        if twin in groups and all(record.get("limit") for record, _ in groups[key].values()):
            groups[twin].update(groups.pop(key))
    return groups


def more_is_better(record):
    return record["unit"] in RATES or record.get("better") == "more"


def ratio(theirs, ours, record):
    """How many times better libcsm is; None where that cannot be said."""
    if more_is_better(record):
        theirs, ours = ours, theirs
    return theirs / ours if ours > 0 and theirs >= 0 else None


def is_elsewhere(record):
    """Measured on another machine: shown, never compared."""
    return bool(record.get("elsewhere"))


def rival_ratio(members, who, us=US):
    """The ratio of one member of a group to one of ours, or None."""
    if us not in members or who == us or is_elsewhere(members[who][0]):
        return None
    record, figures = members[who]
    return ratio(figures["median"], members[us][1]["median"], record)


def not_ahead(groups):
    """Every comparison that libcsm does not win clearly, or where it is not near a limit."""
    found = []
    for (work, what, case, warm), members in groups.items():
        for us in COMPARED:
            for who, (record, figures) in members.items():
                times = rival_ratio(members, who, us)
                if times is None or is_ours(who):
                    continue
                limit = bool(record.get("limit"))
                if times < (1 / NEAR_LIMIT if limit else CLEARLY_AHEAD):
                    found.append({"work": work, "what": what, "case": case, "warm": warm, "who": who, "us": us, "limit": limit,
                                  "ratio": times, "theirs": figures, "ours": members[us][1], "unit": record["unit"]})
    return found


def shown(value, unit):
    """A figure with three digits, and a unit that fits it."""
    if unit in ("s", "ns"):
        seconds = value if unit == "s" else value / 1e9
        for scale, name in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
            if abs(seconds) >= scale:
                return f"{digits(seconds / scale)} {name}"
        return f"{digits(seconds * 1e9)} ns"
    if unit in ("B/s", "B"):
        for scale, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
            if abs(value) >= scale:
                return f"{digits(value / scale)} {name}{unit[1:]}"
        return f"{digits(value)} {unit}"
    return digits(value) + {"x": " ×", "count": ""}.get(unit, f" {unit}")


def digits(value):
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
