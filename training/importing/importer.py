"""Imports a fitted pipeline: from its file and labelled patients to a model directory. Start at `import_model`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from schemas.errors import ArtifactError, SettingsError
from schemas.read_options import TextOptions
from schemas.records import ModelRef
from schemas.tables.feature_table import FeatureTable
from scoring.compiled_table import CompiledTable
from scoring.model_artifact import DIGEST_DIGITS, MANIFEST_FILE
from scoring.uncertainty import unknown
from training.data.frames import features
from training.data.labelled import LabelColumns, LabelledData, read_labelled
from training.evaluation.external_validation import EvaluatedModel, ExternalValidation, evaluate_risks
from training.export.model_directory import refuse_foreign_folder, verify_files, write_files
from training.importing import exchange
from training.importing.directory import ImportedPipeline, Statement, new_directory
from training.importing.sandbox import Sandbox
from training.importing.source import ModelSource, read_source

Progress = Callable[[str], None]
"""Called at the start of each step, with its name."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MOST_CHARACTERS: Final = 200


class ImportRequest(msgspec.Struct, frozen=True):
    """What to import, and where to write the model directory.

    `source` is a file, or a model in MLflow (`models:/...`). `data` are labelled patients of the `table`. `positive` is
    the class whose probability is the risk, if that is not certain. With `held_out`, none of these patients trained the
    model. `name` and `model_version` are by default those of the file.
    """

    source: str
    output: Path
    data: Path
    table: FeatureTable
    trusted_source: str | None
    positive: str | None = None
    held_out: bool = False
    threshold: float = 0.5
    name: str | None = None
    model_version: str | None = None
    columns: LabelColumns = LabelColumns()
    coding: str | None = None
    options: TextOptions = TextOptions()
    mlflow_dir: Path = Path("mlflow")


class ImportedModel(msgspec.Struct, frozen=True):
    """The result: how the model is served, and its evaluation on the labelled patients.

    `reason` says why scikit-learn itself serves it, None if it is compiled. `unused` are fields that change no risk.
    `notes` describe how the labelled file was interpreted.
    """

    evaluation: ExternalValidation
    reason: str | None
    unused: tuple[str, ...]
    notes: tuple[str, ...]


def import_model(request: ImportRequest, progress: Progress = lambda _step: None) -> ImportedModel:
    """Import a fitted pipeline and write its model directory. Blocks for seconds, or a minute for large forests.

    Raises SettingsError for an invalid request, DependencyError for unreadable files, DataError for labelled patients
    that must not be used, and ArtifactError for a pipeline that cannot be served. On an error, an existing model
    directory stays unchanged.
    """
    trusted_source = _check(request)
    compiled = CompiledTable(request.table)
    patients = read_labelled(request.data, compiled, request.coding, request.options, request.columns)
    source = read_source(request.source, request.mlflow_dir)
    statement = Statement(
        trusted_source,
        request.held_out,
        request.name or source.name,
        request.model_version or f"imported.{source.sha256[:8]}",
        request.threshold,
    )
    try:
        found = _opened(source, request, compiled, patients, progress)
        progress("evaluating it")
        evaluation = _evaluate(found, statement, compiled, patients)
    except ArtifactError as error:
        raise ArtifactError(f"{source.origin} is not imported: {error}") from error
    contents = new_directory(found, statement, (request.data.name, patients), evaluation, compiled)
    if found.onnx is not None:
        # Verifying another one would open its pickle.
        verify_files(contents, "imported")
    write_files(request.output, contents)
    digest = hashlib.sha256(contents[MANIFEST_FILE]).hexdigest()[:DIGEST_DIGITS]
    evaluation = msgspec.structs.replace(evaluation, model_digest=digest)
    return ImportedModel(evaluation, found.reason, found.inspected.unused, patients.notes)


def _check(request: ImportRequest) -> str:
    """Return the trusted source. Raises SettingsError that lists every problem."""
    problems = []
    trusted = " ".join((request.trusted_source or "").split())
    if not trusted:
        problems.append(
            f"{request.source} runs code of its author when it is opened: say who made the file with --trusted-source "
            "TEXT, if you trust them"
        )
    elif len(trusted) > _MOST_CHARACTERS or not trusted.isprintable():
        problems.append(f"--trusted-source must be printable, and have at most {_MOST_CHARACTERS} characters")
    if not 0 < request.threshold < 1:
        problems.append("the threshold must lie between 0 and 1")
    if request.name is not None and not _NAME.fullmatch(request.name):
        problems.append("--name must have letters, digits, _, . and - only, 64 at most")
    if problems:
        raise SettingsError(tuple(problems))
    refuse_foreign_folder(request.output)
    return trusted


def _opened(
    source: ModelSource, request: ImportRequest, compiled: CompiledTable, patients: LabelledData, progress: Progress
) -> ImportedPipeline:
    """Open and compile the pipeline in separate processes. Raises ArtifactError."""
    with TemporaryDirectory(prefix="heartstream-") as folder:
        matrix = features(patients.frame)
        sandbox = Sandbox(Path(folder), source.content, compiled.table, matrix, request.positive)
        progress("opening the file in a separate process, and scoring the patients")
        inspected = sandbox.inspect()
        case_risks, row_risks = sandbox.risks
        progress("compiling it to ONNX")
        onnx, difference, reason = None, None, None
        try:
            difference = sandbox.compile().difference
            onnx = sandbox.content(exchange.ONNX)
        except ArtifactError as error:
            reason = str(error)
        pickle = sandbox.content(exchange.PICKLE) or source.content
    return ImportedPipeline(source, inspected, case_risks, row_risks, pickle, onnx, difference, reason)


def _evaluate(
    found: ImportedPipeline, statement: Statement, compiled: CompiledTable, patients: LabelledData
) -> ExternalValidation:
    """Evaluate scikit-learn's risks. Raises ArtifactError if they rank the patients the wrong way round."""
    model = EvaluatedModel(
        ModelRef(statement.name, statement.model_version, ""),
        compiled,
        statement.threshold,
        unknown(compiled).label_limits,
        0 if statement.held_out else None,
    )
    evaluation = evaluate_risks(model, found.row_risks, patients)
    roc_auc = evaluation.overall.figures.get("roc_auc")
    if roc_auc is not None and roc_auc.high < 0.5:  # noqa: PLR2004  # the ROC-AUC of chance
        raise ArtifactError(
            f"patients with {evaluation.event} get lower risks than those without (ROC-AUC {roc_auc.value:.2f}, "
            f"95% interval up to {roc_auc.high:.2f}): the risk may be the probability of the other class, which "
            f"--positive names, or columns may be in another form; its classes are "
            f"{' and '.join(found.inspected.classes)}"
        )
    return evaluation
