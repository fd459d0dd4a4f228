"""A training run, from data to model directory: start at `train`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import msgspec
import pandas as pd

from schemas.errors import SettingsError
from schemas.tables.builtin import UCI_HEART
from scoring.compiled_table import CompiledTable
from scoring.estimators import new_preprocessor
from scoring.model_artifact import CARD_DATA_FILE, CARD_FILE, REFERENCE_FILE, REPORT_FILE, Manifest
from training.candidates import CANDIDATES, new_pipeline
from training.data.checks import certain_duplicates, check_training_rows
from training.data.dataset import SITES
from training.data.frames import TRAINING_SITE, features, read_snapshot, read_uci, site_rows, target
from training.data.population import data_entry
from training.evaluation.cross_validation import FOLDS, CrossValidation, cross_validate
from training.evaluation.evaluate import evaluate_candidates
from training.evaluation.inputs import FULL, QUICK, EvaluationDepth, EvaluationInputs
from training.evaluation.leakage import refuse_implausible
from training.evaluation.model_selection import Selection
from training.evaluation.repeated_cv import OnStep
from training.evaluation.results import EvaluationReport
from training.evaluation.uncertainty import BOOTSTRAPS, measure_uncertainty
from training.export.drift_reference import as_json, new_reference
from training.export.model_directory import (
    FittedModels,
    TrainedModel,
    library_versions,
    refuse_foreign_folder,
    write_model,
)
from training.report.model_card import as_markdown, new_card

Progress = Callable[[str, int, int], None]
"""Called at the start of each step: its name, the number of steps done, the total."""

MAX_SEED: Final = 2**32 - 1
_STEPS: Final = len(CANDIDATES) + 3
_TUNING_STEPS: Final = len(CANDIDATES) * FOLDS + 2
_QUICK_BOOTSTRAPS: Final = 40


class TrainingRequest(msgspec.Struct, frozen=True):
    """What to train, and where to write the model directory.

    `data` is a folder with UCI's files; None stands for the bundled snapshot. `model_version` None stands for
    heartstream's version. A `quick` run fits the same models; its intervals use fewer bootstrap samples, and its report
    has no `FullEvaluation`.
    """

    output: Path
    data: Path | None = None
    seed: int = 42
    threshold: float = 0.5
    model_version: str | None = None
    quick: bool = False

    @property
    def depth(self) -> EvaluationDepth:
        """How much is evaluated."""
        return QUICK if self.quick else FULL

    @property
    def steps(self) -> int:
        """The number of steps that `Progress` is called for."""
        return _STEPS + self.depth.repeats + (_TUNING_STEPS if self.depth.full else 0)


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The result of a training run. `cross_validations` has the simplest model first.

    `duplicates` counts the training rows that were dropped because an equal row precedes them.
    """

    folder: Path
    manifest: Manifest
    cross_validations: tuple[CrossValidation, ...]
    evaluation: EvaluationReport
    duplicates: int = 0

    @property
    def selection(self) -> Selection:
        """The best model, and why it was selected."""
        return self.evaluation.selection


def train(request: TrainingRequest, progress: Progress = lambda _step, _done, _steps: None) -> TrainingResult:
    """Train all candidates on the training hospital's rows, evaluate them and write the model directory.

    Blocks for a minute or two, a quick run for some seconds. Raises SettingsError for an invalid request,
    DependencyError for unreadable data, DataError for data unfit for training, and ArtifactError for implausibly good
    results. On an error, an existing model directory stays unchanged.
    """
    model_version = check_request(request)
    step = _Steps(progress, request.steps)
    step("reading the data")
    patients = load_patients(request)
    check_training_rows(site_rows(patients, TRAINING_SITE))
    patients, duplicates = _drop_duplicates(patients)
    rows = site_rows(patients, TRAINING_SITE)
    compiled = CompiledTable(UCI_HEART)
    cross_validations = cross_validate_candidates(rows, compiled, request, step)
    inputs = EvaluationInputs(
        compiled,
        patients,
        features(rows),
        target(rows),
        data_entry(rows),
        request.seed,
        request.threshold,
        request.depth,
    )
    evaluation = evaluate_candidates(inputs, cross_validations, step)
    step("fitting on all rows")
    models = fit(inputs, cross_validations, evaluation, request, model_version)
    step("writing the model")
    manifest = write_model(request.output, models)
    step("done")
    return TrainingResult(request.output, manifest, cross_validations, evaluation, duplicates)


