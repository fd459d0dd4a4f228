"""A training run from data to model directory. `train` tells the whole story."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import msgspec
import pandas as pd

from schemas.errors import SettingsError
from scoring.artifact import DataEntry, Manifest
from scoring.estimators import new_preprocessor
from training.choose import Choice, choose
from training.data import TRAINING_SITE, digest, features, read_snapshot, read_uci, target
from training.estimators import CANDIDATES, new_pipeline
from training.evaluate import Evaluation, evaluate
from training.export import TrainedModel, Training, refuse_other_folder, write_model
from training.guards import check_rows, refuse_too_good
from training.tracking import TrackedRun, record
from training.uncertainty import BOOTSTRAPS, measure

Progress = Callable[[str, int, int], None]
"""Called when a step begins: what it does, how many are done, how many there are."""

DATA_NAME: Final = "UCI Heart Disease, Cleveland"
HIGHEST_SEED: Final = 2**32 - 1
_STEPS: Final = len(CANDIDATES) + 3


class TrainingRequest(msgspec.Struct, frozen=True):
    """What to train, and where to.

    `data` is a folder with UCI's files, or None for the snapshot. `model_version` None means heartstream's own version.
    """

    output: Path
    data: Path | None = None
    seed: int = 42
    threshold: float = 0.5
    model_version: str | None = None
    bootstraps: int = BOOTSTRAPS


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What a training run found, and the model directory that it left. `evaluations` is simplest first."""

    folder: Path
    manifest: Manifest
    evaluations: tuple[Evaluation, ...]
    choice: Choice


def train(request: TrainingRequest, progress: Progress = lambda _step, _done, _steps: None) -> TrainingReport:
    """Train every candidate on the Cleveland rows and write the model directory.

    Blocks for seconds. Raises SettingsError for a request that cannot be met, DependencyError for data that must not be
    trained on, ArtifactError for a result too good to be true: the old model directory is then as it was.
    """
    model_version = check(request)
    progress("reading the data", 0, _STEPS)
    rows = training_rows(request.data)
    evaluations = cross_validate(rows, request, progress)
    choice = choose(evaluations)
    progress("fitting on all rows", _STEPS - 2, _STEPS)
    training = fit(rows, evaluations, choice, request, model_version)
    progress("writing the model", _STEPS - 1, _STEPS)
    manifest = write_model(request.output, training)
    progress("done", _STEPS, _STEPS)
    return TrainingReport(request.output, manifest, evaluations, choice)


def track(report: TrainingReport, folder: Path) -> TrackedRun:
    """Record a finished run in MLflow: in the store that MLFLOW_TRACKING_URI names, else in `folder`.

    Blocks on disk or network. Raises DependencyError; the model directory is not touched.
    """
    slopes = {evaluation.name: evaluation.calibration_slope for evaluation in report.evaluations}
    return record(report.folder, report.manifest, slopes, folder)


def check(request: TrainingRequest) -> str:
    """Return the version that the model will carry. Raises SettingsError that lists all that is wrong."""
    problems = []
    if not 0 < request.threshold < 1:
        problems.append("the threshold must lie between 0 and 1")
    if not 0 <= request.seed <= HIGHEST_SEED:
        problems.append(f"the seed must lie between 0 and {HIGHEST_SEED}")
    try:
        model_version = request.model_version or version("heartstream")
    except PackageNotFoundError:
        problems.append("heartstream is not installed, so it has no version to give to the model: give a model version")
        model_version = ""
    if problems:
        raise SettingsError(tuple(problems))
    refuse_other_folder(request.output)
    return model_version


def training_rows(folder: Path | None) -> pd.DataFrame:
    """Return the Cleveland rows, from UCI's file in `folder` or from the snapshot. Raises DependencyError if unfit."""
    rows = read_snapshot((TRAINING_SITE,)) if folder is None else read_uci(folder, (TRAINING_SITE,))
    check_rows(rows)
    return rows


def cross_validate(rows: pd.DataFrame, request: TrainingRequest, progress: Progress) -> tuple[Evaluation, ...]:
    """Evaluate every candidate, simplest first. Raises ArtifactError if one is too good to be true."""
    matrix, labels = features(rows), target(rows)
    evaluations = []
    for done, candidate in enumerate(CANDIDATES, 1):
        progress(f"cross-validating {candidate.name}", done, _STEPS)
        pipeline = new_pipeline(candidate.new(request.seed))
        found = evaluate(candidate.name, pipeline, matrix, labels, seed=request.seed, threshold=request.threshold)
        refuse_too_good(candidate.name, found.metrics["roc_auc"].mean, found.metrics["accuracy"].mean)
        evaluations.append(found)
    return tuple(evaluations)


def fit(
    rows: pd.DataFrame, evaluations: Sequence[Evaluation], choice: Choice, request: TrainingRequest, model_version: str
) -> Training:
    """Fit the preprocessor and every candidate on all rows."""
    matrix, labels = features(rows), target(rows)
    preprocessor = new_preprocessor().fit(matrix)
    inputs = preprocessor.transform(matrix)
    models = []
    for candidate, evaluation in zip(CANDIDATES, evaluations, strict=True):
        classifier = candidate.new(request.seed).fit(inputs, labels)
        uncertainty = measure(classifier, inputs, matrix, labels, request.seed, request.bootstraps)
        models.append(TrainedModel(candidate.name, classifier, uncertainty, evaluation.metrics))
    data = DataEntry(name=DATA_NAME, rows=len(rows), positives=int(labels.sum()), sha256=digest(rows))
    return Training(
        preprocessor,
        tuple(models),
        choice.best,
        matrix,
        data,
        seed=request.seed,
        threshold=request.threshold,
        model_version=model_version,
    )
