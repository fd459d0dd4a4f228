"""The table of `bench.stream` fits a terminal, and compares rates and processor time."""

from __future__ import annotations

from bench.contenders import CONTENDERS
from bench.contest import Run
from bench.meter import Reading
from bench.report import Comparison, Spread, comparisons, lines


def run(rate: float, cpu_us: float, **wrong: int) -> Run:
    """Return a run of a million results."""
    wrong = {"lost": 0, "duplicated": 0} | wrong
    return Run(Reading(10**6, 10**6 / rate, cpu_us, 1_234.5), **wrong)


def test_every_contender_fits_80_columns() -> None:
    """Whatever its name, and from 2 records a second to a million."""
    rates = ((2.0, 12_345.6), (1_234_567.8, 0.123))
    table = {contender.name: [run(*each) for each in rates] for contender in CONTENDERS}
    found = lines(table, "logistic_regression")
    assert max(map(len, found)) <= 80
    assert [line.split()[0] for line in found[1 : 1 + len(table)]] == list(table)


def test_what_is_wrong_stands_below_the_table() -> None:
    """By name; that nothing is wrong is said as well."""
    good, bad = {"bare": [run(1e5, 5)]}, {"bare": [run(1e5, 5)], "wire": [run(1e6, 1, lost=2)]}
    assert (lines(good, "")[-1], lines(bad, "")[-1]) == ("none lost, duplicated or different", "wire: 2 lost")


def test_ratios_are_medians_of_rounds() -> None:
    """Each round compares what ran in it."""
    table = {
        "heartstream-risk": [run(100, 4), run(300, 6), run(200, 5)],
        "kafka-streams": [run(200, 2), run(300, 6), run(100, 2)],
    }
    assert comparisons(table, "logistic_regression") == [
        Comparison("heartstream-risk", "kafka-streams", Spread(1.0, 0.5, 2.0), Spread(2.0, 1.0, 2.5), 1.0)
    ]
