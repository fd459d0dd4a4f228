"""Writes the model directory, reproducibly: the same training gives the same bytes.

It contains no time, path, random name or thread count. `scoring.model_artifact` reads it and documents its files.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import joblib
import msgspec
import numpy as np
from sklearn.pipeline import Pipeline

from schemas.errors import ArtifactError, SettingsError
from schemas.tables.feature_table import FeatureTable
from scoring.compiled_table import CompiledTable
from scoring.isolated_load import VerifiedModel, verify_model
from scoring.model_artifact import (
    BEST_MODEL_FILE,
    MANIFEST_FILE,
    MANIFEST_SCHEMA,
    PREPROCESSOR_FILE,
    TABLE_FILE,
    DataEntry,
    FileEntry,
    Manifest,
    Metric,
    ModelEntry,
)
from scoring.uncertainty import Uncertainty
from training.arrays import Matrix
from training.candidates import trees_of
from training.export.compiled_trees import as_onnx
from training.export.portable_model import new_portable_model, with_answers
from training.export.replace_folder import replace_folder

_COMPRESSION: Final = ("zlib", 3)
_PICKLE_PROTOCOL: Final = 5
_LIBRARIES: Final = ("joblib", "numpy", "onnx", "scikit-learn", "scipy", "skl2onnx")


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A classifier fitted on all training rows, with its uncertainty and its metrics in cross-validation."""

    name: str
    classifier: Any
    uncertainty: Uncertainty
    metrics: dict[str, Metric]

    @property
    def file(self) -> str:
        """The name of its pickle in the model directory."""
        return f"{self.name}.joblib"

    @property
    def onnx_file(self) -> str | None:
        """The name of the ONNX file of trees; a linear model needs none."""
        return f"{self.name}.onnx" if trees_of(self.classifier) is not None else None

    @property
    def plain_file(self) -> str:
        """The name of its portable form, if a fast engine supports its kind."""
        return f"{self.name}.json"


@dataclass(frozen=True, slots=True)
class FittedModels:
    """The contents of a model directory. `matrix` (n, fields) are the training rows before preprocessing."""

    compiled: CompiledTable
    preprocessor: Any
    models: tuple[TrainedModel, ...]
    best: str
    matrix: Matrix
    data: DataEntry
    seed: int
    threshold: float
    model_version: str
    documents: Mapping[str, bytes] = field(default_factory=dict)
    """Further files beside the models, by name."""


def write_model(folder: Path, training: FittedModels) -> Manifest:
    """Replace `folder` by the model directory and return its manifest.

    Raises SettingsError if `folder` holds something other than a model, or cannot be written; it then stays unchanged.
    """
    refuse_foreign_folder(folder)
    contents = model_files(training)
    manifest = new_manifest(training, contents)
    write_files(folder, {**contents, MANIFEST_FILE: as_json(manifest)})
    return manifest


def write_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Replace `folder` by the files of a model directory. Raises SettingsError if it cannot be written."""
    try:
        replace_folder(folder, contents)
    except OSError as error:
        problem = f"cannot write the model directory {folder}: {error.strerror}; its parent must be writable"
        raise SettingsError((problem,)) from error


def verify_files(contents: Mapping[str, bytes], made: str) -> VerifiedModel:
    """Verify the files of a model directory in a separate process. Raises ArtifactError; `made` is its word for it."""
    with TemporaryDirectory(prefix="heartstream-") as scratch:
        copy = Path(scratch) / "model"
        replace_folder(copy, contents)
        verified = verify_model(copy)
    if verified.fallback_reason is not None:
        raise ArtifactError(f"the {made} model cannot be verified: {verified.fallback_reason}")
    return verified


def refuse_foreign_folder(folder: Path) -> None:
    """Raise SettingsError if `folder` holds something other than a model, as writing deletes its content.

    Also if its parent is a file or not writable: known now, not after minutes of training.
    """
    parent = next(each for each in folder.resolve().parents if each.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise SettingsError((f"cannot write the model directory {folder}: {parent} is not a writable folder",))
    if not folder.exists() or (folder / MANIFEST_FILE).is_file():
        return
    if not folder.is_dir():
        raise SettingsError((f"{folder} is a file; give a folder for the model",))
    if any(folder.iterdir()):
        raise SettingsError((f"{folder} is not empty and holds no {MANIFEST_FILE}; give a folder of its own",))


def model_files(training: FittedModels) -> dict[str, bytes]:
    """Return the content of all files except the manifest, by name."""
    compiled = training.compiled
    contents = {
        TABLE_FILE: compiled.table.as_json(),
        PREPROCESSOR_FILE: as_joblib(training.preprocessor),
        **training.documents,
    }
    width = training.preprocessor.transform(training.matrix[:1]).shape[1]
    for model in training.models:
        contents[model.file] = as_joblib(model.classifier)
        plain = new_portable_model(training.preprocessor, model.classifier, model.uncertainty, compiled)
        if plain:
            contents[model.plain_file] = with_answers(
                plain, training_ranges(training.matrix, compiled.table), compiled
            ).as_json()
        trees = trees_of(model.classifier)
        if model.onnx_file and trees is not None:
            contents[model.onnx_file] = as_onnx(trees, width)
        if model.name == training.best:
            contents[BEST_MODEL_FILE] = contents[model.file]
    return contents


def as_joblib(estimator: Any) -> bytes:
    """Return the joblib pickle of a fitted estimator."""
    target = BytesIO()
    joblib.dump(estimator, target, compress=_COMPRESSION, protocol=_PICKLE_PROTOCOL)
    return target.getvalue()


def new_manifest(training: FittedModels, contents: Mapping[str, bytes]) -> Manifest:
    """Return the manifest, with size and digest of each file."""
    patterns = training.compiled.patterns
    return Manifest(
        schema=MANIFEST_SCHEMA,
        model_version=training.model_version,
        best=training.best,
        threshold=training.threshold,
        seed=training.seed,
        feature_table=training.compiled.table.identifier,
        data=training.data,
        versions=library_versions(),
        training_range=training_ranges(training.matrix, training.compiled.table),
        models={model.name: _entry(model, contents) for model in training.models},
        files={name: FileEntry.of(content) for name, content in contents.items()},
        missing_patterns=() if patterns.are_all else tuple(patterns.listed.tolist()),
    )


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that a model depends on."""
    return {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}}


def training_ranges(matrix: Matrix, table: FeatureTable) -> dict[str, tuple[float, float]]:
    """Return the range of each field; for a field without values, the legal limits reversed: an empty range."""
    ranges = {}
    for feature, column in zip(table.features, matrix.T, strict=True):
        measured = column[~np.isnan(column)]
        low, high = (measured.min(), measured.max()) if len(measured) else feature.interval[::-1]
        ranges[feature.name] = (float(low), float(high))
    return ranges


def _entry(model: TrainedModel, contents: Mapping[str, bytes]) -> ModelEntry:
    return ModelEntry(
        file=model.file,
        plain=model.plain_file if model.plain_file in contents else None,
        onnx=model.onnx_file,
        params=classifier_params(model.classifier),
        metrics=model.metrics,
    )


def classifier_params(classifier: Any) -> dict[str, Any]:
    """Return the parameters of the classifier itself, without those of the imputation before it."""
    inner = classifier["classify"] if isinstance(classifier, Pipeline) else classifier
    params: dict[str, Any] = inner.get_params(deep=False)
    return {name: value for name, value in params.items() if isinstance(value, str | int | float | None)}


def as_json(manifest: Manifest) -> bytes:
    """Return the manifest as JSON: indented, with sorted keys."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=2) + b"\n"
