"""A training run, from data to model directory: start at `train`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import msgspec
import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from schemas.errors import DataError, SettingsError
from schemas.read_options import TextOptions
from schemas.tables.builtin import UCI_HEART, is_builtin, refuse_builtin_name
from schemas.tables.feature_table import FeatureTable
from scoring.compiled_table import CompiledTable
from scoring.model_artifact import Manifest
from training.candidates import CANDIDATES, Candidate
from training.data.checks import certain_duplicates, check_training_rows
from training.data.dataset import SITES, file_name
from training.data.frames import SITE, TRAINING_SITE, features, read_snapshot, read_uci, site_rows, target
from training.data.labelled import LabelColumns, OtherFieldsError, read_labelled
from training.data.population import data_entry
from training.data.uci import UCI
from training.evaluation.cross_validation import FOLDS, CrossValidation, FittedFolds, evaluate_folds, fit_folds
from training.evaluation.evaluate import evaluate_candidates
from training.evaluation.inputs import FULL, QUICK, EvaluationDepth, EvaluationInputs
from training.evaluation.leakage import refuse_implausible
from training.evaluation.model_selection import Selection
from training.evaluation.repeated_cv import OnStep
from training.evaluation.results import EvaluationReport
from training.export.model_directory import FittedModels, refuse_foreign_folder, write_model
from training.fitting import fit
from training.listed_patterns import listed_patterns

Progress = Callable[[str, int, int], None]
"""Called at the start of each step: its name, the number of steps done, the total."""

MAX_SEED: Final = 2**32 - 1
_STEPS: Final = len(CANDIDATES) + 3
_TUNING_STEPS: Final = len(CANDIDATES) * FOLDS + 2
_OTHER_FIELDS: Final = (
    ". These are the fields of the built-in table; for patients with other fields, use --table own.toml, which "
    "heartstream table init FILE -o own.toml drafts"
)


class OwnPatients(msgspec.Struct, frozen=True):
    """A labelled file of patients, their feature table, and how the file is to be read."""

    path: Path
    table: FeatureTable = UCI_HEART
    columns: LabelColumns = LabelColumns()
    coding: str | None = None
    options: TextOptions = TextOptions()


class TrainingPatients(msgspec.Struct, frozen=True):
    """The patients of a run, from `file`. The rows of `training_site` train the models; None stands for all rows."""

    compiled: CompiledTable
    frame: pd.DataFrame
    training_site: str | None
    file: str

    @property
    def training_rows(self) -> pd.DataFrame:
        """The rows that train the models."""
        return site_rows(self.frame, self.training_site)


class TrainingRequest(msgspec.Struct, frozen=True):
    """What to train, and where to write the model directory.

    `patients` are one's own; without them, `data` is a folder with UCI's files, and None the bundled snapshot of these,
    of which the rows of one hospital train and the others test the models. `model_version` None stands for
    heartstream's version. A `quick` run fits the same models; its intervals use fewer bootstrap samples, and its report
    has no `FullEvaluation`.
    """

    output: Path
    data: Path | None = None
    seed: int = 42
    threshold: float = 0.5
    model_version: str | None = None
    quick: bool = False
    patients: OwnPatients | None = None

    @property
    def depth(self) -> EvaluationDepth:
        """How much is evaluated."""
        return QUICK if self.quick else FULL

    @property
    def steps(self) -> int:
        """The number of steps that `Progress` is called for."""
        return _STEPS + self.depth.repeats + (_TUNING_STEPS if self.depth.full else 0)


@dataclass(frozen=True, slots=True)
class EvaluatedFit:
    """Fitted models that are not yet written, and their evaluation."""

    models: FittedModels
    cross_validations: tuple[CrossValidation, ...]
    evaluation: EvaluationReport


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The result of a training run. `cross_validations` has the simplest model first.

    `duplicates` counts the training rows that were dropped because an equal row precedes them.
    """

    folder: Path
    table: FeatureTable
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
    check_training_rows(patients.training_rows, patients.compiled)
    patients, duplicates = drop_duplicates(patients)
    inputs = evaluation_inputs(patients, request.seed, request.threshold, request.depth)
    fitted = evaluate_and_fit(inputs, model_version, step)
    step("writing the model")
    manifest = write_model(request.output, fitted.models)
    step("done")
    table = patients.compiled.table
    return TrainingResult(request.output, table, manifest, fitted.cross_validations, fitted.evaluation, duplicates)


