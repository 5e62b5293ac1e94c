"""The report as Markdown: for each work its tables, its plot and what the figures include; then what libcsm loses and why."""

import fnmatch
import re

import stats

WORKS = {
    "share": ("Sharing a table between two processes",
              "A table of three columns (int64, float64, string; 32 bytes a row; batches of at most 32 MiB) is made by one "
              "process and read by another, Python on both sides, but where it says C++. libcsm builds it where readers read "
              "it; `copied in` starts from a table in the process's own memory, as its peers do here."),
    "message": ("Small messages and descriptors", "Between two processes; the bare exchange of a cache line is the limit."),
    "build": ("Building tables with Arrow", "Arrow C++'s builders and CSV reader with a region's memory pool, beside "
              "Arrow's own pools."),
    "alloc": ("Allocation", "The mix of sizes that Arrow's builders, kernels and readers ask for."),
    "flush": ("Write-back, invalidation, bulk copy", "The bare loop is the limit."),
    "query": ("A query on a published table", "The same engine on the same rows; memory of the process's own is the limit."),
    "scale": ("Growth", "What a step costs as names, leases or nodes become many."),
    "component": ("The component benchmarks of the reference",
                  "The reference is the ThymesisFlow work on Apache Arrow (P. Groet, TU Delft); its figures are from its own "
                  "CSV files, of an IBM POWER9 AC922 pair: another machine, so no ratios are given."),
}
SHORT_BEGIN, SHORT_END = "<!-- in short -->", "<!-- end of in short -->"


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def cell(members, who):
    """Median, quartiles, and how many times libcsm's figure it is."""
    if who not in members:
        return ""
    record, figures = members[who]
    unit = record["unit"]
    text = f"**{stats.shown(figures['median'], unit)}**" if who == stats.US else stats.shown(figures["median"], unit)
    if figures["n"] > 2:
        text += f" ({stats.shown(figures['low'], unit)} to {stats.shown(figures['high'], unit)})"
    times = stats.rival_ratio(members, who)
    return text if times is None else f"{text}, {stats.digits(times)}×"


def name(members_list, who):
    record = next(members[who][0] for members in members_list if who in members)
    if stats.is_elsewhere(record):
        return f"_{who}, another machine_"
    return f"{who} (limit)" if record.get("limit") else who


def step_tables(groups, work):
    """A table for each step and temperature: who down, cases across."""
    steps = {}
    for (its_work, what, case, warm), members in groups.items():
        if its_work == work:
            steps.setdefault((what, warm), {})[case] = members
    for (what, warm), cases in steps.items():
        everyone = list(dict.fromkeys(who for members in cases.values() for who in members))
        both = (what, not warm) in steps
        counts = [figures["n"] for members in cases.values() for _, figures in members.values()]
        includes = list(dict.fromkeys(record["includes"] for members in cases.values()
                                      for record, _ in members.values() if record.get("includes")))
        heat = f", {'warm' if warm else 'cold'}" if both or not warm else ""
        yield f"### {what[0].upper()}{what[1:]}{heat}\n"
        samples = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
        if len(includes) == 1:
            yield f"Includes: {includes[0]}. Median (quartiles), and its ratio to libcsm's; {samples} samples each.\n"
        else:
            yield f"Median (quartiles), and its ratio to libcsm's; {samples} samples each.\n"
        yield table(["", *cases], [[name(cases.values(), who), *(cell(members, who) for members in cases.values())]
                                   for who in everyone]) + "\n"
        if len(includes) > 1:
            said = {}
            for who in everyone:
                record = next(members[who][0] for members in cases.values() if who in members)
                said.setdefault(record.get("includes", ""), []).append(who)
            yield from (f"- {'; '.join(whose)}: {text}" for text, whose in said.items())
            yield ""


def remarks(groups, work):
    """What is said of a peer once, for all its figures."""
    said = {}
    for (its_work, *_), members in groups.items():
        for who, (record, _) in members.items() if its_work == work else ():
            if record.get("note"):
                said[who] = record["note"]
    return [*(f"- {who}: {note}." for who, note in said.items()), ""] if said else []


def counted(groups, work):
    """A table for each thing that was counted beside the clock."""
    kinds = {}
    for (its_work, what, case, warm), members in groups.items():
        for who, (record, _) in members.items() if its_work == work else ():
            for kind, count in (record.get("counts") or {}).items():
                heat = "warm" if warm else "cold"
                kinds.setdefault((kind, what), {}).setdefault(who, {})[f"{case}, {heat}".strip(", ")] = count
    for (kind, what), by_who in kinds.items():
        cases = list(dict.fromkeys(case for counts in by_who.values() for case in counts))
        yield f"### Counted: {kind.replace('_', ' ')}, {what}\n"
        yield table(["", *cases], [[who, *(stats.digits(counts[c]) if c in counts else "" for c in cases)]
                                   for who, counts in by_who.items()]) + "\n"


def matches(rule, loss):
    warmth = rule.get("warm")
    return (all(fnmatch.fnmatchcase(loss[key], rule.get(key, "*")) for key in ("work", "what", "case", "who", "us"))
            and warmth in (None, loss["warm"]) and loss["ratio"] >= rule.get("least", 0))


