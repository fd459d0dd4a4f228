"""The stream benchmark's results: as a table, and as JSON."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench.contest import Run

YARDSTICK: Final = "bare"
Table = Mapping[str, Sequence[Run]]
"""The runs of each contender, one a round."""

COMPARISONS: Final[Sequence[tuple[str, str, Mapping[str, float]]]] = (
    ("heartstream", "bare", {"logistic_regression": 0.9, "random_forest": 0.8}),
    ("heartstream", "heartstream-risk", {"logistic_regression": 0.6, "pattern_submodels": 0.6}),
    ("heartstream", "bytewax", {"logistic_regression": 2.0}),
    ("heartstream-python", "bytewax", {}),
    ("heartstream", "faust-take", {"logistic_regression": 20.0}),
    ("heartstream-eos", "heartstream", {"logistic_regression": 0.85}),
    ("heartstream-risk", "kafka-streams", {"logistic_regression": 1.0}),
    ("heartstream-risk-eos", "kafka-streams-eos", {"logistic_regression": 1.0}),
    ("heartstream-risk", "rust-risk", {}),
    ("heartstream", "rust", {}),
)
"""Who is held against whom, and the goal of the rates for each model that has one."""


class Spread(msgspec.Struct, frozen=True):
    """A median with its extremes."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Take at least one value."""
        return cls(statistics.median(values), min(values), max(values))


class Result(msgspec.Struct, frozen=True):
    """One contender's medians over all rounds."""

    name: str
    records_per_s: int
    records_per_s_min: int
    records_per_s_max: int
    ratio_to_bare: float
    ratio_to_bare_min: float
    ratio_to_bare_max: float
    cpu_seconds_per_million: float
    peak_mib: float
    results: int
    lost: int
    duplicated: int
    different: int
    remarks: list[str]


class Comparison(msgspec.Struct, frozen=True):
    """Ratios of one contender to another within each round: of the rates, and of the CPU time for one record."""

    name: str
    other: str
    rate: Spread
    cpu: Spread
    goal: float | None = None
    """The least ratio of the rates that is asked for."""


def ratios(runs: Sequence[Run], others: Sequence[Run]) -> Spread:
    """Compare the rates of two contenders, round by round."""
    pairs = zip(runs, others, strict=True)
    return Spread.of([mine.reading.records_per_s / theirs.reading.records_per_s for mine, theirs in pairs])


def cpu_ratios(runs: Sequence[Run], others: Sequence[Run]) -> Spread:
    """Compare the processor time for one record, round by round."""
    pairs = zip(runs, others, strict=True)
    return Spread.of([mine.reading.cpu_us / theirs.reading.cpu_us for mine, theirs in pairs])


def result(name: str, table: Table) -> Result:
    """Sum one contender up."""
    runs = table[name]
    rate = Spread.of([run.reading.records_per_s for run in runs])
    ratio = ratios(runs, table[YARDSTICK])
    return Result(
        name=name,
        records_per_s=round(rate.median),
        records_per_s_min=round(rate.low),
        records_per_s_max=round(rate.high),
        ratio_to_bare=round(ratio.median, 4),
        ratio_to_bare_min=round(ratio.low, 4),
        ratio_to_bare_max=round(ratio.high, 4),
        cpu_seconds_per_million=round(statistics.median(run.reading.cpu_us for run in runs), 2),
        peak_mib=round(max(run.reading.peak_mib for run in runs), 1),
        results=runs[0].reading.results,
        lost=sum(run.lost for run in runs),
        duplicated=sum(run.duplicated for run in runs),
        different=sum(run.different for run in runs),
        remarks=sorted({remark for run in runs for remark in run.remarks}),
    )


def lines(table: Table, model: str) -> list[str]:
    """Return the table as aligned text of at most 80 columns, what was wrong, and the comparisons that it allows."""
    text = [f"{'':21}{'records/s':>9}{'min..max':>17}{'x bare':>7}{'min..max':>13}{'CPU s/M':>8}{'MiB':>5}"]
    for name in table:
        found = result(name, table)
        span = f"{found.records_per_s_min:,}..{found.records_per_s_max:,}"
        spread = f"{_short(found.ratio_to_bare_min, 3)}..{_short(found.ratio_to_bare_max, 3)}"
        text.append(
            f"{name:21}{found.records_per_s:>9,}{span:>17}{_short(found.ratio_to_bare, 3):>7}{spread:>13}"
            f"{_short(found.cpu_seconds_per_million, 2):>8}{found.peak_mib:>5.0f}"
        )
    troubles = {name: "; ".join(trouble for run in runs for trouble in run.troubles) for name, runs in table.items()}
    text += [f"{name}: {trouble}" for name, trouble in troubles.items() if trouble]
    if not any(troubles.values()):
        text.append("none lost, duplicated or different")
    return text + list(map(_comparison_line, comparisons(table, model)))


def _short(value: float, decimals: int) -> str:
    """Return a number with fewer decimals the larger it is."""
    return f"{value:.{max(decimals + 1 - len(str(int(value))), 0)}f}"


def comparisons(table: Table, model: str) -> list[Comparison]:
    """Hold contenders against each other where both have run."""
    return [
        Comparison(
            mine,
            theirs,
            ratios(table[mine], table[theirs]),
            cpu_ratios(table[mine], table[theirs]),
            goals.get(model),
        )
        for mine, theirs, goals in COMPARISONS
        if mine in table and theirs in table
    ]


def _comparison_line(found: Comparison) -> str:
    rate, goal = found.rate, "" if found.goal is None else f"; goal {found.goal:g}"
    span = f"{rate.median:.2f} ({rate.low:.2f}..{rate.high:.2f})"
    return f"{found.name} / {found.other}: {span}{goal}; CPU {found.cpu.median:.2f}"


def machine() -> dict[str, object]:
    """Name the machine."""
    names = [
        line.split(":", 1)[1].strip()
        for line in (
            Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
        ).splitlines()
        if line.startswith("model name")
    ]
    return {
        "cores": os.cpu_count(),
        "processor": names[0] if names else platform.machine(),
        "system": platform.system(),
    }


def as_json(table: Table, model: str, told: Mapping[str, object], failed: Mapping[str, str]) -> bytes:
    """Return the medians as JSON; `told` says what was asked for, `failed` why a contender is not in the table."""
    document = {
        "results": [result(name, table) for name in table],
        "comparisons": comparisons(table, model),
        "failed": [{"name": name, "reason": reason} for name, reason in failed.items()],
        "model": model,
        **told,
        "machine": machine(),
    }
    return msgspec.json.format(msgspec.json.encode(document)) + b"\n"
