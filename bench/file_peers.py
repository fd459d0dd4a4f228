"""Scoring a file beside what a user would write instead: the risk alone by Polars, DuckDB, pandas and Spark.

Each contender runs in a process and environment of its own (`bench.file_job`). A round before the others is for memory.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from bench.cost import watched_peak_mb
from bench.environments import ROOT, interpreter
from bench.file_job import remove
from bench.formula import Codes, Formula, Number
from bench.load import tell
from bench.report import Spread, machine
from bench.servers import write_pipeline
from heartstream.files.formats import Format
from schemas.tables.feature_table import FeatureTable
from scoring.extension import UnavailableError, load_extension
from scoring.features import Matrix
from scoring.model_artifact import load
from scoring.portable_model import PortableModel, read_portable

LINEAR: Final = "logistic_regression"
KINDS: Final = (Format.PARQUET, Format.CSV)
YARDSTICK: Final = "heartstream, risk alone"
TOLERANCE: Final = 1e-6
"""One in the last of six decimals: a number at a tie may be rounded to either side."""


class Contender(msgspec.Struct, frozen=True):
    """A command that scores a file; `environment` names a lock file in requirements/peers."""

    name: str
    arguments: tuple[str, ...]
    environment: str | None = None


class Cost(msgspec.Struct, frozen=True):
    """What one run took."""

    seconds: float
    processor: float


class Line(msgspec.Struct, frozen=True):
    """A contender's medians for one format; `ratio` is to the rate of the yardstick, round by round."""

    format: str
    name: str
    rows_per_s: Spread
    ratio: Spread
    processor_us: float
    peak_mb: float


class _Scored(msgspec.Struct):
    patient_id: str
    risk: float


def contenders(folder: Path, scratch: Path, processes: int) -> tuple[Contender, ...]:
    """Return who is measured; files that they need are written to `scratch`."""
    formula, pipeline = scratch / "formula.json", scratch / "pipeline.joblib"
    formula.write_bytes(msgspec.json.encode(formula_of(folder)))
    write_pipeline(folder, pipeline)
    ours = ("-m", "bench.file_heartstream", str(folder))
    cores = {"": "off"}
    if _has_extension():
        cores = {"": "required", ", without the native core": "off"}
    return (
        *(
            Contender(f"heartstream, {details}{suffix}", (*ours, details, core, str(processes)))
            for suffix, core in cores.items()
            for details in ("risk alone", "all details")
        ),
        Contender("Polars", ("-m", "bench.peers.polars_file", str(formula)), "dataframes"),
        Contender("DuckDB", ("-m", "bench.peers.duckdb_file", str(formula)), "dataframes"),
        Contender("pandas and scikit-learn", ("-m", "bench.peers.pandas_file", str(pipeline), str(formula))),
        Contender("Spark", ("-m", "bench.peers.spark_file", str(formula))),
    )


def _has_extension() -> bool:
    try:
        load_extension("auto", 1)
    except UnavailableError:
        return False
    return True


def formula_of(folder: Path) -> Formula:
    """Return the logistic regression of a model directory as a formula."""
    artifact = load(folder, LINEAR)
    plain = read_portable(artifact.plain or b"")
    if not isinstance(plain, PortableModel) or plain.linear is None:
        raise TypeError(f"{LINEAR} is not a linear model")
    plan, weights, center = plain.plan, plain.linear.coefficients[0], plain.center
    affine = len(plan.affine)
    slopes = weights[:affine] / plan.scale
    constants = -slopes * plan.mean - weights[:affine] * center[:affine]
    fields = [artifact.table.features[place] for place in plan.affine]
    numbers = [
        Number(field.name, field.missing, slope, constant)
        for field, slope, constant in zip(fields, slopes.tolist(), constants.tolist(), strict=True)
    ]
    return Formula(float(plain.linear.intercepts[0]), tuple(numbers), tuple(_codes(plain, weights, artifact.table)))


def _codes(plain: PortableModel, weights: Matrix, table: FeatureTable) -> Iterator[Codes]:
    column = len(plain.plan.affine)
    for place, lookup in zip(plain.plan.lookup, plain.plan.tables, strict=True):
        feature, following = table.features[place], column + lookup.shape[1]
        centered = np.nan_to_num(lookup - plain.center[column:following])
        added = (centered * weights[column:following]).sum(axis=1)
        yield Codes(feature.name, feature.missing, {code: float(added[code]) for code, _ in feature.codes})
        column = following


