#!/usr/bin/env python3
"""The report's arithmetic and its honesty: what is lost is listed, what is missing is told, other machines are not compared."""

import sys
import unittest
from pathlib import Path

import report
import run
import stats

ROOT = Path(__file__).resolve().parents[2]


def record(who, samples, **more):
    return {"work": "share", "case": "1 MiB", "who": who, "what": "open", "unit": "s", "warm": True, "samples": samples,
            "includes": "", "limit": False, **more}


def page(records, rules=()):
    data = {"quick": False, "seconds": 60, "machine": {}, "versions": {}, "records": records}
    return report.render(data, list(rules), [], {})


class Stats(unittest.TestCase):
    def test_quartiles_lie_between_samples(self):
        figures = stats.summarize(record("libcsm", [4, 1, 3, 2]))
        self.assertEqual((figures["low"], figures["median"], figures["high"], figures["n"]), (1.75, 2.5, 3.25, 4))

    def test_percentiles_in_place_of_samples_change_no_figure(self):
        whole = record("libcsm", [float(i * i % 1009) for i in range(5000)])
        thin = stats.thinned(whole)
        self.assertEqual(len(thin["samples"]), 101)
        self.assertEqual(stats.summarize(thin), stats.summarize(whole))

    def test_less_is_better_but_for_rates_and_what_says_so(self):
        self.assertEqual(stats.ratio(4.0, 2.0, {"unit": "s"}), 2.0)
        self.assertEqual(stats.ratio(4.0, 2.0, {"unit": "B/s"}), 0.5)
        self.assertEqual(stats.ratio(4.0, 2.0, {"unit": "x", "better": "more"}), 0.5)
        self.assertIsNone(stats.ratio(4.0, 0.0, {"unit": "s"}))

    def test_a_peer_is_beaten_clearly_or_listed(self):
        for theirs, listed in ((1.19, True), (1.21, False), (0.5, True)):
            found = stats.not_ahead(stats.group([record("libcsm", [1.0]), record("peer", [theirs])]))
            self.assertEqual(bool(found), listed, theirs)

    def test_a_limit_is_nearly_reached_or_listed(self):
        for limit, listed in ((0.95, False), (0.89, True)):
            found = stats.not_ahead(stats.group([record("libcsm", [1.0]), record("loop", [limit], limit=True)]))
            self.assertEqual(bool(found), listed, limit)

    def test_parts_of_a_series_are_one(self):
        groups = stats.group([record("libcsm", [1.0]), record("libcsm", [3.0, 5.0])])
        [members] = groups.values()
        self.assertEqual((members["libcsm"][1]["n"], members["libcsm"][1]["median"]), (3, 3.0))

    def test_a_limit_that_is_warm_alone_is_that_of_cold_figures(self):
        groups = stats.group([record("libcsm", [1.0], warm=False), record("loop", [0.5], limit=True)])
        self.assertEqual([loss["ratio"] for loss in stats.not_ahead(groups)], [0.5])

    def test_what_is_copied_in_is_held_against_the_peers_too(self):
        records = [record("libcsm", [1.0]), record("libcsm, copied in", [4.0]), record("peer", [2.0])]
        found = stats.not_ahead(stats.group(records))
        self.assertEqual([(loss["us"], loss["ratio"]) for loss in found], [("libcsm, copied in", 0.5)])

    def test_own_variants_and_other_machines_are_no_rivals(self):
        records = [record("libcsm", [1.0]), record("libcsm, C++", [0.1]), record("POWER9", [0.1], elsewhere=True)]
        self.assertEqual(stats.not_ahead(stats.group(records)), [])
        self.assertIsNone(stats.rival_ratio(next(iter(stats.group(records).values())), "POWER9"))

    def test_figures_have_three_digits_and_a_unit_that_fits(self):
        shown = [stats.shown(*given) for given in ((0.0012345, "s"), (85.2, "ns"), (3 * 2**30, "B/s"), (0.98765, "x"),
                                                   (1234567, "count"))]
        self.assertEqual(shown, ["1.23 ms", "85.2 ns", "3 GiB/s", "0.988 ×", "1 234 567"])


class Report(unittest.TestCase):
    def test_what_is_lost_stands_under_its_reason_or_is_not_explained(self):
        records = [record("libcsm", [1.0]), record("faster", [0.5]), record("other", [0.9], what="put"),
                   record("libcsm", [1.0], what="put")]
        text = page(records, [{"work": "share", "what": "op*", "why": "Because."}])
        self.assertIn("Because.\n\n- share, open, faster: 1 MiB warm 0.5×", text)
        self.assertIn("**NOT EXPLAINED** (1):\n\n- share, put, other: 1 MiB warm 0.9×", text)

    def test_a_reason_goes_as_far_as_it_says(self):
        records = [record("libcsm", [1.0]), record("peer", [0.5])]
        rule = {"work": "share", "why": "Because."}
        self.assertNotIn("NOT EXPLAINED", page(records, [{**rule, "least": 0.4}]))
        self.assertIn("NOT EXPLAINED", page(records, [{**rule, "least": 0.6}]))

    @unittest.skipIf(sys.version_info < (3, 11), "tomllib is there from Python 3.11 on")
    def test_the_committed_rules_can_be_read_and_bounded(self):
        rules = run.explained()
        self.assertTrue(all(rule["why"] and 0 < rule["least"] < stats.CLEARLY_AHEAD for rule in rules["explained"]))
        self.assertTrue(all(line["text"] and line["work"] for line in rules["short"]))

    def test_what_is_missing_is_told(self):
        self.assertIn("- share: Plasma 11: no wheel", page([{"work": "share", "missing": "Plasma 11", "why": "no wheel"}]))

    def test_other_output_is_no_record(self):
        records, others = run.records_of('{"work": "share", "samples": []}\nhello\n{"work": "share", "missing": "x"}\n{bad')
        self.assertEqual((len(records), len(others)), (1, 3))

    def test_the_readme_has_the_table_of_the_committed_report(self):
        committed = report.short_of((ROOT / "docs/benchmarks/report.md").read_text(encoding="utf-8"))
        self.assertIsNotNone(committed, "docs/benchmarks/report.md has no short table")
        self.assertEqual(report.short_of((ROOT / "README.md").read_text(encoding="utf-8")), committed,
                         "copy the table of docs/benchmarks/report.md to README.md")


if __name__ == "__main__":
    unittest.main()
