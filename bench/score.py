"""The scoring core by itself: `python -m bench.score --help`. What is measured, and how: bench/README.md."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline, make_pipeline

from bench.load import records, tell
from bench.uci import UCI, as_matrix, blank_missing, decode, legal_rows
from heartstream.terminal.exit_codes import errors_to_exit_codes
from schemas.codec import encode_scores
from schemas.records import PatientRecord, Source
from schemas.tables.builtin import UCI_HEART
from scoring.batches import JsonBatch
from scoring.engines import LinearEngine, TreeEngine
from scoring.features import Matrix
from scoring.model_artifact import load
from scoring.scorer import Scorer
from training.pipeline import TrainingRequest, train

MODELS: Final = ("logistic_regression", "pattern_submodels", "random_forest")
SIZES: Final = (1, 1_000, 2_000)
GOALS: Final = {("logistic_regression", 1): 50.0, ("random_forest", 1): 50.0} | {
    ("logistic_regression", 1_000): 2_000.0,
    ("random_forest", 1_000): 10_000.0,
}
"""In microseconds a batch."""
_WARM_UPS: Final = 5
_LEAST_ROUNDS: Final = 5


class Figure(msgspec.Struct, frozen=True):
    """The median time of one thing, in microseconds."""

    model: str
    what: str
    records: int
    us: float
    goal_us: float | None = None


def median_us(action: Callable[[], object], seconds: float) -> float:
    """Repeat `action` for `seconds`, at least five times, and return the median in microseconds."""
    for _ in range(_WARM_UPS):
        action()
    times: list[int] = []
    clock = time.perf_counter_ns
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline or len(times) < _LEAST_ROUNDS:
        started = clock()
        action()
        times.append(clock() - started)
    return statistics.median(times) / 1000


def measure(folder: Path, model: str, seconds: float) -> list[Figure]:
    """Measure one model: the core as a whole and by stages, then scikit-learn's own pipeline."""
    scorer = Scorer.from_directory(folder, model)
    if scorer.fallback_reason is not None:
        raise SystemExit(f"{model} has no fast engine: {scorer.fallback_reason}")
    figures = []
    for size in SIZES:
        tell(f"{model}: {size} records")
        values: list[bytes | None] = [value for _, value in records(size)]
        sources = [Source("patients", 0, offset) for offset in range(size)]
        whole = median_us(partial(_score, scorer, values, sources), seconds)
        figures.append(Figure(model, "decode, score, encode", size, whole, GOALS.get((model, size))))
        figures += [
            Figure(model, f"  {what}", size, median_us(action, seconds))
            for what, action in _stages(scorer, values, sources).items()
        ]
        figures.append(Figure(model, "scikit-learn on pandas", size, _reference(folder, model, values, seconds)))
    return figures


def _score(scorer: Scorer, values: Sequence[bytes | None], sources: Sequence[Source]) -> list[bytes]:
    return encode_scores(scorer.score(JsonBatch(values, sources=sources).decode(UCI)).scores)


def _stages(
    scorer: Scorer, values: Sequence[bytes | None], sources: Sequence[Source]
) -> dict[str, Callable[[], object]]:
    """Return the steps, each ready to be run alone on what it gets from the step before."""
    patients = _decoded(values)

    def matrix_and_validity() -> Matrix:
        matrix = as_matrix(patients)
        blank_missing(matrix)
        legal_rows(matrix).all()
        return matrix

    matrix = matrix_and_validity()
    decoded = JsonBatch(values, sources=sources).decode(UCI)
    results = scorer.score(decoded)
    return {
        "decode": lambda: _decoded(values),
        "matrix, validity": matrix_and_validity,
        "risks": lambda: scorer.explain(matrix),
        "risks, metadata": lambda: scorer.score(decoded),
        "encode": lambda: encode_scores(results.scores),
    }


def _decoded(values: Sequence[bytes | None]) -> list[PatientRecord]:
    return [patient for value in values if (patient := decode(value)) is not None]


def _reference(folder: Path, model: str, values: Sequence[bytes | None], seconds: float) -> float:
    """Time scikit-learn's fitted pipeline on a pandas frame, risks only: no JSON, no validation."""
    artifact = load(folder, model)
    fitted = artifact.fitted()
    pipeline: Pipeline = make_pipeline(fitted.preprocessor, fitted.classifier)
    matrix = as_matrix(_decoded(values))
    blank_missing(matrix)
    frame = pd.DataFrame(matrix, columns=list(UCI_HEART.names))
    _prove(pipeline, frame, artifact_risks=Scorer(artifact).risks(matrix))
    return median_us(lambda: pipeline.predict_proba(frame.to_numpy()), seconds)


def _prove(pipeline: Pipeline, frame: pd.DataFrame, artifact_risks: Matrix) -> None:
    """Make sure that both compute the same."""
    largest = float(np.abs(pipeline.predict_proba(frame.to_numpy())[:, 1] - artifact_risks).max())
    tolerance = max(LinearEngine.tolerance, TreeEngine.tolerance) + 1e-6
    if largest > tolerance:
        raise SystemExit(f"the core differs from scikit-learn by {largest:.1e}")


def lines(figures: Sequence[Figure]) -> list[str]:
    """Return the figures as aligned text."""
    text = [f"{'':48}{'µs/batch':>12}{'µs/record':>11}{'goal µs':>10}"]
    for figure in figures:
        name = f"{figure.model:20}{figure.records:>5}  {figure.what}"
        goal = ""
        if figure.goal_us is not None:
            goal = f"{figure.goal_us:,.0f} {'met' if figure.us < figure.goal_us else 'MISSED'}"
        text.append(f"{name:48}{figure.us:>12,.1f}{figure.us / figure.records:>11.2f}  {goal}".rstrip())
    return text


@errors_to_exit_codes()
def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.score", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each figure (default 1)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures here")
    asked = parser.parse_args(sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="heartstream-bench-") as scratch:
        folder = Path(scratch) / "model"
        tell("training the models")
        train(TrainingRequest(output=folder, model_version="bench", quick=True))
        figures = [figure for model in MODELS for figure in measure(folder, model, asked.seconds)]
    print("\n".join(lines(figures)))
    if asked.json:
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode({"results": figures})) + b"\n")


if __name__ == "__main__":
    main()