class _Steps:
    """Counts the steps for `Progress`."""

    def __init__(self, progress: Progress, steps: int) -> None:
        self._progress, self._steps, self._done = progress, steps, 0

    def __call__(self, step: str) -> None:
        self._progress(step, self._done, self._steps)
        self._done = min(self._done + 1, self._steps)


def check_request(request: TrainingRequest) -> str:
    """Return the version of the model to be trained. Raises SettingsError that lists every problem."""
    problems = []
    if not 0 < request.threshold < 1:
        problems.append("the threshold must lie between 0 and 1")
    if not 0 <= request.seed <= MAX_SEED:
        problems.append(f"the seed must lie between 0 and {MAX_SEED}")
    try:
        model_version = request.model_version or version("heartstream")
    except PackageNotFoundError:
        problems.append("heartstream is not installed, so the model has no default version: give a model version")
        model_version = ""
    if problems:
        raise SettingsError(tuple(problems))
    refuse_foreign_folder(request.output)
    return model_version


def load_patients(request: TrainingRequest) -> pd.DataFrame:
    """Return the rows of all hospitals; for a quick run, of the training hospital only.

    Raises DependencyError and DataError.
    """
    sites = SITES if request.depth.full else (TRAINING_SITE,)
    return read_snapshot(sites) if request.data is None else read_uci(request.data, sites)


def _drop_duplicates(patients: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Drop training rows that repeat an earlier one; return how many were dropped."""
    rows = patients[patients["site"] == TRAINING_SITE]
    dropped = rows.index[certain_duplicates(features(rows), target(rows))]
    return patients.drop(index=dropped).reset_index(drop=True), len(dropped)


def cross_validate_candidates(
    rows: pd.DataFrame, compiled: CompiledTable, request: TrainingRequest, step: OnStep
) -> tuple[CrossValidation, ...]:
    """Cross-validate all candidates, simplest first. Raises ArtifactError for implausibly good results."""
    matrix, labels = features(rows), target(rows)
    results = []
    for candidate in CANDIDATES:
        step(f"cross-validating {candidate.name}")
        pipeline = new_pipeline(candidate.new(compiled, request.seed), compiled)
        result = cross_validate(
            candidate.name, pipeline, matrix, labels, seed=request.seed, threshold=request.threshold
        )
        refuse_implausible(candidate.name, result.metrics["roc_auc"].mean, result.metrics["accuracy"].mean, labels)
        results.append(result)
    return tuple(results)


def _documents(
    evaluation: EvaluationReport,
    preprocessor: Any,
    models: Sequence[TrainedModel],
    compiled: CompiledTable,
    model_version: str,
) -> dict[str, bytes]:
    """Return the report and the model card, by file name."""
    best = next(model for model in models if model.name == evaluation.selection.best)
    card = new_card(evaluation, preprocessor, best.classifier, compiled, model_version, library_versions())
    return {
        REPORT_FILE: evaluation.as_json(),
        CARD_DATA_FILE: card.as_json(),
        CARD_FILE: as_markdown(card, evaluation).encode(),
    }


def fit(
    inputs: EvaluationInputs,
    cross_validations: Sequence[CrossValidation],
    evaluation: EvaluationReport,
    request: TrainingRequest,
    model_version: str,
) -> FittedModels:
    """Fit the preprocessor and all candidates on all training rows."""
    matrix, labels, compiled = inputs.matrix, inputs.labels, inputs.compiled
    bootstraps = _QUICK_BOOTSTRAPS if request.quick else BOOTSTRAPS
    preprocessor = new_preprocessor(compiled.columns).fit(matrix)
    preprocessed = preprocessor.transform(matrix)
    models = []
    for candidate, result in zip(CANDIDATES, cross_validations, strict=True):
        classifier = candidate.new(compiled, request.seed).fit(preprocessed, labels)
        uncertainty = measure_uncertainty(classifier, preprocessed, matrix, labels, compiled, request.seed, bootstraps)
        models.append(TrainedModel(candidate.name, classifier, uncertainty, result.metrics))
    return FittedModels(
        compiled,
        preprocessor,
        tuple(models),
        evaluation.selection.best,
        matrix,
        inputs.data,
        seed=request.seed,
        threshold=request.threshold,
        model_version=model_version,
        documents={
            **_documents(evaluation, preprocessor, models, compiled, model_version),
            REFERENCE_FILE: as_json(new_reference(matrix, compiled.table, cross_validations)),
        },
    )
