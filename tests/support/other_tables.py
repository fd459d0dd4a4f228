"""Feature tables of other patients than the built-in one's, and small models of them, fitted on invented rows."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from schemas.tables.feature_table import PATIENT_ID, FeatureTable
from schemas.tables.toml_file import read_table
from scoring.compiled_table import CompiledTable
from scoring.estimators import new_preprocessor
from scoring.features import Matrix
from scoring.model_artifact import DataEntry
from training.candidates import PATTERN_SUBMODELS, new_pattern_submodels
from training.evaluation.uncertainty import measure_uncertainty
from training.export.model_directory import FittedModels, TrainedModel, write_model
from training.listed_patterns import listed_patterns

FOLDER: Final = Path(__file__).parent.parent / "tables"
NAMES: Final = tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))
_ROWS: Final = 400
_ROWS_PER_FIELD: Final = 6
"""With fewer, a bootstrap sample may be separable, and its fit does not converge."""
_BOOTSTRAPS: Final = 10


@cache
def table(name: str) -> FeatureTable:
    """Return the table of one of the files in `tests/tables`."""
    path = FOLDER / f"{name}.toml"
    return read_table(path.read_bytes(), path.name)


def invented_rows(compiled: CompiledTable, count: int = _ROWS, seed: int = 1) -> Matrix:
    """Return valid rows (count, fields), in which a tenth of the optional values is missing, or one in a record."""
    rng = np.random.default_rng(seed)
    share = 1 / max(10, len(compiled.table.optional))
    rows = np.empty((count, len(compiled.table.features)))
    for place, feature in enumerate(compiled.table.features):
        low, high = feature.interval
        if feature.codes:
            rows[:, place] = rng.choice([code for code, _ in feature.codes], count)
        elif feature.whole:
            rows[:, place] = rng.integers(int(low), int(high), count, endpoint=True)
        else:
            rows[:, place] = rng.uniform(low, high, count).round(2)
        if not feature.required:
            rows[rng.random(count) < share, place] = np.nan
    return rows


def records(compiled: CompiledTable, count: int = 20, seed: int = 2) -> list[dict[str, Any]]:
    """Return invented patient records, as they are sent."""
    rows = invented_rows(compiled, count, seed).tolist()
    return [{PATIENT_ID: f"p-{number}", **compiled.table.fields_of(row)} for number, row in enumerate(rows)]


def write_model_of(other: FeatureTable, folder: Path, version: str = "test") -> Path:
    """Write a model directory of a table, fitted on rows in which a high value of the first field is the risk."""
    matrix = invented_rows(CompiledTable(other), max(_ROWS, _ROWS_PER_FIELD * len(other.features)))
    compiled = CompiledTable(other, listed_patterns(matrix, other))
    first = np.nan_to_num((matrix[:, 0] - np.nanmean(matrix[:, 0])) / np.nanstd(matrix[:, 0]))
    labels = (first + np.random.default_rng(3).normal(size=len(matrix)) > 0).astype(np.int64)
    preprocessor = new_preprocessor(compiled.columns).fit(matrix)
    inputs = preprocessor.transform(matrix)
    classifier = new_pattern_submodels(compiled, 1).fit(inputs, labels)
    uncertainty = measure_uncertainty(classifier, inputs, matrix, labels, compiled, 1, _BOOTSTRAPS)
    write_model(
        folder,
        FittedModels(
            compiled,
            preprocessor,
            (TrainedModel(PATTERN_SUBMODELS, classifier, uncertainty, {}),),
            PATTERN_SUBMODELS,
            matrix,
            DataEntry("invented rows", len(matrix), int(labels.sum()), "0" * 64, f"{len(matrix)} invented patients"),
            seed=1,
            threshold=0.5,
            model_version=version,
        ),
    )
    return folder


def as_lines(sent: list[dict[str, Any]]) -> list[bytes]:
    """Encode records as JSON."""
    return [msgspec.json.encode(record) for record in sent]
