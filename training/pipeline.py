"""A training run from data to model directory. `train` tells the whole story."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import msgspec
import pandas as pd

from schemas.errors import SettingsError
from scoring.estimators import new_preprocessor
from scoring.model_artifact import CARD_DATA_FILE, CARD_FILE, REFERENCE_FILE, REPORT_FILE, Manifest
from training.candidates import CANDIDATES, new_pipeline
from training.data.checks import check_rows, sure_repeats
from training.data.dataset import SITES
from training.data.frames import TRAINING_SITE, features, read_snapshot, read_uci, site_rows, target
from training.data.population import data_entry
from training.evaluation.cross_validation import FOLDS, Evaluation, evaluate
from training.evaluation.evaluate import assess
from training.evaluation.inputs import DEFAULT, QUICK, Depth, Question
from training.evaluation.leakage import refuse_too_good
from training.evaluation.model_selection import Choice
from training.evaluation.repeated_cv import Step
from training.evaluation.results import Report
from training.evaluation.uncertainty import BOOTSTRAPS, measure
from training.export.drift_reference import as_json, new_reference
from training.export.model_directory import (
    TrainedModel,
    Training,
    library_versions,
    refuse_other_folder,
    write_model,
)
from training.report.model_card import as_markdown, new_card

Progress = Callable[[str, int, int], None]
"""Called when a step begins: what it does, how many are done, how many there are."""

HIGHEST_SEED: Final = 2**32 - 1
_STEPS: Final = len(CANDIDATES) + 3
_TUNING_STEPS: Final = len(CANDIDATES) * FOLDS + 2
_QUICK_BOOTSTRAPS: Final = 40


class TrainingRequest(msgspec.Struct, frozen=True):
    """What to train, and where to.

    `data` is a folder with UCI's files, or None for the snapshot. `model_version` None means heartstream's own version.
    A `quick` run finds the same coefficients and trees; its intervals come from fewer samples, and its report lacks all
    that is `Deep`.
    """

    output: Path
    data: Path | None = None
    seed: int = 42
    threshold: float = 0.5
    model_version: str | None = None
    quick: bool = False

    @property
    def depth(self) -> Depth:
        """How much is evaluated."""
        return QUICK if self.quick else DEFAULT

    @property
    def steps(self) -> int:
        """Count what `Progress` will hear of."""
        return _STEPS + self.depth.repeats + (_TUNING_STEPS if self.depth.deep else 0)


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What a training run found, and the model directory that it left. `evaluations` is simplest first.

    `repeated` counts the rows that were left out because an equal one stands before them.
    """

    folder: Path
    manifest: Manifest
    evaluations: tuple[Evaluation, ...]
    findings: Report
    repeated: int = 0

    @property
    def choice(self) -> Choice:
        """The best model, and why."""
        return self.findings.choice


def train(request: TrainingRequest, progress: Progress = lambda _step, _done, _steps: None) -> TrainingReport:
    """Train every candidate on the training hospital's rows, evaluate them and write the model directory.

    Blocks for a minute or two, or some seconds if it is quick. Raises SettingsError for a request that cannot be met,
    DependencyError for data that cannot be read, DataError for data that must not be trained on, ArtifactError for a
    result too good to be true: the old model directory is then as it was.
    """
    model_version = check(request)
    step = _Steps(progress, request.steps)
    step("reading the data")
    everyone = all_rows(request)
    check_rows(site_rows(everyone, TRAINING_SITE))
    everyone, repeated = _without_repeats(everyone)
    rows = site_rows(everyone, TRAINING_SITE)
    evaluations = cross_validate(rows, request, step)
    matrix, labels = features(rows), target(rows)
    question = Question(everyone, matrix, labels, data_entry(rows), request.seed, request.threshold, request.depth)
    findings = assess(question, evaluations, step)
    step("fitting on all rows")
    training = fit(question, evaluations, findings, request, model_version)
    step("writing the model")
    manifest = write_model(request.output, training)
    step("done")
    return TrainingReport(request.output, manifest, evaluations, findings, repeated)


class _Steps:
    """Tells `Progress` of each step as it begins."""

    def __init__(self, progress: Progress, steps: int) -> None:
        self._progress, self._steps, self._done = progress, steps, 0

    def __call__(self, step: str) -> None:
        self._progress(step, self._done, self._steps)
        self._done = min(self._done + 1, self._steps)


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


def all_rows(request: TrainingRequest) -> pd.DataFrame:
    """Return the rows of all hospitals, of the training hospital alone if the run is quick.

    Raises DependencyError and DataError.
    """
    sites = SITES if request.depth.deep else (TRAINING_SITE,)
    return read_snapshot(sites) if request.data is None else read_uci(request.data, sites)


def _without_repeats(everyone: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Keep one of each training row that stands there several times; return how many others there were."""
    rows = everyone[everyone["site"] == TRAINING_SITE]
    repeated = rows.index[sure_repeats(features(rows), target(rows))]
    return everyone.drop(index=repeated).reset_index(drop=True), len(repeated)


def cross_validate(rows: pd.DataFrame, request: TrainingRequest, step: Step) -> tuple[Evaluation, ...]:
    """Evaluate every candidate, simplest first. Raises ArtifactError if one is too good to be true."""
    matrix, labels = features(rows), target(rows)
    evaluations = []
    for candidate in CANDIDATES:
        step(f"cross-validating {candidate.name}")
        pipeline = new_pipeline(candidate.new(request.seed))
        found = evaluate(candidate.name, pipeline, matrix, labels, seed=request.seed, threshold=request.threshold)
        refuse_too_good(candidate.name, found.metrics["roc_auc"].mean, found.metrics["accuracy"].mean, labels)
        evaluations.append(found)
    return tuple(evaluations)


def _documents(
    findings: Report, preprocessor: Any, models: Sequence[TrainedModel], model_version: str
) -> dict[str, bytes]:
    """Return the report and the model card, by file name."""
    best = next(model for model in models if model.name == findings.choice.best)
    card = new_card(findings, preprocessor, best.classifier, model_version, library_versions())
    return {
        REPORT_FILE: findings.as_json(),
        CARD_DATA_FILE: card.as_json(),
        CARD_FILE: as_markdown(card, findings).encode(),
    }


def fit(
    question: Question,
    evaluations: Sequence[Evaluation],
    findings: Report,
    request: TrainingRequest,
    model_version: str,
) -> Training:
    """Fit the preprocessor and every candidate on all rows."""
    matrix, labels = question.matrix, question.labels
    bootstraps = _QUICK_BOOTSTRAPS if request.quick else BOOTSTRAPS
    preprocessor = new_preprocessor().fit(matrix)
    inputs = preprocessor.transform(matrix)
    models = []
    for candidate, evaluation in zip(CANDIDATES, evaluations, strict=True):
        classifier = candidate.new(request.seed).fit(inputs, labels)
        uncertainty = measure(classifier, inputs, matrix, labels, request.seed, bootstraps)
        models.append(TrainedModel(candidate.name, classifier, uncertainty, evaluation.metrics))
    return Training(
        preprocessor,
        tuple(models),
        findings.choice.best,
        matrix,
        question.data,
        seed=request.seed,
        threshold=request.threshold,
        model_version=model_version,
        documents={
            **_documents(findings, preprocessor, models, model_version),
            REFERENCE_FILE: as_json(new_reference(matrix, evaluations)),
        },
    )