def losses(found, rules):
    """Each result that is not clearly ahead, under the paragraph that says why."""
    explained, rest = {}, []
    for loss in found:
        number = next((i for i, rule in enumerate(rules) if matches(rule, loss)), None)
        explained.setdefault(number, []).append(loss)
    rest = explained.pop(None, [])
    if rest:
        yield f"**NOT EXPLAINED** ({len(rest)}):\n"
        yield from lines(rest)
    for number, members in sorted(explained.items()):
        yield f"{' '.join(rules[number]['why'].split())}\n"
        yield from lines(members)


def lines(found):
    by_step = {}
    for loss in found:
        kind = "of the limit, " if loss["limit"] else ""
        heat = "warm" if loss["warm"] else "cold"
        whose = "" if loss["us"] == stats.US else f"{loss['us']} beside "
        by_step.setdefault((loss["work"], loss["what"], whose + kind + loss["who"]), []).append(
            f"{loss['case']} {heat} {stats.digits(loss['ratio'])}×".strip())
    yield from (f"- {work}, {what}, {who}: {'; '.join(cases)}" for (work, what, who), cases in by_step.items())
    yield ""


def short(groups, headlines):
    """The table that the README carries too: chosen comparisons, the best peer beside libcsm."""
    rows = []
    for line in headlines:
        members = groups.get((line["work"], line["what"], line.get("case", ""), line.get("warm", True)), {})
        us = line.get("us", stats.US)
        if us not in members:
            rows.append([line["text"], "not measured", "", ""])
            continue
        record, ours = members[us][0], members[us][1]["median"]
        unit = record["unit"]
        others = [(figures["median"], who, theirs.get("limit")) for who, (theirs, figures) in members.items()
                  if not stats.is_ours(who) and not stats.is_elsewhere(theirs) and who not in line.get("not", [])
                  and fnmatch.fnmatchcase(who, line.get("beside", "*"))]
        # A limit stands there where it is the only other.
        rivals = [other for other in others if not other[2]] or others
        if not rivals:
            rows.append([line["text"], stats.shown(ours, unit), "", ""])
            continue
        theirs, who, limit = (max if stats.more_is_better(record) else min)(rivals)
        times = stats.ratio(theirs, ours, record)
        rows.append([line["text"], stats.shown(ours, unit), f"{who}{' (limit)' if limit else ''}: {stats.shown(theirs, unit)}",
                     "" if times is None else f"{stats.digits(times)}×"])
    return "\n".join([SHORT_BEGIN, table(["what, warm where it does not say cold", "libcsm", "best other", "ratio"], rows), SHORT_END])


def short_of(text):
    """The short table in a report or a README, or None."""
    found = re.search(re.escape(SHORT_BEGIN) + r"\n(.*?)\n" + re.escape(SHORT_END), text, re.S)
    return found and found[1]


def with_short_of(text, page):
    """`text` with the short table of `page` in the place of its own."""
    whole = re.escape(SHORT_BEGIN) + r"\n.*?" + re.escape(SHORT_END)
    return re.sub(whole, lambda _: f"{SHORT_BEGIN}\n{short_of(page)}\n{SHORT_END}", text, count=1, flags=re.S)


def command(data):
    only = data.get("only", "")
    return "make bench" + " QUICK=1" * data["quick"] + (f' ONLY="{only}"' if only else "")


def render(data, rules, headlines, plots):
    """The whole page. `data` is what report.json holds, `plots` the file of each work that has one."""
    records = data["records"]
    groups = stats.group(records)
    missing = [record for record in records if "missing" in record]
    page = ["# libcsm beside its peers\n",
            f"Made by `{command(data)}` in {data['seconds'] / 60:.0f} minutes. Ratios say how many times better libcsm is than "
            "the other: below 1 it is worse. Rivals took turns; cold is the first time in fresh processes, warm is after "
            "that.\n", short(groups, headlines) + "\n",
            "## Where libcsm is not ahead\n",
            f"Every result that is not at least {stats.CLEARLY_AHEAD}× ahead of a peer, or not within 10 % of a limit, and why.\n",
            *(list(losses(stats.not_ahead(groups), rules)) or ["None.\n"])]
    works = [*WORKS, *dict.fromkeys(key[0] for key in groups if key[0] not in WORKS)]
    for work in works:
        if not any(key[0] == work for key in groups):
            continue
        title, intro = WORKS.get(work, (work, ""))
        page += [f"## {title}\n", intro + "\n"]
        if work in plots:
            page.append(f"![{title}]({plots[work]})\n")
        page += [*remarks(groups, work), *step_tables(groups, work), *counted(groups, work)]
    page += ["## Missing\n", "What could not be measured here, and why.\n"]
    page += [f"- {record['work']}: {record['missing']}: {record['why']}" for record in missing] or ["Nothing."]
    page += ["\n## Machine\n", table(["", ""], [[k, v] for k, v in data["machine"].items()]) + "\n",
             "## Versions\n", table(["", ""], [[k, v] for k, v in data["versions"].items()])]
    return "\n".join(page).rstrip() + "\n"
