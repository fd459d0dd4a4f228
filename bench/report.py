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

COMPARISONS: Final = (
    ("heartstream", "bare", {"logistic_regression": 0.9, "random_forest": 0.8}),
    ("heartstream", "heartstream-risk", {"logistic_regression": 0.6, "pattern_submodels": 0.6}),
    ("heartstream", "bytewax", {"logistic_regression": 2.0}),
    ("heartstream", "faust-take", {"logistic_regression": 20.0}),
    ("heartstream-eos", "heartstream", {"logistic_regression": 0.85}),
)
"""Who is held against whom, and the goal for each model that has one."""


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


def ratios(runs: Sequence[Run], others: Sequence[Run]) -> Spread:
    """Compare the rates of two contenders, round by round."""
    pairs = zip(runs, others, strict=True)
    return Spread.of([mine.reading.records_per_s / theirs.reading.records_per_s for mine, theirs in pairs])


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
    """Return the table as aligned text, and the comparisons that it allows."""
    header = (
        f"{'':16}{'records/s':>10}{'min..max':>19}{'x bare':>8}{'min..max':>14}{'CPU s/million':>15}{'peak MiB':>10}"
    )
    text = [f"{header}{'results':>10}  lost/duplicated/different"]
    for name in table:
        found = result(name, table)
        span = f"{found.records_per_s_min:,}..{found.records_per_s_max:,}"
        spread = f"{found.ratio_to_bare_min:.3f}..{found.ratio_to_bare_max:.3f}"
        troubles = "; ".join(trouble for run in table[name] for trouble in run.troubles) or "none"
        text.append(
            f"{name:16}{found.records_per_s:>10,}{span:>19}{found.ratio_to_bare:>8.3f}{spread:>14}"
            f"{found.cpu_seconds_per_million:>15.2f}{found.peak_mib:>10.0f}{found.results:>10,}  {troubles}"
        )
    return text + comparisons(table, model)


def comparisons(table: Table, model: str) -> list[str]:
    """Hold contenders against each other where both have run."""
    text = []
    for mine, theirs, goals in COMPARISONS:
        if mine in table and theirs in table:
            found = ratios(table[mine], table[theirs])
            span = f"{found.low:.2f}..{found.high:.2f}"
            goal = f"; goal {goals[model]:g}" if model in goals else ""
            text.append(f"{mine} / {theirs}: {found.median:.2f} ({span}){goal}")
    return text


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


def as_json(table: Table, told: Mapping[str, object], failed: Mapping[str, str]) -> bytes:
    """Return the medians as JSON; `told` says what was asked for, `failed` why a contender is not in the table."""
    document = {
        "results": [result(name, table) for name in table],
        "failed": [{"name": name, "reason": reason} for name, reason in failed.items()],
        **told,
        "machine": machine(),
    }
    return msgspec.json.format(msgspec.json.encode(document)) + b"\n"
