"""The model directory of an imported pipeline: the same import gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from schemas.tables.feature_table import FeatureTable
from scoring.compiled_table import CompiledTable
from scoring.model_artifact import (
    CARD_DATA_FILE,
    CARD_FILE,
    MANIFEST_FILE,
    MANIFEST_SCHEMA,
    PREPROCESSOR_FILE,
    REFERENCE_FILE,
    TABLE_FILE,
    DataEntry,
    FileEntry,
    Manifest,
    ModelEntry,
)
from scoring.portable_model import PortablePipeline
from scoring.reference_cases import sha256_of
from training.arrays import Risks
from training.data.frames import features
from training.data.labelled import LabelledData
from training.evaluation.external_validation import ExternalValidation
from training.export.drift_reference import as_json as reference_json
from training.export.drift_reference import new_reference
from training.export.model_directory import as_joblib, as_json, library_versions, training_ranges
from training.importing import exchange
from training.importing.exchange import Inspected
from training.importing.source import ModelSource
from training.report.imported_card import EVALUATION_FILE, ImportedCard, as_markdown

PLAIN_FILE: Final = "pipeline.json"
SEED: Final = 42
"""Of the evaluation's bootstrap samples: an imported model has no other that is known."""


class Statement(msgspec.Struct, frozen=True):
    """What the person who imports a model states.

    `trusted_source` is who made the file; with `held_out`, none of the labelled patients trained the model.
    """

    trusted_source: str
    held_out: bool
    name: str
    model_version: str
    threshold: float


class ImportedPipeline(msgspec.Struct, frozen=True):
    """A pipeline that was opened and scored in the separate process.

    `case_risks` (1024,) are scikit-learn's of the reference cases. `pickle` is its joblib file or pickle; `onnx` its
    compiled form, whose risks differ by `difference` at most, or None for the `reason`.
    """

    source: ModelSource
    inspected: Inspected
    case_risks: Risks
    row_risks: Risks
    pickle: bytes
    onnx: bytes | None
    difference: float | None
    reason: str | None


def new_directory(
    found: ImportedPipeline,
    statement: Statement,
    data: tuple[str, LabelledData],
    evaluation: ExternalValidation,
    compiled: CompiledTable,
) -> dict[str, bytes]:
    """Return all files, by name. `data` is the labelled file's name, and its patients."""
    matrix = features(data[1].frame)
    card = _card(found, statement, data[0], compiled)
    # In-sample risks are too extreme: new patients would always seem to have drifted.
    risks = {statement.name: found.row_risks} if statement.held_out else {}
    contents = {
        TABLE_FILE: compiled.table.as_json(),
        PREPROCESSOR_FILE: as_joblib(found.inspected.pipeline),
        exchange.PICKLE: found.pickle,
        REFERENCE_FILE: reference_json(new_reference(matrix, compiled.table, risks)),
        EVALUATION_FILE: evaluation.as_json(),
        CARD_DATA_FILE: card.as_json(),
        CARD_FILE: as_markdown(card, evaluation).encode(),
    }
    if found.onnx is not None:
        contents[exchange.ONNX] = found.onnx
        cases = sha256_of(compiled.reference_cases)
        contents[PLAIN_FILE] = PortablePipeline(found.inspected.pipeline, cases, found.case_risks).as_json()
    ranges = training_ranges(matrix, compiled.table)
    return {**contents, MANIFEST_FILE: as_json(_manifest(found, statement, compiled.table, ranges, contents))}


def _manifest(
    found: ImportedPipeline,
    statement: Statement,
    table: FeatureTable,
    ranges: dict[str, tuple[float, float]],
    contents: Mapping[str, bytes],
) -> Manifest:
    is_compiled = found.onnx is not None
    entry = ModelEntry(
        file=exchange.PICKLE,
        onnx=exchange.ONNX if is_compiled else None,
        params=found.inspected.params,
        metrics={},
        plain=PLAIN_FILE if is_compiled else None,
    )
    return Manifest(
        schema=MANIFEST_SCHEMA,
        model_version=statement.model_version,
        best=statement.name,
        threshold=statement.threshold,
        seed=SEED,
        feature_table=table.identifier,
        data=_training_data(statement),
        versions=library_versions(),
        training_range=ranges,
        models={statement.name: entry},
        files={name: FileEntry.of(content) for name, content in contents.items()},
    )


def _training_data(statement: Statement) -> DataEntry:
    """Return that nothing is known of the patients who trained the model; 0 rows stand for an unknown number."""
    return DataEntry(
        name="not known",
        rows=0,
        positives=0,
        sha256="",
        population=f"patients who are not known here (imported model, made by {statement.trusted_source})",
    )


def _card(found: ImportedPipeline, statement: Statement, data: str, compiled: CompiledTable) -> ImportedCard:
    names, inspected = compiled.table.names, found.inspected
    return ImportedCard(
        schema="heartstream-imported-card/1",
        model=statement.name,
        model_version=statement.model_version,
        disclaimer=_training_data(statement).disclaimer,
        outcome=compiled.table.outcome.text,
        origin=found.source.origin,
        sha256=found.source.sha256,
        trusted_source=statement.trusted_source,
        pipeline=inspected.kind,
        params=inspected.params,
        columns=inspected.pipeline.names or tuple(names[j] for j in inspected.pipeline.fields),
        positive=inspected.classes[inspected.pipeline.positive],
        engine="sklearn" if found.onnx is None else "onnx",
        fallback_reason=found.reason,
        difference=found.difference,
        unused=inspected.unused,
        data=data,
        held_out=statement.held_out,
        threshold=statement.threshold,
        versions=library_versions(),
    )
