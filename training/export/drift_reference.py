"""What the training rows look like, kept in the model directory so that drift away from them can be told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from schemas.features import FEATURES, Feature
from scoring.drift import REFERENCE_SCHEMA, RISK_EDGES, FieldReference, Histogram, Reference, Vector
from training.arrays import Matrix
from training.evaluation.cross_validation import Evaluation

_BINS: Final = 10


def new_reference(matrix: Matrix, evaluations: Sequence[Evaluation]) -> Reference:
    """Count the training rows (n, 13), and the risks that each model gives to rows that it was not trained on.

    In-sample risks would be too extreme: those of new patients would seem to have drifted from the first day on.
    """
    columns = zip(FEATURES, matrix.T, strict=True)
    return Reference(
        schema=REFERENCE_SCHEMA,
        rows=len(matrix),
        fields={feature.name: _field(feature, column) for feature, column in columns},
        risks={evaluation.name: _counted(evaluation.risks, RISK_EDGES) for evaluation in evaluations},
    )


def _field(feature: Feature, column: Vector) -> FieldReference:
    measured = column[~np.isnan(column)]
    return FieldReference(_counted(measured, _edges(feature, measured)), missing=len(column) - len(measured))


def _edges(feature: Feature, measured: Vector) -> tuple[float, ...]:
    """Put each code into a bin of its own, and of a quantity's values a tenth, or more where many are equal."""
    if feature.codes:
        return tuple(float(code) for code, _ in feature.codes[:-1])
    if not len(measured):
        return ()
    tenths = np.quantile(measured, np.arange(1, _BINS) / _BINS, method="inverted_cdf")
    return tuple(np.unique(tenths[tenths < measured.max()]).tolist())


def _counted(values: Vector, edges: Sequence[float]) -> Histogram:
    counts = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)
    return Histogram(tuple(edges), tuple(counts.tolist()))


def as_json(reference: Reference) -> bytes:
    """Write the reference, with sorted keys."""
    return msgspec.json.encode(reference, order="sorted") + b"\n"