def run(contender: Contender, source: Path, output: Path, *, sampled: bool) -> tuple[Cost, float]:
    """Run once; returns its cost and, if it is `sampled`, the peak memory of all its processes in MB."""
    command = [interpreter(contender.environment), *contender.arguments, str(source), str(output)]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}
    ) as running:
        most = watched_peak_mb(running) if sampled else 0.0
        answer, errors = running.communicate()
    if running.returncode:
        raise RuntimeError((errors.strip().splitlines() or ["it ended without a word"])[-1])
    return msgspec.json.decode(answer.splitlines()[-1], type=Cost), most


def risks_in(output: Path) -> Matrix:
    """Return the risks in a file, or in the files of a folder, in the order of the ids."""
    files = sorted(output.glob("part-*.json")) if output.is_dir() else [output]
    decoder = msgspec.json.Decoder(_Scored)
    scores = [score for path in files for score in decoder.decode_lines(path.read_bytes())]
    scores.sort(key=lambda score: score.patient_id)
    return np.array([score.risk for score in scores])


class Comparison:
    """What was measured so far: the figures, and why a contender has none."""

    def __init__(self) -> None:
        self.figures: list[Line] = []
        self.failed: dict[str, str] = {}

    def add(self, source: Path, kind: Format, rounds: int, entered: Sequence[Contender]) -> None:
        """Alternate the contenders; the risks of all must be the yardstick's. The first round is for memory."""
        costs: dict[str, list[Cost]] = {contender.name: [] for contender in entered}
        peaks, expected, output = dict[str, float](), np.empty(0), source.with_name("scores")
        for number in range(rounds + 1):
            for contender in entered if number % 2 == 0 else reversed(entered):
                if contender.name in self.failed:
                    continue
                tell(f"{kind}, round {number} of {rounds}: {contender.name}")
                try:
                    cost, peak = run(contender, source, output, sampled=not number)
                    if number:
                        costs[contender.name].append(cost)
                        continue
                    peaks[contender.name], found = peak, risks_in(output)
                except (RuntimeError, OSError, msgspec.MsgspecError) as error:
                    self.failed[contender.name] = str(error)
                    continue
                finally:
                    remove(output)
                expected = expected if len(expected) else found
                if found.shape != expected.shape or not np.abs(found - expected).max() <= TOLERANCE:
                    raise SystemExit(f"{contender.name} gives other risks")
        if YARDSTICK in self.failed:
            raise SystemExit(f"{YARDSTICK} failed: {self.failed[YARDSTICK]}")
        for name, runs in costs.items():
            if name not in self.failed:
                self.figures.append(_line(kind, name, runs, costs[YARDSTICK], len(expected), peaks[name]))

    def lines(self) -> Iterator[str]:
        """Write the table as Markdown."""
        yield "| format | | rows/s (min..max) | ratio (min..max) | CPU per row | peak MB |"
        yield "|---|---|---|---|---|---|"
        for each in self.figures:
            rate, ratio = each.rows_per_s, each.ratio
            yield (
                f"| {each.format} | {each.name} | {rate.median:,.0f} ({rate.low:,.0f}..{rate.high:,.0f}) "
                f"| {ratio.median:.2f} ({ratio.low:.2f}..{ratio.high:.2f}) | {each.processor_us:.2f} µs "
                f"| {each.peak_mb:,.0f} |"
            )
        yield ""
        for name, reason in self.failed.items():
            yield f"{name} failed: {reason}"
        yield f"load average of this machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"

    def as_json(self) -> bytes:
        """Return the same as JSON."""
        document = {"results": self.figures, "failed": self.failed, "machine": machine()}
        return msgspec.json.format(msgspec.json.encode(document)) + b"\n"


def compare(entered: Sequence[Contender], rounds: int, written: Callable[[Format], Path]) -> Comparison:
    """Compare contenders for each of `KINDS`, of which `written` writes a file."""
    found = Comparison()
    for kind in KINDS:
        source = written(kind)
        found.add(source, kind, rounds, entered)
        source.unlink()
    return found


def _line(kind: Format, name: str, runs: Sequence[Cost], others: Sequence[Cost], rows: int, peak: float) -> Line:
    return Line(
        kind,
        name,
        Spread.of([rows / cost.seconds for cost in runs]),
        Spread.of([other.seconds / cost.seconds for cost, other in zip(runs, others, strict=True)]),
        Spread.of([cost.processor / rows * 1e6 for cost in runs]).median,
        peak,
    )