def evaluation_inputs(
    patients: TrainingPatients,
    seed: int,
    threshold: float,
    depth: EvaluationDepth,
    candidates: tuple[Candidate, ...] = CANDIDATES,
) -> EvaluationInputs:
    """Return the inputs of `evaluate_and_fit`, for checked patients without duplicates."""
    rows, compiled = patients.training_rows, patients.compiled
    data, site = data_entry(rows, compiled.table, patients.file), patients.training_site
    matrix, labels = features(rows), target(rows)
    return EvaluationInputs(compiled, patients.frame, site, matrix, labels, data, seed, threshold, depth, candidates)


def evaluate_and_fit(inputs: EvaluationInputs, model_version: str, step: OnStep) -> EvaluatedFit:
    """Cross-validate, evaluate and fit the candidates. Raises ArtifactError for implausibly good results.

    With one thread of linear algebra: the sums of several depend on their number in the last bit, and on matrices of
    this size they mostly wait for each other.
    """
    with threadpool_limits(1):
        cross_validations, fitted = cross_validate_candidates(inputs, step)
        evaluation = evaluate_candidates(inputs, cross_validations, step, fitted)
        step("fitting on all rows")
        models = fit(inputs, cross_validations, fitted, evaluation, model_version)
    return EvaluatedFit(models, cross_validations, evaluation)


class _Steps:
    """Counts the steps for `Progress`."""

    def __init__(self, progress: Progress, steps: int) -> None:
        self._progress, self._steps, self._done = progress, steps, 0

    def __call__(self, step: str) -> None:
        self._progress(step, self._done, self._steps)
        self._done = min(self._done + 1, self._steps)


def check_request(request: TrainingRequest) -> str:
    """Return the version of the model to be trained.

    Raises SettingsError that lists every problem, and InvalidTableError for a table with the built-in one's name.
    """
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
    if request.patients is not None:
        refuse_builtin_name(request.patients.table)
    refuse_foreign_folder(request.output)
    return model_version


def load_patients(request: TrainingRequest) -> TrainingPatients:
    """Return the rows of all hospitals; for a quick run on UCI's files, of the training hospital only.

    Raises DependencyError, DataError and SettingsError.
    """
    own = request.patients
    if own is not None:
        compiled = CompiledTable(own.table)
        try:
            frame = read_labelled(own.path, compiled, own.coding, own.options, own.columns).frame
        except OtherFieldsError as error:
            raise DataError(f"{error}{_OTHER_FIELDS * is_builtin(own.table)}") from error
        return TrainingPatients(compiled, frame, None, own.path.name)
    sites = SITES if request.depth.full else (TRAINING_SITE,)
    frame = read_snapshot(sites) if request.data is None else read_uci(request.data, sites)
    return TrainingPatients(UCI, frame, TRAINING_SITE, file_name(TRAINING_SITE))


def drop_duplicates(patients: TrainingPatients) -> tuple[TrainingPatients, int]:
    """Drop training rows that repeat an earlier one, and list the missing patterns of the others.

    Returns how many were dropped, too.
    """
    frame, site = patients.frame, patients.training_site
    rows = frame if site is None else frame[frame[SITE] == site]
    dropped = rows.index[certain_duplicates(features(rows), target(rows), patients.compiled.table)]
    kept = frame.drop(index=dropped).reset_index(drop=True)
    remaining, compiled = msgspec.structs.replace(patients, frame=kept), patients.compiled
    if not compiled.patterns.are_all:
        listed = listed_patterns(features(remaining.training_rows), compiled.table)
        remaining = msgspec.structs.replace(remaining, compiled=CompiledTable(compiled.table, listed))
    return remaining, len(dropped)


def cross_validate_candidates(
    inputs: EvaluationInputs, step: OnStep
) -> tuple[tuple[CrossValidation, ...], FittedFolds]:
    """Cross-validate all candidates, simplest first; returns the fits, too, which other figures need again.

    Raises ArtifactError for implausibly good results.
    """
    matrix, labels, seed, known = inputs.matrix, inputs.labels, inputs.seed, inputs.compiled.table.plausible
    results, fitted = [], dict[str, list[Any]]()
    for name, pipeline in inputs.pipelines.items():
        step(f"cross-validating {name}")
        fitted[name] = fit_folds(pipeline, matrix, labels, seed)
        result = evaluate_folds(name, fitted[name], matrix, labels, seed=seed, threshold=inputs.threshold)
        metrics = result.metrics
        refuse_implausible(name, metrics["roc_auc"].mean, metrics["accuracy"].mean, labels, known)
        results.append(result)
    return tuple(results), fitted
